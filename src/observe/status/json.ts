/** A status for programs: JSON whose names are written as those of the logs. */

import type { Status } from './status.js';

export function statusJson(status: Status): string {
  return `${JSON.stringify(status, snakeCase)}\n`;
}

/** Every object has the same names: what is not known is null, and so is what JSON has no number for. */
function snakeCase(_name: string, value: unknown): unknown {
  // Times, to the tenth of a millisecond.
  if (typeof value === 'number') return Math.round(10 * value) / 10;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      each === undefined ? null : (each as unknown),
    ]),
  );
}
