/** Carries a request's body to a script that may read it, or part of it, or none of it. */

import type { Readable, Writable } from 'node:stream';

import { drained } from './drained.js';
import { Spool } from './spool.js';

/** When and how far the rest of a body is taken to disk. */
export interface Overflow {
  /** Resolves when the body must come in although the script does not read it. */
  readonly wanted: Promise<void>;
  readonly maxBytes: number;
}

/**
 * Feeds `source` to a script's standard input, no faster than it reads. When the script closes it or ends, the rest is
 * read and thrown away: to answer without reading is its right (RFC 3875 §4.2).
 *
 * A script whose answer is held back until the body has arrived may stop reading, since nobody takes more of that
 * answer: `overflow` then has the rest of the body kept on disk, which the script is fed from afterwards.
 *
 * `onProgress` is called with the octets of each piece that was taken. Resolves when the whole body has arrived or nobody
 * wants the rest of it; or when no more of it can be kept.
 */
export function feedScript(
  source: Readable,
  scriptStdin: Writable,
  onProgress: (bytes: number) => void,
  overflow?: Overflow,
): Promise<void> {
  return new Promise((resolve) => {
    let isWanted = true;
    const count = (chunk: Buffer): void => {
      onProgress(chunk.length);
    };
    source.on('data', count);
    scriptStdin.on('drain', () => {
      onProgress(0);
    });
    const stop = (): void => {
      isWanted = false;
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
    void overflow?.wanted.then(async () => {
      if (source.readableEnded || source.destroyed || !isWanted) return;
      // With a listener for its data, Node would let the source flow whenever nobody else reads it: into nowhere.
      source.off('data', count);
      source.unpipe(scriptStdin);
      const takePiece = (bytes: number): boolean => {
        onProgress(bytes);
        return isWanted;
      };
      await feedFromDisk(source, scriptStdin, overflow.maxBytes, takePiece, resolve);
      source.on('data', count);
      if (!scriptStdin.destroyed) source.pipe(scriptStdin);
      else source.resume();
    });
  });
}

/** Takes the rest of a body to disk, as far as it fits; calls `arrived`, and feeds the script with it. */
async function feedFromDisk(
  source: Readable,
  scriptStdin: Writable,
  maxBytes: number,
  takePiece: (bytes: number) => boolean,
  arrived: () => void,
): Promise<void> {
  let spool: Spool | undefined;
  try {
    spool = await Spool.open(maxBytes);
    await spool.fill(source, takePiece);
  } catch {
    // No space: as if it were full. An aborted request: its close ends the script's standard input.
  }
  arrived();
  try {
    for await (const piece of spool?.read() ?? []) {
      if (scriptStdin.destroyed) break;
      if (!scriptStdin.write(piece)) await drained(scriptStdin);
    }
  } catch {
    // The disk fails: a body without its end must not look like a whole one.
    scriptStdin.destroy();
  } finally {
    await spool?.close();
  }
}
