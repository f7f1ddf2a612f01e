/** The three pipes between a program and us. */

import { closeSync, writeSync } from 'node:fs';
import { Socket, type SocketConstructorOpts } from 'node:net';
import { type DuplexOptions, type Readable, Writable } from 'node:stream';

import { LatePipe } from './late-pipe.js';
import type { LibC } from './libc.js';
import { systemError } from './system-error.js';

/** `O_CLOEXEC` of Linux, which Node does not name: no program inherits an end that is not its own. */
const O_CLOEXEC = 0o2_000_000;
/** `F_SETFL`, which Node does not name either, and `O_NONBLOCK`. */
const F_SETFL = 4;
const O_NONBLOCK = 0o4_000;

/** `F_SETPIPE_SZ` of Linux. */
const F_SETPIPE_SZ = 1_031;
/**
 * What a pipe holds: with the 64 KiB that it has by itself, large bodies wait for a turn of the event loop or of the
 * program too often. The system may refuse more to a user who has many, which does no harm.
 */
const PIPE_BYTES = 262_144;
/** What may be gathered for one write: as much as is read from a web server at a time. */
const WRITE_BYTES = 65_536 + 8_192;
/** What every pipe holds, also of a user who has so many that the system gives them no more than a page. */
const MIN_PIPE_BYTES = 4_096;

interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
}

/** Six descriptors, which whoever opens them closes: with `closeTheirs` and either `closeOurs` or the streams. */
export class Pipes {
  readonly #libc: LibC;
  readonly #stdin: Pipe;
  readonly #stdout: Pipe;
  readonly #stderr: Pipe;
  #isFed = false;

  /**
   * Puts `input` into the pipe to standard input and closes it, where there is any and it fits.
   *
   * @throws Error of the system, with its `code`; nothing is open then.
   */
  constructor(libc: LibC, input: Buffer | undefined) {
    this.#libc = libc;
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
    if (input !== undefined && input.length <= MIN_PIPE_BYTES) this.#feed(input);
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
    if (!this.#isFed) closeSync(this.#stdin.writeEnd);
    closeSync(this.#stdout.readEnd);
    closeSync(this.#stderr.readEnd);
  }

  /** Streams on our ends, which they close; standard input is destroyed already where it has got all. */
  streams(): { stdin: Writable; stdout: Readable; stderr: LatePipe } {
    const { fcntl } = this.#libc;
    fcntl(this.#stdout.readEnd, F_SETPIPE_SZ, 'int', PIPE_BYTES);
    fcntl(this.#stderr.readEnd, F_SETFL, 'int', O_NONBLOCK);
    return {
      stdin: this.#isFed ? closed : this.#stdinStream(),
      stdout: new Socket({ fd: this.#stdout.readEnd, readable: true, writable: false }),
      stderr: new LatePipe(this.#stderr.readEnd),
    };
  }

  #stdinStream(): Writable {
    const fd = this.#stdin.writeEnd;
    this.#libc.fcntl(fd, F_SETPIPE_SZ, 'int', PIPE_BYTES);
    // Sockets are streams, and take streams' options; Node's types know that of servers only.
    const options: SocketConstructorOpts & DuplexOptions = {
      fd,
      readable: false,
      writable: true,
      writableHighWaterMark: WRITE_BYTES,
    };
    return new Socket(options);
  }

  /** Most requests have no body: a stream only to end it would cost 0.05 ms of CPU time. */
  #feed(input: Buffer): void {
    const fd = this.#stdin.writeEnd;
    if (input.length > 0) writeSync(fd, input);
    closeSync(fd);
    this.#isFed = true;
  }
}

/** What nothing more can be written to. */
const closed = new Writable().destroy();

function openPipe({ pipe2, errno }: LibC): Pipe {
  const descriptors = new Int32Array(2);
  if (pipe2(descriptors, O_CLOEXEC) !== 0) throw systemError('pipe2', errno());
  const [readEnd = -1, writeEnd = -1] = descriptors;
  return { readEnd, writeEnd };
}
