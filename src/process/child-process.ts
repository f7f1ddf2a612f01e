/** Starts a program by Node's own means, which are there everywhere. */

import type { ChildProcess, ChildProcessWithoutNullStreams } from 'node:child_process';

import spawn from 'cross-spawn';

import { type Command, textCommand } from './command.js';
import { type ExitStatus, exitStatus } from './exit-status.js';
import { OwnedProcess } from './owned-process.js';
import { startError } from './start-error.js';

/**
 * A `StartProcess`. Its pipes are Unix sockets, since that is what Node makes: no script can open them by name
 * (`/dev/stderr`).
 *
 * @throws BridgeError `ERR_SPAWN` with the system's error as `cause`.
 */
export async function startProcess(command: Command): Promise<OwnedProcess> {
  const { file, args, directory, environment } = textCommand(command);
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      reject(startError(command, error));
    };
    let child: ChildProcess;
    try {
      child = spawn(file, args, {
        cwd: directory,
        env: environment,
        // A session and so a process group of its own: whatever the script starts ends with it.
        detached: true,
        stdio: ['pipe', 'pipe', 'pipe'],
      });
    } catch (error) {
      fail(error);
      return;
    }
    child.once('error', fail);
    const { pid } = child;
    if (pid === undefined) return;
    const { stdin, stdout, stderr } = child as ChildProcessWithoutNullStreams;
    const exited = new Promise<ExitStatus>((resolveExit) => {
      child.once('exit', (code, signal) => {
        resolveExit(exitStatus(code, signal));
      });
    });
    resolve(new OwnedProcess({ pid, stdin, stdout, stderr, exited }));
  });
}
