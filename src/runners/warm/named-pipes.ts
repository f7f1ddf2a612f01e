/** Our ends of the three pipes of a forked process, which its fork server has made. */

import { closeSync, constants, openSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';

import { type ByteString, toBuffer } from '../../bytes.js';

export interface Ends {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
}

/**
 * Opens `PATH.in`, `PATH.out` and `PATH.err`, in this order, and removes the first, which says so; the streams close what
 * they were made of. None of it waits: the process has opened the first, and waits for us to open the others before its
 * script begins, so that nothing is lost even if its fork server is gone. They are pipes, so that a script can open /dev/stderr, as one that was
 * started anew can.
 *
 * @throws Error of the system, with its `code`; nothing is open then.
 */
export function openEnds(path: ByteString): Ends {
  const open: number[] = [];
  try {
    for (const [suffix, flags] of [
      ['.in', constants.O_WRONLY],
      ['.out', constants.O_RDONLY],
      ['.err', constants.O_RDONLY],
    ] as const) {
      open.push(openSync(toBuffer(path + suffix), flags | constants.O_NONBLOCK));
    }
    // Not there if the process has ended meanwhile, and its fork server has seen that.
    rmSync(toBuffer(`${path}.in`), { force: true });
  } catch (error) {
    for (const descriptor of open) closeSync(descriptor);
    throw error;
  }
  const [stdin, stdout, stderr] = open as [number, number, number];
  return {
    stdin: new Socket({ fd: stdin, readable: false, writable: true }),
    stdout: new Socket({ fd: stdout, readable: true, writable: false }),
    stderr: new Socket({ fd: stderr, readable: true, writable: false }),
  };
}
