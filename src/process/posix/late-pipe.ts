/** Reads a pipe that is empty as a rule: the standard error of a program. */

import { closeSync, readSync } from 'node:fs';
import { Socket } from 'node:net';
import { Readable } from 'node:stream';

import { systemCodeOf } from '../../errors.js';

/** How long what a program has just written may lie in the pipe. Most programs have ended by then. */
const PATIENCE_MS = 20;

const octets = Buffer.allocUnsafe(4_096);

/**
 * The octets of a pipe. It is read once its program has ended, or has run for a while, from when on it is watched: to
 * make a socket for it and to have that watched costs 0.05 ms of CPU time, to read its end one system call.
 */
export class LatePipe extends Readable {
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
      for (let bytes; (bytes = readSync(this.#descriptor, octets)) > 0;) {
        this.push(Buffer.from(octets.subarray(0, bytes)));
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
