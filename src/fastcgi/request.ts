/** One FastCGI request: from its BEGIN_REQUEST to its one END_REQUEST (FastCGI 1.0 §3.3, §5). */

import type { Readable, Writable } from 'node:stream';

import type { BridgeError } from '../errors.js';
import { ProtocolStatus } from './constants.js';
import type { Params } from './params.js';
import { endRequest } from './record-writer.js';
import { RequestInput, type RequestLimits } from './request-input.js';
import { RequestOutput, type Send } from './request-output.js';

/** What a request needs of the connection that carries it. */
export interface RequestTransport {
  readonly send: Send;
  /** Told once, when the params are complete or there is a problem with them. */
  requestReady(request: Request): void;
  /** Told when STDIN has room again, after it had none. */
  stdinWanted(): void;
  /** Told once, when END_REQUEST was handed to the transport or nobody is left to read it. */
  requestEnded(request: Request): void;
  /** How many requests it carries. */
  readonly requestCount: number;
}

/** What a request has come to so far; times are those of `performance.now()`. */
export interface RequestAccount {
  /** When the params were complete. */
  readonly paramsAt: number;
  /** When the first octet of STDOUT was handed to the transport. */
  readonly firstOctetAt: number | undefined;
  /** When END_REQUEST was handed to the transport, or the web server was found to have left. */
  readonly endedAt: number | undefined;
  readonly stdinBytes: number;
  /** Octets that were handed to the transport. */
  readonly stdoutBytes: number;
  /** Octets of STDOUT that were still to be sent when the web server gave the request up. */
  readonly unsentBytes: number;
}

/** The appStatus of a request that the web server gave up: what a program ended by SIGTERM would leave in a shell. */
const ABORTED_APP_STATUS = 143;

/**
 * A request as its handler sees it. The connection owns it and feeds its `input`; the handler reads `stdin`, writes
 * `stdout` and `stderr`, and calls `end` once. When `signal` aborts, all three streams are gone and nobody waits any
 * more, unless it was by `cancel`.
 */
export class Request {
  readonly requestId: number;
  readonly keepConn: boolean;
  readonly input: RequestInput;

  readonly #transport: RequestTransport;
  readonly #output: RequestOutput;
  readonly #aborted = new AbortController();
  #state: 'open' | 'ending' | 'ended' = 'open';
  #endedAt: number | undefined;
  #unsentBytes = 0;

  constructor(requestId: number, keepConn: boolean, transport: RequestTransport, limits: RequestLimits) {
    this.requestId = requestId;
    this.keepConn = keepConn;
    this.#transport = transport;
    this.input = new RequestInput(requestId, limits, {
      onReady: () => {
        transport.requestReady(this);
      },
      onRoom: () => {
        transport.stdinWanted();
      },
    });
    this.#output = new RequestOutput(requestId, (octets, done) => {
      transport.send(octets, done);
    });
  }

  get params(): Params {
    return this.input.params;
  }

  /** Why the params can't be used. */
  get problem(): BridgeError | undefined {
    return this.input.problem;
  }

  get stdin(): Readable {
    return this.input.stdin;
  }

  get stdout(): Writable {
    return this.#output.stdout;
  }

  get stderr(): Writable {
    return this.#output.stderr;
  }

  /** Whether no other request is active on its connection, which waits while this one's STDIN is full. */
  get isAlone(): boolean {
    return this.#transport.requestCount <= 1;
  }

  get account(): RequestAccount {
    const { paramsAt, stdinBytes } = this.input;
    const { firstOctetAt, stdoutBytes } = this.#output;
    const [endedAt, unsentBytes] = [this.#endedAt, this.#unsentBytes];
    return { paramsAt, firstOctetAt, endedAt, stdinBytes, stdoutBytes, unsentBytes };
  }

  /** Aborts with a BridgeError when the web server sends ABORT_REQUEST, its connection is lost, or by `cancel`. */
  get signal(): AbortSignal {
    return this.#aborted.signal;
  }

  /**
   * Ends the request: STDOUT's end, STDERR's end if there was any, then END_REQUEST, exactly once however often it is
   * called (FastCGI 1.0 §5.5). Resolves when the octets were handed to the transport or nobody wants them.
   */
  async end(appStatus: number, protocolStatus: number = ProtocolStatus.REQUEST_COMPLETE): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'ending';
    await this.#output.end();
    this.#sendEnd(appStatus, protocolStatus, this.#output.endRecords);
  }

  /** Gives the request up on the web server's word: END_REQUEST goes out at once if `answer` (FastCGI 1.0 §5.4). */
  abort(reason: BridgeError, { answer }: { answer: boolean }): void {
    if (this.#state === 'ended') return;
    this.#unsentBytes = this.stdout.writableLength;
    this.#aborted.abort(reason);
    this.#output.drop();
    if (answer) this.#sendEnd(ABORTED_APP_STATUS, ProtocolStatus.REQUEST_COMPLETE);
    else this.#finish();
  }

  /** Has whoever handles it give it up, though the web server waits: it is still to be answered and ended. */
  cancel(reason: BridgeError): void {
    this.#aborted.abort(reason);
  }

  #sendEnd(appStatus: number, protocolStatus: number, before: readonly Buffer[] = []): void {
    // An abort may have come while the streams were flushed.
    if (this.#state === 'ended') return;
    this.#transport.send([...before, endRequest(this.requestId, appStatus, protocolStatus)]);
    this.#finish();
  }

  #finish(): void {
    this.#state = 'ended';
    this.#endedAt = performance.now();
    this.input.close();
    this.#transport.requestEnded(this);
  }
}
