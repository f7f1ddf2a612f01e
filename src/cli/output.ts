/** Standard output, as commands write to it: to a reader who may leave, or to a disk that may be full. */

import { setImmediate } from 'node:timers/promises';

import { reasonOf, systemCodeOf } from '../base/errors.js';

let failure: Error | undefined;

/** Notes from now on what can't be written; a reader who has left wants no more, which is no failure. */
export function watchOutput(): void {
  process.stdout.on('error', (cause: Error) => {
    if (systemCodeOf(cause) !== 'EPIPE') failure ??= failureOf(cause);
  });
}

/** Resolves when all is written, once `watchOutput` was called. @throws Error for what could not be */
export async function outputWritten(): Promise<void> {
  await new Promise((resolve) => process.stdout.write('', resolve));
  // The stream tells of its errors after this.
  await setImmediate();
  if (failure !== undefined) throw failure;
}

/** Writes to standard output; resolves, when it was taken, to whether more of it is wanted. */
export function writeOut(data: Buffer | string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    process.stdout.write(data, (error) => {
      if (!error) resolve(true);
      else if (systemCodeOf(error) === 'EPIPE') resolve(false);
      else reject(failureOf(error));
    });
  });
}

function failureOf(cause: Error): Error {
  return new Error(`standard output can't be written: ${reasonOf(cause)}`, { cause });
}
