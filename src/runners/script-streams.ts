/** Carries what goes between a script's standard streams and its request's. */

import type { Readable, Writable } from 'node:stream';

import type { Timer, WaitSignal } from '../base/timer.js';

export type ScriptSource = Readable & {
  /** Whether its program has ended, so that its end follows, as a rule before anything else happens. */
  readonly isLast?: boolean | undefined;
};

/**
 * Feeds `body` to a script's standard input, no faster than it reads. When the script closes it or ends, the body is
 * destroyed: to answer without reading is a script's right (RFC 3875 §4.2).
 *
 * `idleTimer` is put off when the script is given a piece, and when it has taken what it was given.
 */
export function feedScript(body: Readable, scriptStdin: Writable, idleTimer: Pick<Timer, 'putOff'>): void {
  const uncork = scriptStdin.uncork.bind(scriptStdin);
  body.on('data', () => {
    idleTimer.putOff();
    // Records may be small, and come many at a time: each write of its own would wake the script for little.
    scriptStdin.cork();
    process.nextTick(uncork);
  });
  scriptStdin.on('drain', () => {
    idleTimer.putOff();
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

/**
 * Sends standard error on until it ends or is destroyed, also when the web server no longer takes it: what is kept may
 * say why. Resolves to the last `tailBytes` bytes, as text.
 */
export async function carryStderr(
  source: Readable,
  to: { readonly stderr: Writable },
  tailBytes: number,
  givenUp: WaitSignal,
): Promise<string> {
  let tail: Buffer = Buffer.alloc(0);
  source.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-tailBytes);
    const { stderr: sink } = to;
    if (sink.destroyed || sink.write(chunk)) return;
    source.pause();
    void drained(sink, givenUp).then(() => source.resume());
  });
  await new Promise<void>((resolve) => {
    source.once('end', resolve);
    // Destroyed by the run's owner, who knows why.
    source.once('close', resolve);
    source.on('error', () => undefined);
  });
  return tail.toString('utf8');
}

/** Resolves when `sink` can take more, or will never, or nobody wants to wait any more: `givenUp` has aborted. */
export function drained(sink: Writable, givenUp: WaitSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      sink.off('drain', done);
      sink.off('close', done);
      givenUp.removeEventListener('abort', done);
      resolve();
    };
    sink.on('drain', done);
    sink.on('close', done);
    givenUp.addEventListener('abort', done);
    if (givenUp.aborted) done();
  });
}
