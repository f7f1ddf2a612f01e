/** Carries a script's standard error to the web server's log and keeps its end for ours. */

import type { Readable, Writable } from 'node:stream';

import { drained } from './drained.js';

/**
 * Sends standard error on until it ends or is destroyed, also when the web server no longer takes it: what is kept may
 * say why. Resolves to the last `tailBytes` octets, as text.
 */
export async function carryStderr(
  source: Readable,
  sink: Writable,
  tailBytes: number,
  givenUp: AbortSignal,
): Promise<string> {
  let tail: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of source) {
      tail = Buffer.concat([tail, chunk as Buffer]).subarray(-tailBytes);
      if (!sink.destroyed && !sink.write(chunk)) await drained(sink, givenUp);
    }
  } catch {
    // Destroyed by the run's owner, who knows why.
  }
  return tail.toString('utf8');
}
