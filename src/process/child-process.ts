/** Starts a program by Node's own means, which are there everywhere. */

import type { ChildProcess, ChildProcessWithoutNullStreams } from 'node:child_process';
import type { Writable } from 'node:stream';

import spawn from 'cross-spawn';

import { type Command, textCommand } from './command.js';
import { type ExitStatus, exitStatus } from './exit-status.js';
import { OwnedProcess, type StartedProgram } from './owned-process.js';
import { startError } from './start-error.js';

/**
 * A `StartProcess`. Its pipes are Unix sockets, since that is what Node makes: no script can open them by name
 * (`/dev/stderr`).
 *
 * @throws BridgeError `ERR_SPAWN` with the system's error as `cause`.
 */
export async function startProcess(command: Command): Promise<OwnedProcess> {
  const started = await start(command, 'pipe');
  return new OwnedProcess(started as StartedProgram);
}

/**
 * The same with the open `descriptor` as standard input, for a FastCGI application the socket that it accepts on
 * (FastCGI 1.0 §2.2). The descriptor stays the caller's.
 */
export async function startOnDescriptor(
  command: Command,
  descriptor: number,
): Promise<OwnedProcess<undefined>> {
  const started = await start(command, descriptor);
  return new OwnedProcess({ ...started, stdin: undefined });
}

async function start(
  command: Command,
  stdin: 'pipe' | number,
): Promise<StartedProgram<Writable | undefined>> {
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
        stdio: [stdin, 'pipe', 'pipe'],
      });
    } catch (error) {
      fail(error);
      return;
    }
    child.once('error', fail);
    const { pid } = child;
    if (pid === undefined) return;
    const { stdout, stderr } = child as ChildProcessWithoutNullStreams;
    const exited = new Promise<ExitStatus>((resolveExit) => {
      child.once('exit', (code, signal) => {
        resolveExit(exitStatus(code, signal));
      });
    });
    resolve({ pid, stdin: child.stdin ?? undefined, stdout, stderr, exited });
  });
}
