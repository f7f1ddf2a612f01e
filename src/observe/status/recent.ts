/** The last requests that have failed, and the slowest of the last minutes: few of each, and never more. */

import type { Access } from '../access-log.js';
import { PERIOD_MS, PERIODS } from './history.js';
import type { EndedRequest } from './status.js';

export const MAX_FAILED = 20;
export const MAX_SLOW = 10;
/** In this number of parts the last minutes are told apart: when one is over, the slowest of the others are still known. */
const PARTS = 15;
const PART_MS = (PERIOD_MS * PERIODS) / PARTS;
/** What is kept of a text from the network. */
const MAX_TEXT = 300;

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
