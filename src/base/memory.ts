/** Keeps small what V8 holds of things that are no longer needed. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * A Set of things that come and go with requests.
 *
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

/**
 * What may be read before V8 looks for pieces that can be freed.
 *
 * What goes from socket to pipe lives for a moment, in pieces of 64 KiB that V8 counts apart from its heap. V8 looks for
 * them when its young generation is full of the small objects that name them, or when the pieces come to 32 MiB: a daemon
 * that holds next to nothing would take 32 MiB more than it needs. To look in a young generation of 1 MiB takes a fraction of a
 * millisecond.
 */
const MAX_UNSEEN_BYTES = 4_194_304;

let collect: ((options: { type: 'minor' }) => void) | undefined;
let unseenBytes = 0;

/** Sets V8's flags for the whole process: for the command, not for a program that imports the library. */
export function limitYoungGeneration(): void {
  // Unlike --max-semi-space-size, this is read whenever it would grow.
  setFlagsFromString('--semi-space-growth-factor=1');
  // Of a young generation this small, other threads take more to be woken than they save.
  setFlagsFromString('--no-parallel-scavenge');
  setFlagsFromString('--expose-gc');
  // Only contexts that are made after the flag was set have it.
  collect = runInNewContext('gc') as typeof collect;
}

/** To be called with the size in bytes of each piece that a socket, a pipe or a file was read into. */
export function noteBytesRead(bytes: number): void {
  unseenBytes += bytes;
  if (unseenBytes < MAX_UNSEEN_BYTES) return;
  unseenBytes = 0;
  collect?.({ type: 'minor' });
}
