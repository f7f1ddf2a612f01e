/** Waits for a slow reader. */

import type { Writable } from 'node:stream';

/** Resolves when `sink` can take more, or will never: the caller looks at `sink.destroyed`. */
export function drained(sink: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      sink.off('drain', done);
      sink.off('close', done);
      resolve();
    };
    sink.on('drain', done);
    sink.on('close', done);
  });
}
