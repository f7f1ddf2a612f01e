/** Waits for a slow reader. */

import type { Writable } from 'node:stream';

/** Resolves when `sink` can take more, or will never, or nobody wants to wait any more: `givenUp` has aborted. */
export function drained(sink: Writable, givenUp?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      sink.off('drain', done);
      sink.off('close', done);
      givenUp?.removeEventListener('abort', done);
      resolve();
    };
    sink.on('drain', done);
    sink.on('close', done);
    givenUp?.addEventListener('abort', done);
    if (givenUp?.aborted) done();
  });
}
