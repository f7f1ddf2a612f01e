/**
 * Keeps what V8 holds of pieces that nobody needs any more small, without a flag of the command line.
 *
 * What is carried from socket to pipe lives for a moment, in pieces of 64 KiB that V8 counts apart from its heap: it
 * looks for those that nobody holds any more when its young generation is full of the small objects that name them, or
 * when they come to 32 MiB. So a daemon that holds next to nothing would take 32 MiB more than it needs, and it must be
 * told to look sooner.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** What may be carried before V8 looks for it. To look in a young generation of 1 MiB takes a fraction of a millisecond. */
const MAX_UNSEEN_BYTES = 4_194_304;

// Unlike --max-semi-space-size, this is read whenever it would grow.
setFlagsFromString('--semi-space-growth-factor=1');
setFlagsFromString('--expose-gc');

/** Only contexts that are made after the flag was set have it. */
const collect = runInNewContext('gc') as (options: { type: 'minor' }) => void;

let unseenBytes = 0;

/** To be called with the octets of each piece that a socket, a pipe or a file was read into. */
export function carried(bytes: number): void {
  unseenBytes += bytes;
  if (unseenBytes < MAX_UNSEEN_BYTES) return;
  unseenBytes = 0;
  collect({ type: 'minor' });
}
