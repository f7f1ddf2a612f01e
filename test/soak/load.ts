/** What a kind of load is, and what it is given for one run: a tag for each request, and a place for what was wrong. */

import { Random } from '../fuzz/random.js';
import { type Asked, exchange, type Had } from './http.js';
import type { Ledger } from './ledger.js';
import type { Stage } from './stage.js';

export interface Load {
  readonly name: string;
  /** How often it is run, compared with others. */
  readonly weight: number;
  /** Rejects where something was wrong that no killed process excuses. */
  run(turn: Turn): Promise<void>;
}

export interface Expected {
  readonly status: number;
  /** A string is the whole of it. */
  readonly body: string | RegExp | Buffer;
  /** What the access log must say (see `ResultWord`). */
  readonly end: string;
}

/** What is asked, but for what the turn adds. */
type Sent = Omit<Asked, 'signal' | 'path'>;

interface Options {
  readonly stage: Stage;
  readonly ledger: Ledger;
  readonly random: Random;
  readonly load: string;
  readonly number: number;
  readonly signal: AbortSignal;
}

/** Random octets are slow to make, so each body is a part of these. */
const MOST_BODY_BYTES = 200_000;
const octets = new Random(0, 0).octets(2 * MOST_BODY_BYTES);

/** One run of a load. */
export class Turn {
  readonly stage: Stage;
  readonly ledger: Ledger;
  readonly random: Random;
  readonly number: number;
  /** Aborted when the run takes far too long. */
  readonly signal: AbortSignal;
  readonly #load: string;
  #tags = 0;

  constructor({ stage, ledger, random, load, number, signal }: Options) {
    this.stage = stage;
    this.ledger = ledger;
    this.random = random;
    this.number = number;
    this.signal = signal;
    this.#load = load;
  }

  /** A tag for a request's URI, for one that must be logged with one of these ends. */
  tag(...ends: readonly string[]): string {
    return this.#enter(ends, true);
  }

  /** A tag for a request that its sender aborts: it may never come to the daemon, and end in any way. */
  tagOfAborted(): string {
    return this.#enter(undefined, false);
  }

  /** A body unlike those of other requests. */
  body(mostBytes: number): Buffer {
    const offset = this.random.below(MOST_BODY_BYTES);
    return octets.subarray(offset, offset + this.random.below(mostBytes));
  }

  /** Notes what was wrong with an answer, unless the request's process was killed. */
  suspect(tag: string, what: string): void {
    this.ledger.suspect(tag, what);
  }

  /** Asks a web server for a path that has the tag in it, and compares. */
  async get(asked: Sent, path: (tag: string) => string, expected: Expected): Promise<void> {
    const tag = this.tag(expected.end);
    const had = await this.#exchange(tag, { ...asked, path: path(tag) });
    if (had === undefined) return;
    const { status, body, isComplete } = had;
    if (!isComplete || status !== expected.status || !matches(body, expected.body)) {
      this.suspect(
        tag,
        `${asked.url}: expected ${say(expected)}, had ${isComplete ? '' : 'cut-short '}${say(had)}`,
      );
    }
  }

  /** Asks a web server for what its script does not complete: no more than that may come, and the log must say so. */
  async getTruncated(asked: Sent, path: (tag: string) => string, written: string): Promise<void> {
    const tag = this.tag('cut-short');
    const had = await this.#exchange(tag, { ...asked, path: path(tag) });
    if (had === undefined || had.status >= 500) return;
    // lighttpd and Apache may take the announced length back; then only the log knows.
    if (!(had.isComplete ? had.body.equals(Buffer.from(written)) : written.startsWith(had.body.toString()))) {
      this.suspect(tag, `${asked.url}: expected a part of ${written}, had ${say(had)}`);
    }
  }

  /** Leaves a web server in the middle. */
  async abandon(asked: Sent, path: (tag: string) => string): Promise<void> {
    const tag = this.tagOfAborted();
    await this.#exchange(tag, { ...asked, path: path(tag) });
  }

  #enter(ends: readonly string[] | undefined, isCertain: boolean): string {
    const tag = `${String(this.number)}.${String(++this.#tags)}`;
    this.ledger.enter(tag, { kind: this.#load, ends, isCertain });
    return tag;
  }

  async #exchange(tag: string, asked: Omit<Asked, 'signal'>): Promise<Had | undefined> {
    try {
      return await exchange({ ...asked, signal: this.signal });
    } catch (error) {
      this.suspect(tag, `${asked.url}${asked.path}: no answer: ${String(error)}`);
      return undefined;
    }
  }
}

export function matches(body: Buffer, expected: Expected['body']): boolean {
  if (expected instanceof RegExp) return expected.test(body.toString('latin1'));
  return body.equals(typeof expected === 'string' ? Buffer.from(expected, 'latin1') : expected);
}

const SHOWN = 200;

function say({ status, body }: { readonly status: number; readonly body: Expected['body'] }): string {
  const text = body instanceof Buffer ? body.toString('latin1', 0, SHOWN) : String(body).slice(0, SHOWN);
  const bytes = body instanceof Buffer ? ` (${String(body.length)} octets)` : '';
  return `${String(status)} ${JSON.stringify(text)}${bytes}`;
}
