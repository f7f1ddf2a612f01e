/** Starts a program as the leader of its own process group. */

import type { ChildProcess, ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Writable } from 'node:stream';

import spawn from 'cross-spawn';

import { BridgeError, reasonOf, systemCodeOf } from '../errors.js';
import { type Command, textCommand } from './command.js';
import { type ExitStatus, exitStatus } from './exit-status.js';
import { OwnedProcess, type StartedProgram } from './owned-process.js';

/**
 * Starts a program. Resolves once the system has accepted it.
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

/** What it is that the system says is not there; it names the program, whatever is missing. */
function missing(error: unknown, file: string, directory: string): string | undefined {
  if (systemCodeOf(error) !== 'ENOENT') return undefined;
  if (!existsSync(directory)) return `there is no directory ${directory}`;
  return existsSync(file)
    ? 'the interpreter that its first line names does not exist'
    : 'there is no such file';
}
