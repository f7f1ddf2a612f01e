/** The three pipes between a program and us, and the stream of the one that is empty as a rule: standard error. */

import { closeSync, readSync, writeSync } from 'node:fs';
import { Socket, type SocketConstructorOpts } from 'node:net';
import { type DuplexOptions, Readable, Writable } from 'node:stream';

import { systemCodeOf } from '../base/errors.js';
import { type LibC, systemError } from './libc.js';

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
/** What every pipe holds, also of a user to whose many pipes the system gives no more than a page. */
const MIN_PIPE_BYTES = 4_096;

interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
}

/** Six descriptors, which their opener closes: with `closeTheirs` and either `closeOurs` or the streams. */
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
  streams(): { stdin: Writable; stdout: Readable; stderr: StderrPipe } {
    const { fcntl } = this.#libc;
    fcntl(this.#stdout.readEnd, F_SETPIPE_SZ, 'int', PIPE_BYTES);
    fcntl(this.#stderr.readEnd, F_SETFL, 'int', O_NONBLOCK);
    return {
      stdin: this.#isFed ? closed : this.#stdinStream(),
      stdout: new Socket({ fd: this.#stdout.readEnd, readable: true, writable: false }),
      stderr: new StderrPipe(this.#stderr.readEnd),
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

const descriptors = new Int32Array(2);

function openPipe({ pipe2, errno }: LibC): Pipe {
  if (pipe2(descriptors, O_CLOEXEC) !== 0) throw systemError('pipe2', errno());
  const [readEnd = -1, writeEnd = -1] = descriptors;
  return { readEnd, writeEnd };
}

/** How long what a program has just written may lie in the pipe. Most programs have ended by then. */
const PATIENCE_MS = 20;

const room = Buffer.allocUnsafe(4_096);

/**
 * The bytes of a pipe. It is read once its program has ended, or has run for a while, from when on it is watched: to
 * make a socket for it and to have that watched costs 0.05 ms of CPU time, to read its end one system call.
 */
export class StderrPipe extends Readable {
  readonly #descriptor: number;
  readonly #timer: NodeJS.Timeout;
  #state: 'waiting' | 'watched' | 'closed' = 'waiting';
  #socket: Socket | undefined;

  /** Owns the descriptor of the pipe's end, which must be non-blocking. */
  constructor(descriptor: number) {
    super();
    this.#descriptor = descriptor;
    this.#timer = setTimeout(() => {
      this.#watch();
    }, PATIENCE_MS);
  }

  override _read(): void {
    this.#socket?.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (this.#state === 'waiting') this.#close();
    this.#socket?.destroy();
    done(error);
  }

  /** To be called when its program has ended. The other end may still be held, by what that has started. */
  programEnded(): void {
    if (this.#state !== 'waiting') return;
    try {
      for (let bytes; (bytes = readSync(this.#descriptor, room)) > 0;) {
        this.push(Buffer.from(room.subarray(0, bytes)));
      }
    } catch (error) {
      if (systemCodeOf(error) === 'EAGAIN') this.#watch();
      else this.destroy(error as Error);
      return;
    }
    this.#close();
    this.push(null);
  }

  #watch(): void {
    clearTimeout(this.#timer);
    this.#state = 'watched';
    const socket = new Socket({ fd: this.#descriptor, readable: true, writable: false });
    this.#socket = socket;
    socket.on('data', (piece) => {
      if (!this.push(piece)) socket.pause();
    });
    socket.once('end', () => this.push(null));
    socket.once('error', (error) => this.destroy(error));
  }

  #close(): void {
    clearTimeout(this.#timer);
    this.#state = 'closed';
    closeSync(this.#descriptor);
  }
}
