/** The ways of starting a program, and which of them a daemon uses. */

import type { ChildProcess, ChildProcessWithoutNullStreams } from 'node:child_process';
import { constants, getPriority, setPriority } from 'node:os';
import type { Writable } from 'node:stream';

import spawn from 'cross-spawn';

import { BridgeError } from '../base/errors.js';
import { loadLibC } from '../posix/libc.js';
import { type Command, startError, textCommand } from './command.js';
import { type ExitStatus, exitStatus } from './exit-status.js';
import { OwnedProcess, type StartedProgram } from './owned-process.js';
import { posixSpawn } from './posix-spawn.js';

/**
 * Starts a program as the leader of a process group of its own, without a terminal: with the three pipes as its only
 * descriptors, or /dev/null for an input that is empty, every signal at its default and none blocked. Resolves once the
 * system has accepted it.
 *
 * @throws BridgeError `ERR_SPAWN` with the system's error as `cause`.
 */
export type StartProcess = (command: Command) => Promise<OwnedProcess>;

/** `posix` calls posix_spawn(3), `node` Node's child_process, and `auto` the better one that there is. */
export const spawnMethods = ['auto', 'posix', 'node'] as const;
export type SpawnMethod = (typeof spawnMethods)[number];

/**
 * The way that was asked for; `fallback` says why it is not the better one, if it is not.
 *
 * posix_spawn(3) is the better one. Node forks a process that is large, with its event loop standing still for the
 * 1.7 to 2 ms that this takes here; posix_spawn does without copying page tables, and on another thread, so that the
 * event loop is left with 0.1 ms a program. Its pipes are pipes, where Node's are sockets that no script can open as
 * /dev/stderr. And it takes bytes, so that a variable that is not UTF-8 costs no shell.
 *
 * @throws BridgeError `ERR_START` where `posix` was asked for and is not to be had.
 */
export function chooseStart(way: SpawnMethod): { readonly start: StartProcess; readonly fallback?: string } {
  if (way === 'node') return { start: startProcess };
  const loaded = loadLibC();
  if (loaded.kind === 'loaded') return { start: posixSpawn(loaded.libc) };
  if (way === 'auto') return { start: startProcess, fallback: loaded.reason };
  throw new BridgeError(
    'ERR_START',
    `--spawn-method posix: ${loaded.reason}; --spawn-method auto does without`,
  );
}

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
  const { niceness } = command;
  const { file, args, directory, environment } = textCommand(command);
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      void startError(command, error).then(reject);
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
    if (niceness !== undefined) lowerPriority(pid, niceness);
    const { stdout, stderr } = child as ChildProcessWithoutNullStreams;
    const exited = new Promise<ExitStatus>((resolveExit) => {
      child.once('exit', (code, signal) => {
        resolveExit(exitStatus(code, signal));
      });
    });
    resolve({ pid, stdin: child.stdin ?? undefined, stdout, stderr, exited });
  });
}

function lowerPriority(pid: number, niceness: number): void {
  try {
    setPriority(pid, Math.min(getPriority() + niceness, constants.priority.PRIORITY_LOW));
  } catch {
    // It has made itself somebody else's.
  }
}
