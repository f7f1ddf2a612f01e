/** The octets of one connection: sent in order, read no further than wanted, ended without losing the last answer. */

import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { BridgeError } from '../base/errors.js';
import { Timer } from '../base/timer.js';
import { noteBytesRead } from '../base/memory.js';
import type { SocketOptions } from './connection-options.js';

interface SocketEvents {
  readonly onChunk: (chunk: Buffer) => void;
  /** Told, perhaps more than once, that the web server has ended its side or that nothing is left of the connection. */
  readonly onLeft: () => void;
  /** Told when the web server has read all but the part that it may leave unread. */
  readonly onRead: () => void;
}

/** Octets of answers that no writer waits for (END_REQUEST, GET_VALUES_RESULT …) and a peer may leave unread. */
const MAX_UNAWAITED_BYTES = 65_536;

/** How long a connection that we have ended waits for the web server to go on sending or to end it too. */
const LINGER_MS = 5_000;

/** Owns the socket it is given: closes it when the peer, `finish` or `destroy` says so, unless it was `release`d. */
export class ConnectionSocket {
  /** Once it is not `open`, nothing that comes matters any more. Nobody else changes it. */
  state: 'open' | 'finishing' | 'closed' = 'open';
  /** Resolves when the socket is closed, or somebody else's. */
  readonly closed: Promise<void>;

  readonly #stream: Duplex;
  readonly #options: SocketOptions;
  readonly #events: SocketEvents;
  readonly #stall: Timer;
  readonly #restOfRecord: Timer;
  #resolveClosed: () => void = () => undefined;
  readonly #linger = new Timer(LINGER_MS, () => {
    this.destroy();
  });
  #unawaitedBytes = 0;

  constructor(socket: Duplex, options: SocketOptions, events: SocketEvents) {
    this.#stream = socket;
    this.#options = options;
    this.#events = events;
    const { idleTimeoutMs } = options;
    const idle = `${String(idleTimeoutMs)} ms (--idle-timeout)`;
    this.#stall = new Timer(idleTimeoutMs, () => {
      this.fail(new BridgeError('ERR_FASTCGI_DISCONNECTED', `the web server has read nothing for ${idle}`));
    });
    this.#restOfRecord = new Timer(idleTimeoutMs, () => {
      const what = `the web server has sent part of a record, and nothing more for ${idle}`;
      this.fail(new BridgeError('ERR_FASTCGI_TIMEOUT', what));
    });
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    // What an error means is told by the close that always follows it.
    socket.on('error', () => undefined);
    socket.once('close', this.#onClosed).on('data', this.#onData).once('end', this.#onEnd);
  }

  /** Whether the web server has sent something that has not come here yet; undefined where nobody can say. */
  get hasUnread(): boolean | undefined {
    return this.#options.hasUnread?.(this.#stream);
  }

  /** Sends octets in order, at least one piece; calls `done` when the web server can take more. */
  readonly send = (octets: readonly Buffer[], done?: () => void): void => {
    if (this.state === 'closed') return;
    let unawaited = 0;
    if (done === undefined) for (const { length } of octets) unawaited += length;
    this.#unawaitedBytes += unawaited;
    this.#stream.cork();
    for (const buffer of octets.slice(0, -1)) this.#stream.write(buffer);
    this.#stream.write(octets.at(-1), (error) => {
      this.#stall.stop();
      // Without a peer the request is aborted by the socket's close: its stream must neither fail nor finish before. Node
      // calls back without an error what was waiting when the socket was destroyed.
      if (error || this.#stream.destroyed) return;
      // It has read, and has all its time for what is left.
      if (this.#stream.writableLength > 0) this.#stall.start();
      this.#unawaitedBytes -= unawaited;
      (done ?? this.#events.onRead)();
    });
    this.#stream.uncork();
    if (this.#stream.writableLength > 0) this.#stall.start();
  };

  /**
   * Reads on, if that `isWanted` and the web server reads what it has asked for: GET_VALUES, or requests that have no
   * answer to speak of, can be sent without end. Where the rest `isDue` of what it has begun, it has its time for that.
   */
  readOn(isWanted: boolean, isDue: boolean): void {
    if (this.state === 'closed') return;
    const isFinished = this.state !== 'open';
    const reads = isFinished || (isWanted && this.#unawaitedBytes <= MAX_UNAWAITED_BYTES);
    if (reads === this.#stream.isPaused()) {
      if (reads) this.#stream.resume();
      else this.#stream.pause();
    }
    if (reads && isDue && !isFinished) this.#restOfRecord.start();
    else this.#restOfRecord.stop();
  }

  /**
   * Ends our side and goes on reading what the web server may still send: closing a socket with unread octets resets
   * it, and the web server would lose the end of the answer. A web server that is slow to read has all its time. Where
   * all has come that `isWhole` speaks of, and nothing is under way, it closes at once, which costs less.
   */
  finish(isWhole = false): void {
    if (this.state !== 'open') return;
    this.state = 'finishing';
    this.#restOfRecord.stop();
    if (isWhole && this.#isAtRest && this.hasUnread === false) {
      // Before Node has called back, each write would make an error of it.
      process.nextTick(() => {
        this.#stream.destroy();
      });
      return;
    }
    this.#stream.end(() => {
      if (!this.#stream.destroyed) this.#linger.start();
    });
    this.#stream.resume();
  }

  /** Has the web server know of our end, if it has come, before that can send anything more. */
  endAtOnce(): void {
    if (this.state === 'finishing') this.#options.endAtOnce?.(this.#stream);
  }

  /**
   * Lets go of the socket if nothing is under way on it, in either direction, and says whether: then it is somebody
   * else's, open as it is, and this has ended.
   */
  release(): boolean {
    const socket = this.#stream;
    if (this.state !== 'open' || socket.destroyed || !this.#isAtRest) return false;
    socket.off('close', this.#onClosed).off('data', this.#onData).off('end', this.#onEnd);
    this.#onClosed();
    return true;
  }

  get #isAtRest(): boolean {
    return this.#stream.readableLength === 0 && this.#stream.writableLength === 0 && !this.#stream.isPaused();
  }

  /** Closes at once, since the web server has done wrong. */
  fail(problem: BridgeError): void {
    this.#options.onProblem(problem);
    this.destroy();
  }

  /** Closes at once. */
  destroy(): void {
    this.#stream.destroy();
  }

  readonly #onData = (chunk: Buffer): void => {
    noteBytesRead(chunk.length);
    this.#linger.putOff();
    this.#restOfRecord.putOff();
    if (this.state === 'open') this.#events.onChunk(chunk);
  };

  /** A web server that ends its side has left: none of them half-closes, and nothing else shows that it is gone. */
  readonly #onEnd = (): void => {
    this.#events.onLeft();
    this.finish();
    if (!this.#stream.destroyed) this.#linger.start();
  };

  readonly #onClosed = (): void => {
    this.state = 'closed';
    this.#linger.stop();
    this.#stall.stop();
    this.#restOfRecord.stop();
    this.#events.onLeft();
    this.#resolveClosed();
  };
}

type Done = (error?: Error | null) => void;

/**
 * The socket of who sends requests, which outlives a write which fails, as when the application has answered without reading the body and has closed
 * the connection: what is written from then on is thrown away, and reading goes on to the end. Node's own would be
 * destroyed, with all that it has not read.
 */
export class ReadingSocket extends Socket {
  #isUnread = false;

  override _write(chunk: unknown, encoding: BufferEncoding, done: Done): void {
    if (this.#isUnread) done();
    else super._write(chunk, encoding, this.#outliving(done));
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], done: Done): void {
    if (this.#isUnread) done();
    else super._writev?.(chunks, this.#outliving(done));
  }

  #outliving(done: Done): Done {
    return (error) => {
      if (error) this.#isUnread = true;
      done();
    };
  }
}
