/**
 * What Node does not tell of descriptors: how many there may be, a socket's, what it holds unread, the end of one side; and
 * those that the parent of this process had open, which programs must not inherit.
 */

import { readdirSync, readFileSync, readSync } from 'node:fs';
import type { Server } from 'node:net';
import { constants } from 'node:os';
import type { Duplex } from 'node:stream';

import { systemCodeOf } from '../base/errors.js';
import { F_SETFD, loadLibC, MSG_DONTWAIT, O_CLOEXEC, systemError } from './libc.js';

/** Of every POSIX system, which Node does not name. */
const FD_CLOEXEC = 1;

/**
 * Marks descriptors above 2 that programs would inherit so that they don't; they stay open for us. To be called before
 * the first program is started: what Node opens is marked by itself, but of what it was started with only the first
 * 16 and those right behind them. Returns those that could not be marked, since koffi is missing.
 *
 * Elsewhere than on Linux nothing tells which ones they are: then it returns none.
 */
export function keepFromPrograms(load = loadLibC): readonly number[] {
  const inheritable = descriptors().filter(isInheritable);
  if (inheritable.length === 0) return [];
  const loaded = load();
  if (loaded.kind === 'loaded') {
    for (const descriptor of inheritable) loaded.libc.fcntl(descriptor, F_SETFD, 'int', FD_CLOEXEC);
  }
  // A second look, for one may have been a file that a thread of Node was reading: the certificates, in Node 22.
  return inheritable.filter(isInheritable);
}

function descriptors(): number[] {
  try {
    return readdirSync('/proc/self/fd')
      .map(Number)
      .filter((descriptor) => descriptor > 2);
  } catch {
    return [];
  }
}

function isInheritable(descriptor: number): boolean {
  let information: string;
  try {
    information = readFileSync(`/proc/self/fdinfo/${String(descriptor)}`, 'latin1');
  } catch {
    // The one that has listed them, for instance.
    return false;
  }
  const flags = /^flags:\s*([0-7]+)$/m.exec(information)?.[1] ?? '';
  return (parseInt(flags, 8) & O_CLOEXEC) === 0;
}

/**
 * Reads what a descriptor that does not block has now: how many bytes; undefined where that is nothing as yet.
 *
 * @throws Error of the system, with its `code`
 */
export function readAtOnce(descriptor: number, room: Buffer): number | undefined {
  const loaded = loadLibC();
  if (loaded.kind === 'missing') {
    try {
      return readSync(descriptor, room);
    } catch (error) {
      if (systemCodeOf(error) === 'EAGAIN') return undefined;
      throw error;
    }
  }
  // Node would make an Error of each look at an empty pipe, which takes five times as long as the look.
  const bytes = loaded.libc.read(descriptor, room, room.length);
  if (bytes >= 0) return bytes;
  const why = loaded.libc.errno();
  if (why === constants.errno.EAGAIN) return undefined;
  throw systemError('read', why);
}

/** Of Linux, which Node does not name. */
const SHUT_WR = 1;
const MSG_PEEK = 0x02;

const nextByte = Buffer.alloc(1);

/** Whether the peer has sent something that nobody has read, or has left; undefined without koffi, which alone knows. */
export function hasUnread(socket: Duplex): boolean | undefined {
  const loaded = loadLibC();
  if (loaded.kind === 'missing') return undefined;
  const descriptor = descriptorOf(socket) ?? -1;
  // Else it fails with EAGAIN.
  return loaded.libc.recv(descriptor, nextByte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

/**
 * Ends our side if the system has all that was written; otherwise, and without koffi, it is left to `socket.end`, which the
 * caller calls in any case.
 */
export function endAtOnce(socket: Duplex): void {
  const descriptor = descriptorOf(socket);
  if (descriptor === undefined || socket.writableLength > 0) return;
  const loaded = loadLibC();
  // Where it fails, the peer has left.
  if (loaded.kind === 'loaded') loaded.libc.shutdown(descriptor, SHUT_WR);
}

/** Node has no other way to it, and none to that of a socket which is closed. */
export function descriptorOf(socket: Server | Duplex): number | undefined {
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } | null };
  const descriptor = handle?.fd;
  return descriptor === undefined || descriptor < 0 ? undefined : descriptor;
}

/** Left to requests that have begun, where something takes more than was counted: those who connect wait then. */
const SPARE = 16;
let limit: number | undefined;

/** Whether a descriptor that was given just now, the lowest that was free, shows that hardly any are left. */
export function isScarce(descriptor: number, spares = 1): boolean {
  limit ??= descriptorLimit();
  return descriptor + spares * SPARE >= limit;
}

/** How many descriptors this process may have open; Node has raised that as far as it may. */
export function descriptorLimit(): number {
  const soft = softLimitOfLinux() ?? softLimitOfReport();
  return soft === 'unlimited' ? Infinity : Number(soft);
}

/** As proc_pid_limits(5) has it, in a thousandth of the time that Node's report takes (30 ms). */
function softLimitOfLinux(): string | undefined {
  try {
    return /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
  } catch {
    return undefined;
  }
}

function softLimitOfReport(): number | 'unlimited' {
  // Without it, Node would ask the DNS for the names of hosts. Its types don't know it yet.
  Object.assign(process.report, { excludeNetwork: true });
  const { userLimits } = process.report.getReport() as unknown as {
    readonly userLimits: { readonly open_files: { readonly soft: number | 'unlimited' } };
  };
  return userLimits.open_files.soft;
}
