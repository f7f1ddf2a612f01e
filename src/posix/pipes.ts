/** The three pipes between a program and us, and the stream of those that are read late: most programs end soon. */

import { closeSync, writeSync } from 'node:fs';
import { Socket, type SocketConstructorOpts } from 'node:net';
import { type DuplexOptions, Readable, Writable } from 'node:stream';

import { readAtOnce } from './descriptors.js';
import { type LibC, O_CLOEXEC, systemError } from './libc.js';

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

/** Up to six descriptors, which their opener closes: once, by `streams` and what that makes, or by `close`. */
export class Pipes {
  readonly #libc: LibC;
  /** The program's ends, and ours: of standard output, of standard error and, if there is input, of standard input. */
  readonly theirs: number[] = [];
  readonly #ours: number[] = [];

  /**
   * Puts `input` into the pipe to standard input and closes it, where it fits; where it is empty, there is no such pipe.
   *
   * @throws Error of the system, with its `code`; nothing is open then.
   */
  constructor(libc: LibC, input: Buffer | undefined) {
    this.#libc = libc;
    // A pipe for no input would cost eight system calls and 0.02 ms.
    const count = input?.length === 0 ? 2 : 3;
    try {
      while (this.#ours.length < count) {
        if (libc.pipe2(descriptors, O_CLOEXEC) !== 0) throw systemError('pipe2', libc.errno());
        const [readEnd = -1, writeEnd = -1] = descriptors;
        const isInput = this.#ours.length === 2;
        this.theirs.push(isInput ? readEnd : writeEnd);
        this.#ours.push(isInput ? writeEnd : readEnd);
      }
      const stdin = this.#ours[2];
      if (stdin !== undefined && input !== undefined && input.length <= MIN_PIPE_BYTES) {
        // A stream only to end it would cost 0.05 ms of CPU time.
        writeSync(stdin, input);
        this.#ours.pop();
        closeSync(stdin);
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** To be called where there is no program. */
  close(): void {
    for (const descriptor of [...this.theirs.splice(0), ...this.#ours.splice(0)]) closeSync(descriptor);
  }

  /**
   * Streams on our ends, which they close; to be called when the program has its own copies of the other ends. Standard
   * input is destroyed already where it has got all.
   */
  streams(): { stdin: Writable; stdout: OutputPipe; stderr: OutputPipe } {
    for (const descriptor of this.theirs) closeSync(descriptor);
    const { fcntl } = this.#libc;
    const [stdout, stderr, stdin] = this.#ours as [number, number, number?];
    fcntl(stdout, F_SETPIPE_SZ, 'int', PIPE_BYTES);
    for (const descriptor of [stdout, stderr]) fcntl(descriptor, F_SETFL, 'int', O_NONBLOCK);
    return {
      stdin: stdin === undefined ? closed : this.#stdinStream(stdin),
      stdout: new OutputPipe(stdout, LOOK_MS),
      stderr: new OutputPipe(stderr),
    };
  }

  #stdinStream(fd: number): Writable {
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
}

/** What nothing more can be written to. */
const closed = new Writable().destroy();

const descriptors = new Int32Array(2);

/** How long what a program has just written may lie in the pipe. Most programs have ended by then. */
const PATIENCE_MS = 20;
/** How long what is part of a response may. */
const LOOK_MS = 5;
/** What has more to say is watched at once, and does not wait for room in its pipe. */
const MUCH_BYTES = 65_536;

const room = Buffer.allocUnsafe(MUCH_BYTES);

/**
 * The bytes of a pipe. It is read once its program has ended, or has run for a while, from when on it is watched: to
 * make a socket for it and to have that watched costs 0.05 ms of CPU time, to read its end one system call.
 */
export class OutputPipe extends Readable {
  /** Whether its program has ended, so that its end follows, as a rule before anything else happens. Nobody else changes it. */
  isLast = false;
  readonly #descriptor: number;
  readonly #timer: NodeJS.Timeout;
  #looksLeft: number;
  /** Until it is watched, or its end is found. */
  #isWaiting = true;
  #socket: Socket | undefined;

  /**
   * Owns the descriptor of the pipe's end, which must be non-blocking, until it is destroyed: by itself when all was read.
   * Until it is watched, it is read every `lookMs`.
   */
  constructor(descriptor: number, lookMs = PATIENCE_MS) {
    super();
    this.#descriptor = descriptor;
    this.#looksLeft = PATIENCE_MS / lookMs - 1;
    this.#timer = setTimeout(this.#look.bind(this), lookMs);
  }

  override _read(): void {
    this.#socket?.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#timer);
    this.#isWaiting = false;
    if (this.#socket === undefined) closeSync(this.#descriptor);
    else this.#socket.destroy();
    done(error);
  }

  /** To be called when its program has ended. The other end may still be held, by what that has started. */
  programEnded(): void {
    this.isLast = true;
    this.#look();
  }

  /** Takes what is in it, which may be its end; what says much or runs for long is watched from then on. */
  #look(): void {
    if (!this.#isWaiting) return;
    const isRead = this.isLast || (this.#looksLeft > 0 && this.readableLength === 0);
    this.#looksLeft -= 1;
    try {
      for (let takenBytes = 0; isRead && takenBytes < MUCH_BYTES;) {
        const bytes = readAtOnce(this.#descriptor, room);
        if (bytes === 0) {
          this.#isWaiting = false;
          this.push(null);
          return;
        }
        if (bytes === undefined) {
          // What its program has started holds the other end, for as long as it likes.
          if (this.isLast) break;
          this.#timer.refresh();
          return;
        }
        takenBytes += bytes;
        this.push(Buffer.from(room.subarray(0, bytes)));
        // By who has got that.
        if (this.destroyed) return;
      }
    } catch (error) {
      this.destroy(error as Error);
      return;
    }
    this.#watch();
  }

  #watch(): void {
    clearTimeout(this.#timer);
    this.#isWaiting = false;
    const socket = new Socket({ fd: this.#descriptor, readable: true, writable: false });
    this.#socket = socket;
    socket.on('data', (piece) => {
      if (!this.push(piece)) socket.pause();
    });
    socket.once('end', () => this.push(null));
    socket.once('error', (error) => this.destroy(error));
  }
}
