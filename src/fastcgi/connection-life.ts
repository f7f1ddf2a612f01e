/** How long a connection takes requests, and how it ends without losing one. */

import type { Duplex } from 'node:stream';

import { Timer } from '../base/timer.js';
import type { ConnectionSocket } from './connection-socket.js';
import type { RecordReader } from './record-reader.js';

/** What can be done with a socket beside what streams do. */
export interface SocketSystem {
  /** Ends our side, if all that was written is under way, sooner than Node does. */
  readonly endAtOnce?: (socket: Duplex) => void;
  /** Whether the web server has sent something that has not come here yet; undefined where nobody can say. */
  readonly hasUnread?: (socket: Duplex) => boolean | undefined;
}

/**
 * How long a connection that is to close waits for one more request. FastCGI can't say that a connection is about to close,
 * and what the web server sends meanwhile would be lost: it is least likely to send anything right after a response.
 */
const LAST_REQUEST_MS = 1_000;

/** Ends the connection's socket when its requests have ended, as it was told to; whose they are, the connection knows. */
export class ConnectionLife {
  /** Whether records of a chunk are still to be looked at. */
  isTaking = false;
  readonly #socket: ConnectionSocket;
  readonly #requests: ReadonlyMap<number, unknown>;
  readonly #reader: RecordReader;
  readonly #system: SocketSystem;
  /** Which requests it takes; `last` are those until none runs. */
  #takes: 'all' | 'last' | 'none' = 'all';
  #idleSince = performance.now();
  /** Whether the web server has sent all that belongs to its last request. */
  #isWhole = false;
  /** Runs while it is to close, and takes requests still. */
  readonly #lastRequest = new Timer(LAST_REQUEST_MS, () => {
    afterReading(() => {
      this.#drain();
    });
  });
  /** Told that the socket is somebody else's. */
  #onDetached: (() => void) | undefined;

  constructor(
    socket: ConnectionSocket,
    requests: ReadonlyMap<number, unknown>,
    reader: RecordReader,
    system: SocketSystem,
  ) {
    this.#socket = socket;
    this.#requests = requests;
    this.#reader = reader;
    this.#system = system;
  }

  /** Whether it takes no request any more. */
  get isEnding(): boolean {
    return this.#takes === 'none';
  }

  /** Since when it has waited for a request, by `performance.now()`; undefined while it has one, and once it is to close. */
  get idleSince(): number | undefined {
    return this.#takes === 'all' && this.#isIdle && !this.#socket.isFinished ? this.#idleSince : undefined;
  }

  /** Closes after the last response of the requests that run; an idle one takes the next, if that comes within a second. */
  close(): void {
    this.#onDetached = undefined;
    if (this.#takes !== 'all') return;
    this.#takes = 'last';
    this.#lastRequest.start();
  }

  /** Closes an idle connection, unless the web server has just sent something on it; says whether. */
  retire(): boolean {
    const hasUnread = this.#system.hasUnread?.(this.#socket.stream);
    if (this.idleSince === undefined || hasUnread === true) return false;
    if (hasUnread === false) this.#drain();
    else this.close();
    return true;
  }

  /** Goes on until no request runs; then the socket is released, and `detached` told. */
  detach(detached: () => void): void {
    this.#onDetached = detached;
    this.settle();
  }

  /** A request has ended, all of which has come, or was refused; without `keepConn` the web server wants no other. */
  requestEnded(keepConn: boolean, isWhole = false): void {
    this.#idleSince = performance.now();
    this.#isWhole = isWhole;
    if (!keepConn) this.#takes = 'none';
    else if (this.#takes === 'last' && this.#isIdle) this.#drain();
  }

  /** Without requests, ends as it was told to. */
  settle(): void {
    if (this.#requests.size > 0) return;
    if (this.#takes === 'none') this.#socket.finish(this.#isOver);
    else if (this.#onDetached !== undefined && this.#isIdle && !this.isTaking && this.#socket.release()) {
      this.#onDetached();
    }
  }

  over(): void {
    this.#lastRequest.stop();
  }

  get #isIdle(): boolean {
    return this.#requests.size === 0 && !this.#reader.isWithinRecord;
  }

  readonly #isOver = (): boolean =>
    this.#isWhole &&
    this.#isIdle &&
    !this.isTaking &&
    this.#system.hasUnread?.(this.#socket.stream) === false;

  #drain(): void {
    this.#takes = 'none';
    this.#lastRequest.stop();
    this.settle();
    // The web server may be told of the last response and send another request before Node would end our side.
    if (this.#socket.isFinished) this.#system.endAtOnce?.(this.#socket.stream);
  }
}

/** Calls `then` when Node has read what has come by now, and has nothing else to do before that. */
function afterReading(then: () => void): void {
  // Node may look for it only after the first of the two, wherever we are now.
  setImmediate(() => {
    setImmediate(then);
  });
}
