/** The web server's side of FastCGI: sends requests over a connection and reads the answers. */

import { type Duplex, PassThrough, type Readable, Writable } from 'node:stream';

import { BridgeError, bridgeErrorFrom, reasonOf } from '../base/errors.js';
import { EndRequest, KEEP_CONN, NULL_REQUEST_ID, RecordType, recordTypeName, Role } from './constants.js';
import { encodeParams, type Params } from './params.js';
import { type RecordEvent, RecordReader } from './record-reader.js';
import {
  abortRequest,
  beginRequest,
  streamEnd,
  streamRecords,
  unknownManagementRecord,
} from './record-writer.js';

/** How an answer ended (FastCGI 1.0 §5.5). */
export interface EndOfRequest {
  readonly appStatus: number;
  readonly protocolStatus: number;
}

/** One request as its sender sees it: write and end `stdin`, read `stdout` and `stderr`. */
export interface SentRequest {
  readonly requestId: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Rejects with `ERR_FASTCGI_DISCONNECTED` when the connection ends first. */
  readonly ended: Promise<EndOfRequest>;
  /** Octets of STDOUT and STDERR that have come, also those that nobody has read. */
  answerBytes(): number;
  /** Sends ABORT_REQUEST (FastCGI 1.0 §5.4); the answer still ends with END_REQUEST. */
  abort(): void;
}

interface Active {
  readonly stdout: PassThrough;
  readonly stderr: PassThrough;
  readonly answer: { bytes: number };
  readonly resolve: (end: EndOfRequest) => void;
  readonly reject: (reason: BridgeError) => void;
}

/** Owns the socket it is given; the caller ends it with `close`. What is sent may be multiplexed (§3.3). */
export class Requester {
  readonly #socket: Duplex;
  readonly #reader = new RecordReader();
  readonly #active = new Map<number, Active>();
  /** Those who wait for a sign of life. */
  readonly #probing: { readonly resolve: () => void; readonly reject: (reason: BridgeError) => void }[] = [];

  constructor(socket: Duplex) {
    this.#socket = socket;
    socket.on('error', (cause) => {
      this.#lose(disconnected(`the connection to the application failed: ${reasonOf(cause)}`, { cause }));
    });
    socket.on('data', (chunk: Buffer) => {
      this.#take(chunk);
    });
    socket.once('close', () => {
      this.#lose(disconnected('the application closed the connection'));
    });
    socket.once('end', () => socket.destroy());
  }

  /**
   * Begins a request and sends its params; `keepConn` asks for the connection to be kept (§5.1). The end of STDIN
   * goes with the last of `bodyBytes`, where they are known, and what is beyond them is dropped: an application that
   * answers and leaves at once has then left nothing unread, which would make us lose its answer.
   */
  send(
    params: Params,
    {
      requestId = 1,
      role = Role.RESPONDER,
      keepConn = false,
      bodyBytes,
    }: { requestId?: number; role?: number; keepConn?: boolean; bodyBytes?: number | undefined } = {},
  ): SentRequest {
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    for (const stream of [stdout, stderr]) {
      for (const event of ['drain', 'close']) {
        stream.on(event, () => {
          this.#readOnOrPause();
        });
      }
    }
    const answer = { bytes: 0 };
    const ended = new Promise<EndOfRequest>((resolve, reject) => {
      this.#active.set(requestId, { stdout, stderr, answer, resolve, reject });
    });
    // Who only looks at stdout learns of a lost connection by its error.
    ended.catch(() => undefined);
    if (this.#socket.destroyed) this.#lose(disconnected('the connection to the application is closed'));
    this.#write([
      beginRequest(requestId, role, keepConn ? KEEP_CONN : 0),
      ...streamRecords(RecordType.PARAMS, requestId, encodeParams(params)),
      streamEnd(RecordType.PARAMS, requestId),
      ...(bodyBytes === 0 ? [streamEnd(RecordType.STDIN, requestId)] : []),
    ]);
    let restBytes = bodyBytes ?? Infinity;
    const stdin = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        const data = chunk.subarray(0, restBytes);
        if (data.length === 0) {
          done();
          return;
        }
        restBytes -= data.length;
        const end = restBytes === 0 ? [streamEnd(RecordType.STDIN, requestId)] : [];
        this.#write([...streamRecords(RecordType.STDIN, requestId, data), ...end], done);
      },
      final: (done) => {
        if (restBytes > 0) this.#write([streamEnd(RecordType.STDIN, requestId)], done);
        else done();
      },
    });
    stdin.on('error', () => undefined);
    return {
      requestId,
      stdin,
      stdout,
      stderr,
      ended,
      answerBytes: () => answer.bytes,
      abort: () => {
        this.#write([abortRequest(requestId)]);
      },
    };
  }

  /**
   * Resolves when the application shows that it has accepted the connection and reads it: by its answer to a management
   * record of a type that nobody knows (FastCGI 1.0 §4.2). Of the types that are known, FCGI_GET_VALUES would be the one
   * to ask with; libfcgi 2.4.2 never answers it.
   *
   * @throws BridgeError `ERR_FASTCGI_DISCONNECTED`
   */
  probe(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#probing.push({ resolve, reject });
      if (this.#socket.destroyed) this.#lose(disconnected('the connection to the application is closed'));
      else this.#write([unknownManagementRecord()]);
    });
  }

  /** Closes the connection; what is under way is lost. */
  close(): void {
    this.#socket.destroy();
  }

  #write(octets: readonly Buffer[], done?: (error?: Error | null) => void): void {
    this.#socket.write(Buffer.concat(octets), done);
  }

  #take(chunk: Buffer): void {
    try {
      for (const event of this.#reader.read(chunk)) this.#dispatch(event);
      this.#readOnOrPause();
    } catch (error) {
      this.#lose(bridgeErrorFrom(error, 'ERR_FASTCGI_SEQUENCE'));
      this.close();
    }
  }

  #dispatch(event: RecordEvent): void {
    if (event.requestId === NULL_REQUEST_ID) this.#probing.shift()?.resolve();
    const active = this.#active.get(event.requestId);
    if (active === undefined) return;
    const { kind, type, content } = event;
    if (kind === 'stream') {
      active.answer.bytes += content.length;
      // The end of a stream says nothing that END_REQUEST does not.
      if (content.length === 0) return;
      if (type === RecordType.STDOUT) active.stdout.write(content);
      else if (type === RecordType.STDERR) active.stderr.write(content);
      else throw unexpected(type);
    } else if (type === RecordType.END_REQUEST) {
      const body = new EndRequest();
      if (content.length !== body.getSize()) throw unexpected(type);
      body.read(content);
      this.#active.delete(event.requestId);
      active.stdout.end();
      active.stderr.end();
      active.resolve({ appStatus: body.appStatus, protocolStatus: body.protocolStatus });
    } else {
      throw unexpected(type);
    }
  }

  /** A stream that has ended or was left by its reader holds nothing up. */
  #readOnOrPause(): void {
    const full = [...this.#active.values()].some(
      ({ stdout, stderr }) => stdout.writableNeedDrain || stderr.writableNeedDrain,
    );
    if (full) this.#socket.pause();
    else this.#socket.resume();
  }

  #lose(reason: BridgeError): void {
    for (const { stdout, stderr, reject } of this.#active.values()) {
      stdout.destroy();
      stderr.destroy();
      reject(reason);
    }
    this.#active.clear();
    for (const { reject } of this.#probing.splice(0)) reject(reason);
  }
}

function disconnected(what: string, options?: ErrorOptions): BridgeError {
  return new BridgeError('ERR_FASTCGI_DISCONNECTED', what, options);
}

function unexpected(type: number): BridgeError {
  return new BridgeError(
    'ERR_FASTCGI_SEQUENCE',
    `the application sent a wrong ${recordTypeName(type)} record`,
  );
}
