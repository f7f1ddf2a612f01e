/** A request's body on its way to its script, however slowly that reads: through memory, and through disk if it must. */

import { Duplex } from 'node:stream';

import type { ByteBudget } from '../base/bytes.js';
import { BridgeError, bridgeErrorFrom } from '../base/errors.js';
import { Timer } from '../base/timer.js';
import { Spool } from './spool.js';

/** How long the connection waits for a script that does not read on, before the rest of the body goes to disk. */
const PATIENCE_MS = 1_000;

export interface RequestBodyOptions {
  /** Bytes that are kept in memory for a script that reads slowly. */
  readonly bufferBytes: number;
  readonly maxSpoolBytes: number;
  /** What all requests' bodies have of the disk, together. */
  readonly spoolBudget: ByteBudget;
  /** Whether what comes may be left unread: no other request waits behind it. */
  readonly mayWait: () => boolean;
  /** Told once why what comes is left unread until the script reads on. */
  readonly onProblem: (problem: BridgeError) => void;
  readonly patienceMs?: number;
}

/**
 * The connection writes it, the script reads it. It is taken on whether the script reads or not: what else the connection
 * brings, other requests and the web server's leaving, must not wait behind it.
 *
 * - A script that reads gets the body through memory, no faster than it reads.
 * - When it has left the buffer full for a while, what follows goes to disk, until it has caught up. That is at once so
 *   where other requests wait, or once `takeIn` was called.
 * - What the disk can't take either is waited for if that is no other request's loss. Otherwise the body fails with
 *   `ERR_MAX_SPOOL_SIZE`, `ERR_MAX_SPOOL_TOTAL` or `ERR_SPOOL`: the stream is destroyed with that error.
 *
 * Its maker destroys it, which gives the disk space back. It emits `arrival` with the bytes of each piece that comes.
 */
export class RequestBody extends Duplex {
  /** Resolves when all of it has come, or when no more of it can be taken in or is wanted. */
  readonly arrived: Promise<void>;

  readonly #options: RequestBodyOptions;
  readonly #patience: Timer;
  #arrive: () => void = () => undefined;
  /** What becomes of the next piece: in `waiting`, none comes before the script reads or patience ends. */
  #way: 'memory' | 'waiting' | 'disk' = 'memory';
  #isDue = false;
  #mustFit = false;
  #hasEnded = false;
  /** Lets the next piece come. */
  #next: (() => void) | undefined;
  /** Whether the reader has asked for bytes and has not got any. */
  #isAsked = false;
  #spool: Spool | undefined;
  /** A piece on its way to disk, or one that the disk could not take. */
  #toSpool: Buffer | undefined;
  #isWriting = false;
  #isReading = false;
  #hasToldProblem = false;
  #bytes = 0;

  constructor(options: RequestBodyOptions) {
    super({ readableHighWaterMark: options.bufferBytes, writableHighWaterMark: 1 });
    this.#options = options;
    this.#patience = new Timer(options.patienceMs ?? PATIENCE_MS, () => {
      this.#overflow();
    });
    this.arrived = new Promise((resolve) => {
      this.#arrive = resolve;
    });
    // Its error is found in `errored`, once it is seen to be destroyed before its end.
    this.on('error', () => undefined);
  }

  /** Whether all of it has come and that is nothing. */
  get isEmpty(): boolean {
    return this.writableEnded && this.#bytes === 0;
  }

  /** Has the rest come in whether the script reads or not, since it waits for that itself. */
  takeIn(): void {
    this.#isDue = true;
    if (this.#way === 'waiting') this.#overflow();
  }

  /**
   * Takes all of it in before any of it is read. Resolves to its length. The web server may send nothing of it for
   * `idleTimeoutMs`, or with 0 for as long as it likes.
   *
   * @throws BridgeError `ERR_MAX_SPOOL_SIZE`, `ERR_MAX_SPOOL_TOTAL`, `ERR_SPOOL`, `ERR_BODY_TIMEOUT`; what it is destroyed with.
   */
  async whole(idleTimeoutMs = 0): Promise<number> {
    this.#mustFit = true;
    const idle = new Timer(idleTimeoutMs, () => {
      const why = `nothing of the request’s body came for ${String(idleTimeoutMs)} ms (--idle-timeout)`;
      this.destroy(new BridgeError('ERR_BODY_TIMEOUT', why));
    });
    const putOff = (): void => {
      idle.putOff();
    };
    idle.start();
    this.on('arrival', putOff).takeIn();
    await this.arrived;
    this.off('arrival', putOff);
    idle.stop();
    if (this.destroyed) throw this.errored ?? new Error('the request’s body was given up');
    return this.#bytes;
  }

  override _read(): void {
    this.#isAsked = true;
    this.#goOn();
  }

  override _write(piece: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#bytes += piece.length;
    this.#next = done;
    this.emit('arrival', piece.length);
    if (this.#way === 'disk') {
      void this.#store(piece);
    } else if (this.#offer(piece)) {
      this.#goNext();
    } else {
      this.#way = 'waiting';
      if (this.#isDue || !this.#options.mayWait()) this.#overflow();
      else this.#patience.start();
    }
  }

  override _final(done: () => void): void {
    this.#hasEnded = true;
    done();
    this.#goOn();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#patience.stop();
    this.#toSpool = undefined;
    void this.#spool?.close();
    this.#arrive();
    done(error);
  }

  #overflow(): void {
    this.#patience.stop();
    this.#way = 'disk';
    this.#goNext();
  }

  #goNext(): void {
    const next = this.#next;
    this.#next = undefined;
    next?.();
  }

  #offer(piece: Buffer | null): boolean {
    this.#isAsked = false;
    return this.push(piece);
  }

  /** Gives the reader what it has asked for; and with nothing left on disk, it gets what comes at once. */
  #goOn(): void {
    if (this.#hasEnded && this.#toSpool === undefined) this.#arrive();
    if (this.destroyed || this.#isReading || !this.#isAsked) return;
    if (this.#spool !== undefined && this.#spool.bytes > 0) {
      void this.#load(this.#spool);
    } else if (!this.#isWriting) {
      const piece = this.#toSpool;
      this.#toSpool = undefined;
      this.#patience.stop();
      this.#way = 'memory';
      if (piece !== undefined) this.#offer(piece);
      else if (this.#hasEnded) this.#offer(null);
      this.#goNext();
    }
  }

  async #load(spool: Spool): Promise<void> {
    this.#isReading = true;
    try {
      const piece = await spool.read();
      this.#isReading = false;
      if (this.destroyed) return;
      // There is room again for one that had to wait.
      if (this.#toSpool !== undefined && !this.#isWriting) void this.#store(this.#toSpool);
      this.#offer(piece);
    } catch (error) {
      this.destroy(bridgeErrorFrom(error, 'ERR_SPOOL'));
    }
  }

  async #store(piece: Buffer): Promise<void> {
    this.#toSpool = piece;
    this.#isWriting = true;
    const problem = await this.#write(piece);
    this.#isWriting = false;
    if (this.destroyed) return;
    if (problem === undefined) {
      this.#toSpool = undefined;
      this.#goNext();
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
    const { maxSpoolBytes, spoolBudget } = this.#options;
    try {
      this.#spool ??= await Spool.open(maxSpoolBytes, spoolBudget);
      if (this.destroyed) await this.#spool.close();
      else if (!(await this.#spool.write(piece))) {
        const reason = `more of a request’s body is waiting than --max-spool-size allows (${String(maxSpoolBytes)} bytes)`;
        return new BridgeError('ERR_MAX_SPOOL_SIZE', reason);
      }
      return undefined;
    } catch (error) {
      return bridgeErrorFrom(error, 'ERR_SPOOL');
    }
  }
}
