/** Starts a program as the leader of its own process group. */

import type { ChildProcess, ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync } from 'node:fs';

import spawn from 'cross-spawn';

import { BridgeError, reasonOf, systemCodeOf } from '../errors.js';
import { type Command, textCommand } from './command.js';
import { type ExitStatus, exitStatus } from './exit-status.js';
import { OwnedProcess } from './owned-process.js';

/**
 * Starts a program. Resolves once the system has accepted it.
 *
 * @throws BridgeError `ERR_SPAWN` with the system's error as `cause`.
 */
export async function startProcess(command: Command): Promise<OwnedProcess> {
  const { file, args, directory, environment } = textCommand(command);
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      const reason = missing(error, file, directory) ?? reasonOf(error);
      reject(new BridgeError('ERR_SPAWN', `${file} could not be started: ${reason}`, { cause: error }));
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

/** What it is that the system says is not there; it names the program, whatever is missing. */
function missing(error: unknown, file: string, directory: string): string | undefined {
  if (systemCodeOf(error) !== 'ENOENT') return undefined;
  if (!existsSync(directory)) return `there is no directory ${directory}`;
  return existsSync(file)
    ? 'the interpreter that its first line names does not exist'
    : 'there is no such file';
}
