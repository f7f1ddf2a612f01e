/** What a site did in the last minutes, by periods of one length, and which requests failed or were slow; by no timer. */

import type { Activity, EndedRequest } from './status.js';
import type { Access } from '../access-log.js';

export const PERIOD_MS = 10_000;
/** A quarter of an hour. */
export const PERIODS = 90;

/** Counts when something happens. Where nothing does, the load stays as it was, and periods are filled in later. */
export class History {
  /** In milliseconds, of a clock that only goes forward. */
  readonly #now: () => number;
  readonly #since: number;
  readonly #requests = new Uint32Array(PERIODS);
  readonly #errors = new Uint32Array(PERIODS);
  readonly #running = new Uint32Array(PERIODS);
  readonly #waiting = new Uint32Array(PERIODS);
  #over = 0;
  #load = { running: 0, waiting: 0 };
  #most = { running: 0, waiting: 0 };

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#since = now();
  }

  ended(isError: boolean): void {
    const at = this.#at();
    this.#requests[at] = (this.#requests[at] ?? 0) + 1;
    if (isError) this.#errors[at] = (this.#errors[at] ?? 0) + 1;
  }

  /** From now on this number of requests runs and waits. */
  load(running: number, waiting: number): void {
    const at = this.#at();
    this.#load = { running, waiting };
    this.#running[at] = Math.max(this.#running[at] ?? 0, running);
    this.#waiting[at] = Math.max(this.#waiting[at] ?? 0, waiting);
    this.#most = {
      running: Math.max(this.#most.running, running),
      waiting: Math.max(this.#most.waiting, waiting),
    };
  }

  get activity(): Activity {
    const at = this.#at();
    const count = Math.min(PERIODS, this.#over + 1);
    const inOrder = (ring: Uint32Array): readonly number[] =>
      [...ring.subarray(at + 1), ...ring.subarray(0, at + 1)].slice(-count);
    const requests = inOrder(this.#requests);
    const latest = requests.slice(-2);
    const latestMs = this.#now() - this.#since - (this.#over + 1 - latest.length) * PERIOD_MS;
    return {
      // Within the first second nobody can tell how many a second has.
      requestsPerSecond: (1_000 * sum(latest)) / Math.max(1_000, latestMs),
      maxRunning: this.#most.running,
      maxWaiting: this.#most.waiting,
      periodMs: PERIOD_MS,
      requests,
      errors: inOrder(this.#errors),
      running: inOrder(this.#running),
      waiting: inOrder(this.#waiting),
    };
  }

  /** Where the present period is in the rings; the periods since the last call are filled in. */
  #at(): number {
    const over = Math.floor((this.#now() - this.#since) / PERIOD_MS);
    const from = Math.max(this.#over + 1, over + 1 - PERIODS);
    for (let period = from; period <= over; period += 1) {
      const at = period % PERIODS;
      [this.#requests[at], this.#errors[at]] = [0, 0];
      [this.#running[at], this.#waiting[at]] = [this.#load.running, this.#load.waiting];
    }
    this.#over = over;
    return over % PERIODS;
  }
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Failed requests that are shown, and the slowest ones. */
export const MAX_FAILED = 20;
export const MAX_SLOW = 10;
/** In this number of parts the last minutes are told apart: when one is over, the slowest of the others are still known. */
const PARTS = 15;
const PART_MS = (PERIOD_MS * PERIODS) / PARTS;
const MAX_TEXT = 300;

/** The last requests that have failed, and the slowest of the last minutes: both of a fixed number. */
export class RecentRequests {
  readonly #now: () => number;
  /** The last one comes first. */
  #failed: EndedRequest[] = [];
  /** By the time at which each part has begun; in each the slowest comes first. */
  readonly #slow = new Map<number, EndedRequest[]>();

  /** `now` is in milliseconds since the epoch. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** `reason` says why a request has failed, if it has. */
  add(site: string, access: Access, reason: string | undefined): void {
    const part = Math.floor(this.#now() / PART_MS);
    const slow = this.#slow.get(part) ?? [];
    const isSlow = slow.length < MAX_SLOW || access.totalMs > (slow.at(-1)?.totalMs ?? 0);
    if (!isSlow && reason === undefined) return;
    const ended = this.#endedOf(site, access, reason);
    if (reason !== undefined) this.#addFailed(ended);
    if (!isSlow) return;
    this.#slow.set(part, [...slow, ended].sort(bySlowness).slice(0, MAX_SLOW));
    this.#forget(part);
  }

  get failed(): readonly EndedRequest[] {
    return this.#failed;
  }

  get slowest(): readonly EndedRequest[] {
    this.#forget(Math.floor(this.#now() / PART_MS));
    return [...this.#slow.values()].flat().sort(bySlowness).slice(0, MAX_SLOW);
  }

  /** Refusals for want of room come in thousands: those of a site have one entry, and leave room for the others. */
  #addFailed(ended: EndedRequest): void {
    const isSame = (each: EndedRequest): boolean =>
      ended.end === 'not-admitted' && each.end === ended.end && each.site === ended.site;
    const times = 1 + (this.#failed.find(isSame)?.times ?? 0);
    const others = this.#failed.filter((each) => !isSame(each));
    this.#failed = [{ ...ended, times }, ...others].slice(0, MAX_FAILED);
  }

  #endedOf(site: string, access: Access, reason = ''): EndedRequest {
    const { id, client, method, uri, status, end, queueMs, firstMs, totalMs } = access;
    return {
      ...{ id, site, endedAt: new Date(this.#now()).toISOString(), status, end, queueMs, firstMs, totalMs },
      ...{ client: shortened(client), method: shortened(method), uri: shortened(uri) },
      ...{ reason: shortened(reason), times: 1 },
    };
  }

  #forget(part: number): void {
    for (const begun of this.#slow.keys()) if (begun <= part - PARTS) this.#slow.delete(begun);
  }
}

function bySlowness(one: EndedRequest, other: EndedRequest): number {
  return other.totalMs - one.totalMs;
}

/** A copy: a part of a text would keep the whole of it. */
function shortened(text: string): string {
  if (text.length <= MAX_TEXT) return text;
  return `${Buffer.from(text.slice(0, MAX_TEXT)).toString()}…`;
}
