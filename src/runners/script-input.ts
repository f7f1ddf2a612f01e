/** Carries a request's body to a script that may read it, or part of it, or none of it. */

import type { Readable, Writable } from 'node:stream';

/**
 * Feeds `source` to a script's standard input, no faster than it reads. When the script closes it or ends, the rest is
 * read and thrown away: to answer without reading is its right (RFC 3875 §4.2).
 *
 * `onProgress` is called with the octets of each piece that was taken. Resolves when the whole body has arrived or nobody
 * wants the rest of it.
 */
export function feedScript(
  source: Readable,
  scriptStdin: Writable,
  onProgress: (bytes: number) => void,
): Promise<void> {
  return new Promise((resolve) => {
    source.on('data', (chunk: Buffer) => {
      onProgress(chunk.length);
    });
    scriptStdin.on('drain', () => {
      onProgress(0);
    });
    const stop = (): void => {
      source.unpipe(scriptStdin);
      source.resume();
      resolve();
    };
    source.once('end', resolve);
    // EPIPE and ECONNRESET: the script does not want it. Its close follows.
    scriptStdin.on('error', stop);
    scriptStdin.once('close', stop);
    scriptStdin.once('finish', stop);
    // An aborted request destroys its streams without an end; the script must not wait for one.
    source.once('close', () => {
      if (!source.readableEnded) scriptStdin.destroy();
    });
    source.pipe(scriptStdin);
  });
}
