/** A request's body on its way to its script, however slowly that reads: through memory, and through disk if it must. */

import { Readable } from 'node:stream';

import { BridgeError, reasonOf } from '../errors.js';
import { Timer } from '../timer.js';
import { Spool } from './spool.js';

/** How long the connection waits for a script that does not read on, before the rest of the body goes to disk. */
const PATIENCE_MS = 1_000;

export interface RequestBodyOptions {
  /** Octets that are kept in memory for a script that reads slowly. */
  readonly bufferBytes: number;
  /** Octets that are kept on disk. */
  readonly maxSpoolBytes: number;
  /** Whether `source` may be left unread: no other request waits behind it. */
  readonly mayWait: () => boolean;
  /** Told once why `source` is left unread until the script reads on. */
  readonly onProblem: (problem: BridgeError) => void;
  readonly patienceMs?: number;
}

/**
 * What a script is fed from in place of `source`, which is read on whether the script reads or not: what else its
 * connection brings, other requests and the web server's leaving, must not wait behind it.
 *
 * - A script that reads gets the body through memory, no faster than it reads.
 * - When it has left the buffer full for a while, what follows goes to disk, until it has caught up. That is at once so
 *   where other requests wait, or once `takeIn` was called.
 * - What the disk can't take either is waited for if that is no other request's loss. Otherwise the body fails with
 *   `ERR_MAX_SPOOL_SIZE` or `ERR_SPOOL`: the stream is destroyed with that error.
 *
 * Whoever makes it destroys it: that gives the disk space back, and the rest of `source` is read and thrown away. It
 * emits `arrival` with the octets of each piece that comes.
 */
export class RequestBody extends Readable {
  /** Resolves when all of it has come, or when no more of it can be taken in or is wanted. */
  readonly arrived: Promise<void>;

  readonly #source: Readable;
  readonly #options: RequestBodyOptions;
  readonly #patience: Timer;
  #arrive: () => void = () => undefined;
  /** What becomes of the next piece: in `waiting`, there is none before the script reads or patience ends. */
  #way: 'memory' | 'waiting' | 'disk' = 'memory';
  /** Whether somebody waits for the body to come. */
  #isDue = false;
  /** Whether all of it must fit. */
  #mustFit = false;
  #hasEnded = false;
  /** Whether the reader has asked for octets and has not got any. */
  #isAsked = false;
  #spool: Spool | undefined;
  /** A piece on its way to disk, or one that the disk could not take. */
  #inHand: Buffer | undefined;
  #isWriting = false;
  #isReading = false;
  #hasToldProblem = false;
  #bytes = 0;

  constructor(source: Readable, options: RequestBodyOptions) {
    super({ highWaterMark: options.bufferBytes });
    this.#source = source;
    this.#options = options;
    this.#patience = new Timer(options.patienceMs ?? PATIENCE_MS, () => {
      this.#overflow();
    });
    this.arrived = new Promise((resolve) => {
      this.#arrive = resolve;
    });
    // Its error is found in `errored`, by whoever finds that it was destroyed before its end.
    this.on('error', () => undefined);
    source.on('data', (piece: Buffer) => {
      if (!this.destroyed) this.#take(piece);
    });
    source.once('end', () => {
      this.#hasEnded = true;
      this.#goOn();
    });
    source.once('close', () => {
      if (!source.readableEnded) this.destroy(source.errored ?? undefined);
    });
  }

  /** Whether all of it has come and that is nothing. */
  get isEmpty(): boolean {
    return this.#hasEnded && this.#bytes === 0;
  }

  /** Has the rest come in whether the script reads or not, since it waits for that itself. */
  takeIn(): void {
    this.#isDue = true;
    if (this.#way === 'waiting') this.#overflow();
  }

  /**
   * Takes all of it in before any of it is read. Resolves to its length.
   *
   * @throws BridgeError `ERR_MAX_SPOOL_SIZE`, `ERR_SPOOL`; what it is destroyed with.
   */
  async whole(): Promise<number> {
    this.#mustFit = true;
    this.takeIn();
    await this.arrived;
    if (this.destroyed) throw this.errored ?? new Error('the request’s body was given up');
    return this.#bytes;
  }

  override _read(): void {
    this.#isAsked = true;
    this.#goOn();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#patience.stop();
    this.#inHand = undefined;
    void this.#spool?.close();
    // The rest is wanted by nobody, but what comes behind it is.
    this.#source.resume();
    this.#arrive();
    done(error);
  }

  #take(piece: Buffer): void {
    this.#bytes += piece.length;
    this.emit('arrival', piece.length);
    if (this.#way === 'disk') {
      void this.#store(piece);
    } else if (!this.#offer(piece)) {
      this.#way = 'waiting';
      this.#source.pause();
      if (this.#isDue || !this.#options.mayWait()) this.#overflow();
      else this.#patience.start();
    }
  }

  #overflow(): void {
    this.#patience.stop();
    this.#way = 'disk';
    this.#source.resume();
  }

  #offer(piece: Buffer | null): boolean {
    this.#isAsked = false;
    return this.push(piece);
  }

  /** Gives the reader what it has asked for; and with nothing left on disk, it gets what comes at once. */
  #goOn(): void {
    if (this.#hasEnded && this.#inHand === undefined) this.#arrive();
    if (this.destroyed || this.#isReading || !this.#isAsked) return;
    if (this.#spool !== undefined && this.#spool.bytes > 0) {
      void this.#load(this.#spool);
    } else if (!this.#isWriting) {
      const piece = this.#inHand;
      this.#inHand = undefined;
      this.#patience.stop();
      this.#way = 'memory';
      if (piece !== undefined) this.#offer(piece);
      else if (this.#hasEnded) this.#offer(null);
      this.#source.resume();
    }
  }

  async #load(spool: Spool): Promise<void> {
    this.#isReading = true;
    try {
      const piece = await spool.read();
      this.#isReading = false;
      if (this.destroyed) return;
      // There is room again for one that had to wait.
      if (this.#inHand !== undefined && !this.#isWriting) void this.#store(this.#inHand);
      this.#offer(piece);
    } catch (error) {
      this.destroy(spoolProblem(error));
    }
  }

  async #store(piece: Buffer): Promise<void> {
    this.#source.pause();
    this.#inHand = piece;
    this.#isWriting = true;
    const problem = await this.#write(piece);
    this.#isWriting = false;
    if (this.destroyed) return;
    if (problem === undefined) {
      this.#inHand = undefined;
      this.#source.resume();
    } else if (this.#mustFit || !this.#options.mayWait()) {
      this.destroy(problem);
      return;
    } else {
      this.#arrive();
      if (!this.#hasToldProblem) this.#options.onProblem(problem);
      this.#hasToldProblem = true;
    }
    this.#goOn();
  }

  /** Says why it could not be written. */
  async #write(piece: Buffer): Promise<BridgeError | undefined> {
    const { maxSpoolBytes } = this.#options;
    try {
      this.#spool ??= await Spool.open(maxSpoolBytes);
      if (this.destroyed) await this.#spool.close();
      else if (!(await this.#spool.write(piece))) {
        const reason = `more of a request’s body is waiting than --max-spool-size allows (${String(maxSpoolBytes)} octets)`;
        return new BridgeError('ERR_MAX_SPOOL_SIZE', reason);
      }
      return undefined;
    } catch (error) {
      return spoolProblem(error);
    }
  }
}

function spoolProblem(error: unknown): BridgeError {
  return error instanceof BridgeError ? error : new BridgeError('ERR_SPOOL', reasonOf(error));
}
