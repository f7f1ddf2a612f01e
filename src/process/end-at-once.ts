/** The end of our side of a connection, without the turn of its loop in which Node gets to it. */

import type { Socket } from 'node:net';

import { loadLibC } from './posix/libc.js';

/** Of Linux, which Node does not name. */
const SHUT_WR = 1;

/**
 * Ends our side if the system has all that was written; otherwise, and without koffi, it is left to `socket.end`, which the
 * caller calls in any case.
 */
export function endAtOnce(socket: Socket): void {
  // Node has no other way to the descriptor.
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } | null };
  const descriptor = handle?.fd ?? -1;
  if (descriptor < 0 || socket.writableLength > 0) return;
  const loaded = loadLibC();
  // Where it fails, the peer has left.
  if (loaded.kind === 'loaded') loaded.libc.shutdown(descriptor, SHUT_WR);
}
