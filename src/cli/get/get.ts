/** `fcgi2cgi get`: sends one request, or the same one several times, and says what became of it. */

import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';

import type { NameValues } from '../../bytes.js';
import { Requester } from '../../fastcgi/requester.js';
import type { Address } from '../../daemon/address.js';
import type { Sink } from './answer.js';
import { connectTo } from './connecting.js';
import { type Exchange, exchange } from './exchange.js';
import { formatTimings, type Sample } from './timings.js';
import { complaintOf, exitStatusOf, type Verdict } from './verdict.js';

export interface GetOptions {
  readonly address: Exclude<Address, { kind: 'fd' | 'systemd' }>;
  readonly params: NameValues;
  /** Opens the request's body, anew for each request. */
  readonly openBody: () => Readable | undefined;
  readonly keep: boolean;
  readonly repeat: number;
  readonly timings: boolean;
  /** 0 for none. */
  readonly timeoutMs: number;
  /** Where the first answer goes. */
  readonly sink: Sink;
  /** Takes lines for people. */
  readonly say: (text: string) => void;
}

/** What is thrown away: the answers but the first, and their standard error. */
const nowhere: Sink = {
  header: () => Promise.resolve(true),
  body: () => Promise.resolve(true),
  stderr: () => undefined,
};

/** Resolves to the exit status, the highest of all requests. */
export async function get(options: GetOptions): Promise<number> {
  const { repeat, timings, say } = options;
  const samples: Sample[] = [];
  const complaints = new Set<string>();
  let worst = 0;
  const line = new Line(options);
  // What Node itself has yet to do at its start is no part of the first connection's time.
  await setImmediate();
  for (let number = 1; number <= repeat; number++) {
    const sample = await line.ask(number === 1 ? options.sink : nowhere);
    samples.push({ ...sample, result: resultOf(sample.verdict) });
    const complaint = complaintOf(sample.verdict);
    if (complaint !== undefined) complaints.add(complaint);
    worst = Math.max(worst, exitStatusOf(sample.verdict));
  }
  line.close();
  for (const complaint of complaints) say(`fcgi2cgi: ${complaint}\n`);
  if (line.dropped > 0) {
    say(
      `fcgi2cgi: the application closed the connection ${String(line.dropped)} times, though asked to keep it\n`,
    );
  }
  if (timings || repeat > 1) say(formatTimings(samples));
  return worst;
}

function resultOf(verdict: Verdict): string {
  return verdict.kind === 'answered' ? `status ${String(verdict.status)}` : verdict.kind;
}

interface Asked extends Omit<Exchange, 'stdoutBytes'> {
  readonly connectMs: number | undefined;
}

/** The connection to the application: kept from request to request, or a new one for each. */
class Line {
  readonly #options: GetOptions;
  #socket: Socket | undefined;
  #requester: Requester | undefined;
  /** How often a connection was closed that was to be kept. */
  dropped = 0;

  constructor(options: GetOptions) {
    this.#options = options;
  }

  async ask(sink: Sink): Promise<Asked> {
    const { params, openBody, keep } = this.#options;
    const connecting = performance.now();
    const isKept = this.#requester !== undefined && this.#socket?.destroyed === false;
    if (!isKept) {
      const verdict = await this.#connect();
      if (verdict !== undefined) {
        const totalMs = performance.now() - connecting;
        return { verdict, connectMs: undefined, firstMs: undefined, totalMs };
      }
    }
    const connectMs = isKept ? undefined : performance.now() - connecting;
    const requester = this.#requester;
    if (requester === undefined) throw new Error('connected, and yet not');
    const { stdoutBytes, ...done } = await exchange(requester, {
      params,
      body: openBody(),
      keepConn: keep,
      sink,
    });
    if (done.verdict.kind !== 'answered' || !keep) this.close();
    // Whoever closes a connection at the end of a request may do so while the next one is on its way.
    if (isKept && done.verdict.kind === 'cut' && stdoutBytes === 0) {
      this.dropped += 1;
      return this.ask(sink);
    }
    return { ...done, connectMs };
  }

  close(): void {
    this.#requester?.close();
    this.#requester = undefined;
  }

  async #connect(): Promise<Verdict | undefined> {
    const { address, timeoutMs } = this.#options;
    if (this.#requester !== undefined) this.dropped += 1;
    const connected = await connectTo(address, timeoutMs);
    if ('kind' in connected) return connected;
    this.#socket = connected;
    this.#requester = new Requester(connected);
    return undefined;
  }
}
