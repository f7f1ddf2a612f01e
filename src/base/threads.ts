/** Shares out the threads that Node has for what may take long: a dead file system never gives back what waits for it. */

import { Abort, type WaitSignal } from './timer.js';
import { WaitQueue } from './wait-queue.js';

/** As many as libuv has made; the command asks for more before there are any (`scripts/bundle.ts`). */
const POOL = Number(process.env['UV_THREADPOOL_SIZE']) || 4;

/** What nobody has a share of: what Node does there by itself. */
const KEPT = 4;

/** What a share may have at once. */
const SHARE = 2;

/** A site looks things up, starts programs, and reads the first lines of those that are to run warm. */
const OF_SITE = 3 * SHARE;

/** Bodies on disk, and the static files of all sites. */
export const SPOOL_SHARE = 4;
const OF_ALL = SPOOL_SHARE + SHARE;

/** What all shares may have at once. */
const MOST = Math.max(SHARE, POOL - KEPT);

/** Why these sites may have to wait for each other's dead file systems; undefined where each has threads enough. */
export function fewThreads(sites: number): string | undefined {
  const needed = KEPT + OF_ALL + sites * OF_SITE;
  if (sites < 2 || needed <= POOL) return undefined;
  const advice = `UV_THREADPOOL_SIZE is ${String(POOL)}; set it to ${String(needed)}`;
  return `a file system that does not answer may hold up other sites: ${String(sites)} sites need ${String(needed)} threads, and ${advice}`;
}

/** Those of whom something waits. */
const waiting = new Set<Threads>();

let held = 0;

/** How many all shares have that have not come back. */
export function heldThreads(): number {
  return held;
}

/** A share, of one site. What waits for a thread leaves when its signal aborts; what has one keeps it until it returns. */
export class Threads {
  readonly #most: number;
  readonly #waiting = new WaitQueue();
  #held = 0;

  constructor(most = SHARE) {
    this.#most = most;
  }

  get held(): number {
    return this.#held;
  }

  /**
   * What `work` comes to, which takes one thread at a time, and waits for no other share: all may be held by those who
   * wait. Once `signal` has aborted, nobody waits for it any more.
   *
   * @throws what `work` throws, and what `signal` aborts with
   */
  async run<T>(work: () => Promise<T>, signal: WaitSignal = new Abort()): Promise<T> {
    if (signal.aborted) throw signal.reason;
    if (!this.#take()) {
      waiting.add(this);
      const onLeave = (): void => {
        if (this.#waiting.size === 0) waiting.delete(this);
      };
      await this.#waiting.join(signal, { onLeave });
    }
    const result = work();
    void result.then(this.#giveBack, this.#giveBack);
    return unlessAborted(result, signal);
  }

  /** Takes a thread, if there is one for this share, and says whether there was. */
  #take(): boolean {
    if (this.#held >= this.#most || held >= MOST) return false;
    this.#held += 1;
    held += 1;
    return true;
  }

  readonly #giveBack = (): void => {
    this.#held -= 1;
    held -= 1;
    // Shares come in the order in which they began to wait; one that gets a thread goes to the end.
    for (const each of waiting) if (each.#next()) break;
  };

  #next(): boolean {
    if (this.#waiting.size === 0 || !this.#take()) return false;
    waiting.delete(this);
    waiting.add(this);
    this.#waiting.give();
    return true;
  }
}

/** What `result` comes to, unless `signal` aborts first. */
export async function unlessAborted<T>(result: Promise<T>, signal: WaitSignal): Promise<T> {
  let onAbort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
    };
  });
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([result, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
