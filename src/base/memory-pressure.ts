/**
 * Keeps small what V8 holds of pieces that are no longer needed.
 *
 * What goes from socket to pipe lives for a moment, in pieces of 64 KiB that V8 counts apart from its heap. V8 looks for
 * pieces that can be freed when its young generation is full of the small objects that name them, or when the pieces come
 * to 32 MiB. A daemon that holds next to nothing would take 32 MiB more than it needs, so V8 has to be told to look sooner.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** What may be read before V8 looks. To look in a young generation of 1 MiB takes a fraction of a millisecond. */
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
