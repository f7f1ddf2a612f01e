/** The processes of all sites together: no more than there may be at once, shared out fairly. */

import { availableParallelism } from 'node:os';

import type { Configuration } from '../configuration.js';
import type { Admission } from './admission.js';

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

/**
 * A site for which nothing runs finds a slot, as far as half of them go: the others leave it one. Of the sites that
 * wait, the one with the fewest processes is next.
 */
export class ProcessTotal {
  readonly #sharers = new Set<Admission>();
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

  add(sharer: Admission): void {
    this.#sharers.add(sharer);
  }

  delete(sharer: Admission): void {
    this.#sharers.delete(sharer);
    this.share(0);
  }

  /** Takes a slot, if this site may have one more; says whether. */
  take(sharer: Admission): boolean {
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
      let next: Admission | undefined;
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
