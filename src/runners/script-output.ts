/** Carries a script's answer to the web server: header observed, body untouched, held back as long as it has to be. */

import type { Writable } from 'node:stream';

import { type ResponseHeader, ResponseHeaderReader } from '../cgi/response-header.js';
import { reasonOf } from '../base/errors.js';
import { noteBytesRead } from '../base/memory.js';
import type { Timer, WaitSignal } from '../base/timer.js';
import type { RunLimits } from './runner.js';
import type { ScriptRun } from './script-run.js';
import { drained, type ScriptSource } from './script-streams.js';

/** What is held is sent as one record up to this size; more is not copied. */
const COPIED_BYTES = 16_384;

/** The number of pieces that are held apart: each costs memory beside its bytes, and a script may write one byte at a time. */
const MAX_HELD_PIECES = 256;

/** What it asks its run for, which has the rest of the body taken in at `onFull`; then the run calls `bodyArrived`. */
export interface OutputRun extends Pick<ScriptRun, 'headOnly' | 'hasBody' | 'onFull'> {
  readonly givenUp: WaitSignal;
  readonly limits: Pick<RunLimits, 'maxHeaderBytes' | 'holdDuringUploadBytes' | 'holdUntilExitBytes'>;
  readonly idleTimer: Pick<Timer, 'putOff'>;
  readonly startTimer: Pick<Timer, 'stop'>;
}

/**
 * One script's response. It reads the script's standard output and writes the web server's STDOUT, no faster than the
 * web server takes it; it ends neither. Nobody else changes its fields.
 *
 * A web server may stop sending the body once it sees the beginning of an answer (nginx with
 * `fastcgi_request_buffering off` does), and both would wait for ever. So the answer is held back until `bodyArrived` is
 * called, as the body has ended or nobody reads it, or until `holdDuringUploadBytes` are held (see `onFull`).
 *
 * Nor can a web server ask elsewhere for an answer of which it has passed a part on. So one that is not too large for it
 * (`holdUntilExitBytes`) is held back until it is known to be whole.
 */
export class ScriptOutput {
  /** Bytes that were handed to the web server. */
  sentBytes = 0;
  /** Whether what there was of the response has been forgotten, since it was not whole. */
  withheld = false;
  /** Whether the web server has left before all that the response consists of could be handed to it. */
  lost = false;
  readonly #source: ScriptSource;
  readonly #sink: Writable;
  readonly #run: OutputRun;
  readonly #reader: ResponseHeaderReader;
  #header: ResponseHeader | undefined;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #isHeldForUpload: boolean;
  #isHeldUntilExit: boolean;
  #onBodyArrived: (() => void) | undefined;
  #bodyBytes = 0;
  #cut = false;

  constructor(source: ScriptSource, sink: Writable, run: OutputRun) {
    this.#source = source;
    this.#sink = sink;
    this.#run = run;
    this.#isHeldForUpload = run.hasBody;
    this.#isHeldUntilExit = run.limits.holdUntilExitBytes > 0;
    this.#reader = new ResponseHeaderReader(run.limits.maxHeaderBytes);
  }

  /** The status of the response, once its header was complete; undefined if `cut` came before any of it was sent. */
  get status(): number | undefined {
    return this.#cut ? undefined : this.#header?.status;
  }

  get hasHeader(): boolean {
    return this.#header !== undefined;
  }

  /** The first line of what was written in place of a header. */
  get firstLine(): string {
    return this.#reader.firstLine;
  }

  /** Whether the script has written all that the response consists of: a web server that leaves now has had it all. */
  get complete(): boolean {
    return this.#source.readableEnded || this.whole;
  }

  /** Whether the script has written as much as it had announced, or as HEAD wants. */
  get whole(): boolean {
    return this.hasHeader && this.#bodyBytes >= this.#wantedBytes;
  }

  /** Whether the script has ended before it wrote as much as it had announced; to HEAD it has every right to. */
  get short(): boolean {
    return !this.#run.headOnly && this.#bodyBytes < (this.#header?.contentBytes ?? 0);
  }

  /** Whether the script has written more than it had announced. */
  get long(): boolean {
    return this.#bodyBytes > (this.#header?.contentBytes ?? Infinity);
  }

  /**
   * Carries the script's output until it ends or is destroyed; what the web server no longer takes is thrown away.
   *
   * @throws BridgeError `ERR_MAX_HEADER_SIZE`, `ERR_INVALID_HEADER`; the script may then still be running.
   */
  async carry(): Promise<void> {
    const source = this.#source;
    await new Promise<void>((resolve, reject) => {
      source.on('data', (chunk: Buffer) => {
        try {
          const sent = this.#take(chunk);
          if (sent === undefined) return;
          source.pause();
          void sent.then(() => source.resume());
        } catch (error) {
          source.destroy();
          reject(error instanceof Error ? error : new Error(reasonOf(error)));
        }
      });
      source.once('end', resolve);
      // Destroyed by the run's owner, who knows why.
      source.once('close', resolve);
      source.on('error', () => undefined);
    });
    await this.#sendOn();
  }

  /** The request's body has arrived, or is not wanted: a web server may see the response begin. */
  bodyArrived(): void {
    this.#isHeldForUpload = false;
    this.#onBodyArrived?.();
    void this.#sendOn();
  }

  /**
   * Sends what was held to be sent whole; the caller, who ends the sink, has it and the end go out as one. What is not whole is
   * forgotten: nobody has seen anything of it, and an answer that says so is better than a part.
   */
  scriptEnded({ isWhole }: { isWhole: boolean }): void {
    if (!this.#isHeldUntilExit) return;
    this.#isHeldUntilExit = false;
    if (isWhole) {
      this.#sink.cork();
      void this.#sendOn();
    } else {
      this.withheld = this.#heldBytes > 0;
      this.cut();
    }
  }

  /** The run is being ended: an answer of which nothing was sent is forgotten, since there will be another one. */
  cut(): void {
    if (this.sentBytes > 0) return;
    this.#cut = true;
    this.#held = [];
    this.#heldBytes = 0;
  }

  /** Bytes of the body that are sent: more than announced, HAProxy answers with 502, and Caddy not at all. */
  get #wantedBytes(): number {
    return this.#run.headOnly ? 0 : (this.#header?.contentBytes ?? Infinity);
  }

  /** Takes a piece of the script's output; returns what is to be waited for before more is taken, if anything is. */
  #take(chunk: Buffer): Promise<void> | undefined {
    noteBytesRead(chunk.length);
    // What lies beyond is thrown away: it would keep a run for ever that nobody wants any more.
    if (!this.complete) this.#run.idleTimer.putOff();
    if (this.#cut) return undefined;
    const pieces: Buffer[] = [];
    let body: Buffer | undefined = chunk;
    if (this.#header === undefined) {
      this.#header = this.#reader.push(chunk);
      body = this.#header?.body;
      if (this.#header !== undefined) {
        this.#run.startTimer.stop();
        pieces.push(this.#header.header);
      }
    }
    if (body !== undefined) {
      const left = Math.max(0, this.#wantedBytes - this.#bodyBytes);
      this.#bodyBytes += body.length;
      if (left > 0 && body.length > 0) pieces.push(body.subarray(0, left));
    }
    this.#held.push(...pieces);
    if (this.#held.length > MAX_HELD_PIECES) this.#held = [Buffer.concat(this.#held)];
    for (const { length } of pieces) this.#heldBytes += length;
    if (this.#heldBytes >= this.#run.limits.holdUntilExitBytes) this.#isHeldUntilExit = false;
    if (this.#isHeldForUpload && this.#heldBytes >= this.#run.limits.holdDuringUploadBytes) {
      const released = new Promise<void>((resolve) => {
        this.#onBodyArrived = resolve;
      });
      this.#run.onFull();
      return released.then(() => this.#sendOn());
    }
    return this.#sendOn();
  }

  /** The one place that decides whether what is held may leave; returns what is to be waited for before more is taken. */
  #sendOn(): Promise<void> | undefined {
    const isHeldForUpload = this.#isHeldForUpload && !this.#source.readableEnded && !this.#source.destroyed;
    if (this.#heldBytes === 0 || isHeldForUpload || this.#isHeldUntilExit) return undefined;
    const [held, bytes] = [this.#held, this.#heldBytes];
    const pieces = bytes <= COPIED_BYTES ? [Buffer.concat(held)] : held;
    this.#held = [];
    this.#heldBytes = 0;
    if (this.#sink.destroyed) {
      // What a script adds to a response that was complete, nobody misses.
      this.lost ||= this.sentBytes < (this.#header?.header.length ?? Infinity) + this.#wantedBytes;
      return undefined;
    }
    this.sentBytes += bytes;
    const sink = this.#sink;
    sink.cork();
    let takesMore = true;
    for (const piece of pieces) takesMore = sink.write(piece);
    if (this.#source.isLast === true) {
      // With what ends the request, as a rule, for which nothing else happens first.
      setImmediate(() => {
        sink.uncork();
      });
    } else {
      sink.uncork();
    }
    if (takesMore) return undefined;
    return drained(sink, this.#run.givenUp).then(() => {
      this.#run.idleTimer.putOff();
    });
  }
}
