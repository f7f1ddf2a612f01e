/** The three pipes between a program and us. */

import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';

import type { LibC } from './libc.js';
import { systemError } from './system-error.js';

/** `O_CLOEXEC` of Linux, which Node does not name: no program inherits an end that is not its own. */
const O_CLOEXEC = 0o2_000_000;

/** `F_SETPIPE_SZ` of Linux, which Node does not name either. */
const F_SETPIPE_SZ = 1_031;
/**
 * What a pipe holds: with the 64 KiB that it has by itself, large bodies wait for a turn of the event loop or of the
 * program too often. The system may refuse more to a user who has many, which does no harm.
 */
const PIPE_BYTES = 262_144;

interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
}

/** Six descriptors, which whoever opens them closes: with `closeTheirs` and either `closeOurs` or the streams. */
export class Pipes {
  readonly #stdin: Pipe;
  readonly #stdout: Pipe;
  readonly #stderr: Pipe;

  /** @throws Error of the system, with its `code`; nothing is open then. */
  constructor(libc: LibC) {
    const open: Pipe[] = [];
    try {
      for (let count = 0; count < 3; count++) open.push(openPipe(libc));
    } catch (error) {
      for (const { readEnd, writeEnd } of open) {
        closeSync(readEnd);
        closeSync(writeEnd);
      }
      throw error;
    }
    [this.#stdin, this.#stdout, this.#stderr] = open as [Pipe, Pipe, Pipe];
  }

  /** The program's ends, in the order of its descriptors 0, 1 and 2. */
  get theirs(): readonly [number, number, number] {
    return [this.#stdin.readEnd, this.#stdout.writeEnd, this.#stderr.writeEnd];
  }

  /** To be called when the program has its own copies, or will never. */
  closeTheirs(): void {
    for (const descriptor of this.theirs) closeSync(descriptor);
  }

  /** To be called where no streams are made. */
  closeOurs(): void {
    for (const descriptor of [this.#stdin.writeEnd, this.#stdout.readEnd, this.#stderr.readEnd]) {
      closeSync(descriptor);
    }
  }

  /** Streams on our ends, which they close. */
  streams(): { stdin: Writable; stdout: Readable; stderr: Readable } {
    const reading = (fd: number): Readable => new Socket({ fd, readable: true, writable: false });
    return {
      stdin: new Socket({ fd: this.#stdin.writeEnd, readable: false, writable: true }),
      stdout: reading(this.#stdout.readEnd),
      stderr: reading(this.#stderr.readEnd),
    };
  }
}

function openPipe({ pipe2, fcntl, errno }: LibC): Pipe {
  const descriptors = new Int32Array(2);
  if (pipe2(descriptors, O_CLOEXEC) !== 0) throw systemError('pipe2', errno());
  const [readEnd = -1, writeEnd = -1] = descriptors;
  fcntl(readEnd, F_SETPIPE_SZ, 'int', PIPE_BYTES);
  return { readEnd, writeEnd };
}
