/** The processes of all sites together: no more than there may be at once, shared out fairly. */

import { availableParallelism } from 'node:os';

import type { Configuration } from '../configuration.js';

const PER_CORE = 16;
const LEAST = 32;

/** How many processes may run at once: unless that is said, no fewer than one site may have. */
export function maxOfAll({
  maxProcessesTotal,
  sites,
}: Pick<Configuration, 'maxProcessesTotal' | 'sites'>): number {
  const ofSites = sites.map(({ maxProcesses }) => maxProcesses);
  return maxProcessesTotal ?? Math.max(LEAST, PER_CORE * availableParallelism(), ...ofSites);
}

/** A site, as far as its processes are concerned. */
export interface Sharer {
  readonly running: number;
  readonly waiting: number;
  /** How many of its own may run at once. */
  readonly maxProcesses: number;
  /** Starts the request that waits first; its process counts already. */
  next(): void;
}

/**
 * A site for which nothing runs finds a slot, as far as half of them go: the others leave it one. Of the sites that
 * wait, the one with the fewest processes is next.
 */
export class ProcessTotal {
  readonly #sharers = new Set<Sharer>();
  #max: number;
  #running = 0;

  constructor(max = Infinity) {
    this.#max = max;
  }

  /** Another limit; what runs goes on. */
  set max(max: number) {
    this.#max = max;
    this.share(0);
  }

  get running(): number {
    return this.#running;
  }

  add(sharer: Sharer): void {
    this.#sharers.add(sharer);
  }

  delete(sharer: Sharer): void {
    this.#sharers.delete(sharer);
    this.share(0);
  }

  /** Takes a slot, if this site may have one more; says whether. */
  take(sharer: Sharer): boolean {
    let kept = 0;
    if (sharer.running > 0) for (const each of this.#sharers) if (each.running === 0) kept += 1;
    const isFree = this.#max - this.#running > Math.min(kept, Math.floor(this.#max / 2));
    if (isFree) this.#running += 1;
    return isFree;
  }

  /** Takes back this number of slots, and gives what is free to those who wait. */
  share(slots: number): void {
    this.#running -= slots;
    for (;;) {
      let next: Sharer | undefined;
      for (const each of this.#sharers) {
        const mayBeNext = each.waiting > 0 && each.running < each.maxProcesses;
        if (mayBeNext && each.running < (next?.running ?? Infinity)) next = each;
      }
      if (next === undefined || !this.take(next)) return;
      // Of several with as many, the others come first the next time.
      this.#sharers.delete(next);
      this.#sharers.add(next);
      next.next();
    }
  }
}
