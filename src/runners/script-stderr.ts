/** Carries a script's standard error to the web server's log and keeps its end for ours. */

import type { Readable, Writable } from 'node:stream';

import { drained } from './drained.js';

/**
 * Sends standard error on until it ends or is destroyed, also when the web server no longer takes it: what is kept may
 * say why. Resolves to the last `tailBytes` octets, as text.
 */
export function carryStderr(
  source: Readable,
  sink: Writable,
  tailBytes: number,
  givenUp: AbortSignal,
): Promise<string> {
  let tail: Buffer = Buffer.alloc(0);
  source.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-tailBytes);
    if (sink.destroyed || sink.write(chunk)) return;
    source.pause();
    void drained(sink, givenUp).then(() => source.resume());
  });
  return new Promise((resolve) => {
    const done = (): void => {
      resolve(tail.toString('utf8'));
    };
    source.once('end', done);
    // Destroyed by the run's owner, who knows why.
    source.once('close', done);
    source.on('error', () => undefined);
  });
}
