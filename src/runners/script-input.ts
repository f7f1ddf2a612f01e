/** Carries a request's body to a script that may read it, or part of it, or none of it. */

import type { Readable, Writable } from 'node:stream';

/**
 * Feeds `body` to a script's standard input, no faster than it reads. When the script closes it or ends, the body is
 * destroyed: to answer without reading is a script's right (RFC 3875 §4.2).
 *
 * `onProgress` is called with the octets of each piece that the script is given, and with 0 when it has taken them.
 */
export function feedScript(body: Readable, scriptStdin: Writable, onProgress: (bytes: number) => void): void {
  let isGathering = false;
  // Records may be small, and come many at a time: each write of its own would wake the script for little.
  const gather = (): void => {
    if (isGathering) return;
    isGathering = true;
    scriptStdin.cork();
    process.nextTick(() => {
      isGathering = false;
      scriptStdin.uncork();
    });
  };
  body.on('data', (piece: Buffer) => {
    onProgress(piece.length);
    gather();
  });
  scriptStdin.on('drain', () => {
    onProgress(0);
  });
  const stop = (): void => {
    body.destroy();
  };
  // EPIPE and ECONNRESET: the script does not want it. Its close follows.
  scriptStdin.on('error', stop);
  scriptStdin.once('close', stop);
  // An aborted request has a body without an end; the script must not wait for one.
  body.once('close', () => {
    if (!body.readableEnded) scriptStdin.destroy();
  });
  if (body.destroyed) scriptStdin.destroy();
  else body.pipe(scriptStdin);
}
