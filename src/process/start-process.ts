/** The ways of starting a program, and which of them a daemon uses. */

import { BridgeError } from '../errors.js';
import { startProcess } from './child-process.js';
import type { Command } from './command.js';
import type { OwnedProcess } from './owned-process.js';
import { loadLibC } from './posix/libc.js';
import { posixSpawn } from './posix/posix-spawn.js';

/**
 * Starts a program as the leader of a session, and so of a process group, of its own: with the three pipes as its only
 * descriptors, every signal at its default and none blocked. Resolves once the system has accepted it.
 *
 * @throws BridgeError `ERR_SPAWN` with the system's error as `cause`.
 */
export type StartProcess = (command: Command) => Promise<OwnedProcess>;

/** `posix` calls posix_spawn(3), `node` Node's child_process, and `auto` the better one that there is. */
export const spawnWays = ['auto', 'posix', 'node'] as const;
export type SpawnWay = (typeof spawnWays)[number];

export interface ChosenStart {
  readonly start: StartProcess;
  /** Why it is not the better way, if it is not. */
  readonly fallback?: string;
}

/**
 * The way that was asked for.
 *
 * posix_spawn(3) is the better one. Node forks a process that is large, with its event loop standing still for the
 * 1.7 to 2 ms that this takes here; posix_spawn does without copying page tables, and on another thread, so that the
 * event loop is left with 0.1 ms a program. Its pipes are pipes, where Node's are sockets that no script can open as
 * /dev/stderr. And it takes octets, so that a variable that is not UTF-8 costs no shell.
 *
 * Also tried: posix_spawn on the event loop's thread, which costs that 0.35 ms and stands still until the program was
 * loaded. Behind nginx, on two busy cores, a compiled CGI program was answered 58 times a second with a thread and 60
 * without by one connection, 169 and 77 by four (at a higher priority 204 and 269, 627 and 305); doing so only where no
 * other program ran was slower in both. Several bridges that share the listeners (`cluster`), each of which would have
 * limits, queues and logs of its own. And a small helper process that forks, which needs a compiler where we are
 * installed, or an interpreter that is slower than what it replaces.
 *
 * @throws BridgeError `ERR_START` where `posix` was asked for and is not to be had.
 */
export function chooseStart(way: SpawnWay): ChosenStart {
  if (way === 'node') return { start: startProcess };
  const loaded = loadLibC();
  if (loaded.kind === 'loaded') return { start: posixSpawn(loaded.libc) };
  if (way === 'auto') return { start: startProcess, fallback: loaded.reason };
  throw new BridgeError('ERR_START', `--spawn posix: ${loaded.reason}; --spawn auto does without`);
}
