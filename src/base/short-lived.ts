/** A Set of things that come and go with requests. */

/**
 * V8 makes a Set or Map again every few changes, and what it was leads to what it has become. As soon as one of those counts
 * as old, all that was in the later ones stays until V8 looks through its whole heap.
 */
export class ShortLived<Thing extends object> implements Iterable<Thing> {
  readonly #things: Thing[] = [];

  get size(): number {
    return this.#things.length;
  }

  add(thing: Thing): void {
    this.#things.push(thing);
  }

  /** Says whether it was there. */
  delete(thing: Thing): boolean {
    const index = this.#things.indexOf(thing);
    if (index !== -1) this.#things.splice(index, 1);
    return index !== -1;
  }

  /** Those that are there now, in the order in which they came, whatever comes and goes meanwhile. */
  [Symbol.iterator](): IterableIterator<Thing> {
    return [...this.#things].values();
  }
}
