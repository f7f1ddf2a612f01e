/** One FastCGI request: from its BEGIN_REQUEST to its one END_REQUEST (FastCGI 1.0 §3.3, §5). */

import { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';

import { BridgeError, reasonOf } from '../errors.js';
import { ProtocolStatus, RecordType } from './constants.js';
import { OctetCollector } from './octet-collector.js';
import { decodeParams, type Params } from './params.js';
import { endRequest, streamEnd, streamRecords } from './record-writer.js';

/** What a request needs of the connection that carries it. */
export interface RequestTransport {
  /** Sends octets in order; calls `done` when the transport can take more. */
  send(octets: readonly Buffer[], done?: () => void): void;
  /** Told when STDIN has room again, after it had none. */
  stdinWanted(): void;
  /** Told once, when END_REQUEST was handed to the transport or nobody is left to read it. */
  requestEnded(request: Request): void;
}

export interface RequestLimits {
  /** Octets of PARAMS content that are kept; a request with more is delivered with `problem` and no params. */
  readonly maxParamsBytes: number;
  /** Octets of STDIN that are kept for a reader that is slower than the web server. */
  readonly stdinBufferBytes: number;
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

type Input = { readonly at: 'params' } | { readonly at: 'stdin' } | { readonly at: 'ended' };

/** The appStatus of a request that the web server gave up: what a program ended by SIGTERM would leave in a shell. */
const ABORTED_APP_STATUS = 143;

/**
 * A request as its handler sees it. The connection owns it and feeds it; the handler reads `stdin`, writes `stdout`
 * and `stderr`, and calls `end` once. When `signal` aborts, all three streams are gone and nobody waits any more.
 */
export class Request {
  readonly requestId: number;
  readonly keepConn: boolean;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Why the params can't be used: `ERR_MAX_PARAMS_SIZE` or `ERR_FASTCGI_PARAMS`. */
  problem: BridgeError | undefined;

  readonly #transport: RequestTransport;
  readonly #limits: RequestLimits;
  readonly #aborted = new AbortController();
  #input: Input = { at: 'params' };
  readonly #paramsOctets: OctetCollector;
  #params: Params = [];
  #stdinFull = false;
  #output: 'open' | 'ending' | 'ended' = 'open';
  readonly #account: { -readonly [Name in keyof RequestAccount]: RequestAccount[Name] } = {
    paramsAt: performance.now(),
    firstOctetAt: undefined,
    endedAt: undefined,
    stdinBytes: 0,
    stdoutBytes: 0,
    unsentBytes: 0,
  };

  constructor(requestId: number, keepConn: boolean, transport: RequestTransport, limits: RequestLimits) {
    this.requestId = requestId;
    this.keepConn = keepConn;
    this.#transport = transport;
    this.#limits = limits;
    this.#paramsOctets = new OctetCollector(limits.maxParamsBytes);
    const hasRoom = (): void => {
      if (!this.#stdinFull) return;
      this.#stdinFull = false;
      transport.stdinWanted();
    };
    this.stdin = new Readable({
      highWaterMark: limits.stdinBufferBytes,
      read: hasRoom,
      // A reader that has left wants none of the rest.
      destroy: (error, done) => {
        hasRoom();
        done(error);
      },
    });
    this.stdout = this.#outputStream(RecordType.STDOUT, { alwaysEnd: true });
    this.stderr = this.#outputStream(RecordType.STDERR, { alwaysEnd: false });
  }

  get params(): Params {
    return this.#params;
  }

  get account(): RequestAccount {
    return this.#account;
  }

  /** Aborts with a BridgeError when the web server sends ABORT_REQUEST or its connection is lost. */
  get signal(): AbortSignal {
    return this.#aborted.signal;
  }

  /** Whether STDIN holds as much as it may, so that the connection should read no further. */
  get stdinFull(): boolean {
    return this.#stdinFull;
  }

  /** Takes a PARAMS record's content. @throws BridgeError `ERR_FASTCGI_SEQUENCE` after the stream's end. */
  takeParams(data: Buffer): void {
    if (this.#input.at !== 'params') throw this.#outOfSequence('PARAMS after the end of PARAMS');
    this.#paramsOctets.take(data);
  }

  /** Takes PARAMS' end: from here on the request can be handled. */
  endParams(): void {
    if (this.#input.at !== 'params') throw this.#outOfSequence('a second end of PARAMS');
    this.#input = { at: 'stdin' };
    this.#account.paramsAt = performance.now();
    try {
      const { bytes } = this.#paramsOctets;
      if (bytes > this.#limits.maxParamsBytes) {
        throw new BridgeError(
          'ERR_MAX_PARAMS_SIZE',
          `the web server sent ${String(bytes)} octets of params, more than --max-params-size allows (${String(this.#limits.maxParamsBytes)})`,
        );
      }
      this.#params = decodeParams(this.#paramsOctets.collected());
    } catch (error) {
      this.problem =
        error instanceof BridgeError ? error : new BridgeError('ERR_FASTCGI_PARAMS', reasonOf(error));
    }
  }

  /** Takes a STDIN record's content; a request that has ended forgets it. */
  takeStdin(data: Buffer): void {
    if (this.#input.at !== 'stdin') throw this.#outOfSequence(`STDIN ${this.#sequencePoint()}`);
    if (this.stdin.destroyed) return;
    this.#account.stdinBytes += data.length;
    // A small piece is copied, since it is a view that keeps the transport's whole chunk.
    const piece = data.length * 4 < data.buffer.byteLength ? Buffer.from(data) : data;
    if (!this.stdin.push(piece)) this.#stdinFull = true;
  }

  /** Takes STDIN's end; a repeated one says nothing new. */
  endStdin(): void {
    if (this.#input.at === 'params') throw this.#outOfSequence(`STDIN ${this.#sequencePoint()}`);
    if (this.#input.at === 'ended') return;
    this.#input = { at: 'ended' };
    // Nothing more will come that the reader would have to make room for.
    this.#stdinFull = false;
    if (!this.stdin.destroyed) this.stdin.push(null);
  }

  /**
   * Ends the request: STDOUT's end, STDERR's end if there was any, then END_REQUEST, exactly once however often it is
   * called (FastCGI 1.0 §5.5). Resolves when the octets were handed to the transport or nobody wants them.
   */
  async end(appStatus: number, protocolStatus: number = ProtocolStatus.REQUEST_COMPLETE): Promise<void> {
    if (this.#output !== 'open') return;
    this.#output = 'ending';
    const flushed = [finished(this.stdout), finished(this.stderr)];
    this.stdout.end();
    this.stderr.end();
    await Promise.allSettled(flushed);
    this.#sendEnd(appStatus, protocolStatus);
  }

  /** Gives the request up on the web server's word: END_REQUEST goes out at once if `answer` (FastCGI 1.0 §5.4). */
  abort(reason: BridgeError, { answer }: { answer: boolean }): void {
    if (this.#output === 'ended') return;
    this.#account.unsentBytes = this.stdout.writableLength;
    this.#aborted.abort(reason);
    this.stdout.destroy();
    this.stderr.destroy();
    if (answer) this.#sendEnd(ABORTED_APP_STATUS, ProtocolStatus.REQUEST_COMPLETE);
    else this.#finish();
  }

  #sendEnd(appStatus: number, protocolStatus: number): void {
    // An abort may have come while the streams were flushed.
    if (this.#output === 'ended') return;
    this.#transport.send([endRequest(this.requestId, appStatus, protocolStatus)]);
    this.#finish();
  }

  #finish(): void {
    this.#output = 'ended';
    this.#account.endedAt = performance.now();
    this.stdin.destroy();
    this.#transport.requestEnded(this);
  }

  #outputStream(type: number, { alwaysEnd }: { alwaysEnd: boolean }): Writable {
    let written = false;
    const send = (chunks: readonly Buffer[], done: () => void): void => {
      const octets = chunks.flatMap((chunk) => streamRecords(type, this.requestId, chunk));
      if (octets.length === 0) {
        // Nothing was written; a record without content would end the stream.
        done();
        return;
      }
      written = true;
      if (type === RecordType.STDOUT) this.#countStdout(chunks);
      this.#transport.send(octets, done);
    };
    return new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        send([chunk], done);
      },
      writev: (chunks, done) => {
        send(
          chunks.map(({ chunk }) => chunk as Buffer),
          done,
        );
      },
      final: (done) => {
        if (alwaysEnd || written) this.#transport.send([streamEnd(type, this.requestId)]);
        done();
      },
    });
  }

  #countStdout(chunks: readonly Buffer[]): void {
    this.#account.firstOctetAt ??= performance.now();
    for (const chunk of chunks) this.#account.stdoutBytes += chunk.length;
  }

  #sequencePoint(): string {
    return this.#input.at === 'params' ? 'before the end of PARAMS' : 'after the end of STDIN';
  }

  #outOfSequence(what: string): BridgeError {
    return new BridgeError(
      'ERR_FASTCGI_SEQUENCE',
      `the web server sent ${what} of request ${String(this.requestId)} (FastCGI 1.0 §3.3)`,
    );
  }
}
