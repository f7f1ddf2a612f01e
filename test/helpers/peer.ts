/** A web server's end of a connection under test, which sends and receives literal octets. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { type Duplex, duplexPair, PassThrough, Writable } from 'node:stream';

import type { BridgeError } from '../../src/base/errors.js';
import type { ConnectionOptions } from '../../src/fastcgi/connection-options.js';
import { Connection } from '../../src/fastcgi/connection.js';
import { ByteBudget } from '../../src/base/bytes.js';
import type { WaitSignal } from '../../src/base/timer.js';
import type { Request } from '../../src/fastcgi/request.js';
import { hex, lines, record } from './records.js';

type Options = Partial<Omit<ConnectionOptions, 'onRequest'>> & {
  /** Without it, requests are kept in `requests`. It may return what STDIN is written to. */
  readonly onRequest?: (request: Request, peer: Peer) => unknown;
  /** The bridge's end and the web server's end; without it, a pair in memory. */
  readonly pair?: readonly [Duplex, Duplex];
  /** Octets of STDIN that are kept for a handler that does not read. */
  readonly stdinBufferBytes?: number;
};

/** A management record of an unknown type: its answer shows that everything before it was handled. */
const barrier = record(254, 0);
const barrierAnswer = hex('01 0b 0000 0008 00 00  fe 00000000000000');

export class Peer {
  readonly connection: Connection;
  readonly near: Duplex;
  readonly far: Duplex;
  readonly requests: Request[] = [];
  readonly problems: BridgeError[] = [];
  #octets = Buffer.of();

  readonly #bodies = new Map<Request, PassThrough>();

  constructor({ pair = duplexPair(), stdinBufferBytes = 1_000_000, onRequest, ...options }: Options = {}) {
    [this.near, this.far] = pair;
    this.connection = new Connection(this.near, {
      maxRequests: 10,
      idleTimeoutMs: 0,
      maxParamsBytes: 1_000_000,
      paramsBudget: new ByteBudget(10_000_000),
      values: {},
      refuse: (why) => Buffer.from(why),
      onRequest: (request) => {
        const kept = bodyOf(stdinBufferBytes);
        this.#bodies.set(request, kept);
        if (onRequest === undefined) this.requests.push(request);
        const body = onRequest?.(request, this);
        return body instanceof Writable ? body : kept;
      },
      onProblem: (problem) => this.problems.push(problem),
      ...options,
    });
    this.far.on('error', () => undefined);
    this.far.on('data', (chunk: Buffer) => {
      this.#octets = Buffer.concat([this.#octets, chunk]);
    });
  }

  /** The STDIN of a request. */
  stdin(request: Request | undefined): PassThrough {
    return (request && this.#bodies.get(request)) ?? assert.fail('no such request');
  }

  /** What was received so far. */
  get octets(): Buffer {
    return this.#octets;
  }

  send(...octets: readonly Buffer[]): void {
    this.far.write(Buffer.concat(octets));
  }

  /** Sends octets and returns what was answered until all of them were handled. */
  async ask(...octets: readonly Buffer[]): Promise<string[]> {
    this.send(...octets, barrier);
    while (!this.#octets.includes(barrierAnswer)) await this.#more();
    return lines(this.#take(this.#octets.indexOf(barrierAnswer), barrierAnswer.length));
  }

  /** Sends octets that complete a request's params, and returns the request. */
  async request(...octets: readonly Buffer[]): Promise<Request> {
    await this.ask(...octets);
    const request = this.requests.at(-1);
    assert.ok(request);
    return request;
  }

  /** All that is received until the bridge ends its side; then this side ends too. */
  async rest(): Promise<string[]> {
    if (!this.far.readableEnded) await once(this.far, 'end');
    this.far.end();
    await this.connection.closed;
    return lines(this.#take(this.#octets.length));
  }

  /** Ends this side, as a web server does that has no more use for the connection. */
  async leave(): Promise<void> {
    this.far.end();
    await this.connection.closed;
    this.far.destroy();
  }

  async #more(): Promise<void> {
    const lost = this.connection.closed.then(() => {
      throw new Error(`the connection was closed: ${this.problems.map(String).join()}`);
    });
    await Promise.race([once(this.far, 'data'), lost]);
  }

  #take(bytes: number, skipped = 0): Buffer {
    const taken = this.#octets.subarray(0, bytes);
    this.#octets = this.#octets.subarray(bytes + skipped);
    return taken;
  }
}

/** What a request's STDIN is written to, which keeps so much of it for a handler that does not read. */
export function bodyOf(bufferBytes: number): PassThrough {
  const body = new PassThrough({ readableHighWaterMark: bufferBytes, writableHighWaterMark: 1 });
  return body.on('error', () => undefined);
}

/** Two ends of a TCP connection over loopback, the first one accepted as the daemon's listener accepts. */
export async function tcpPair({ pauseOnConnect = false } = {}): Promise<[near: Socket, far: Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const far = createConnection({ port, host: '127.0.0.1', allowHalfOpen: true });
  const [near] = (await once(server, 'connection')) as [Socket];
  server.close();
  return [near, far];
}

/** Resolves when it aborts. */
export function aborted(signal: WaitSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', resolve);
  });
}
