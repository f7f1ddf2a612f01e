/** Reads durations, sizes and other quantities of the command line; a number without its unit is a question. */

import bytes from 'bytes';
import ms, { type StringValue } from 'ms';

import { OptionError } from '../errors.js';

const wrong = (option: string, value: string, expected: string): OptionError =>
  new OptionError('ERR_USAGE', { option, value, why: `expected ${expected}` });

/** Milliseconds of `500ms`, `30s`, `5m`, `1.5h`; `0` for none. @throws OptionError `ERR_USAGE` */
export function durationMs(option: string, text: string): number {
  if (text === '0') return 0;
  const value = /^\d+(\.\d+)?(ms|s|m|h|d)$/.test(text) ? ms(text as StringValue) : Number.NaN;
  // A timer of Node's holds 31 bits of milliseconds; a longer one would fire at once.
  if (!(value >= 1 && value <= 0x7fff_ffff)) {
    throw wrong(
      option,
      text,
      'a duration with its unit, as in 500ms, 30s, 5m or 1h (at most 24d), or 0 for none',
    );
  }
  return Math.round(value);
}

/** Octets of `512b`, `64kb`, `1mb`. @throws OptionError `ERR_USAGE` */
export function sizeBytes(option: string, text: string): number {
  const value = /^\d+(\.\d+)?(b|kb|mb|gb)$/i.test(text) ? bytes.parse(text) : null;
  if (value === null || value < 1) throw wrong(option, text, 'a size with its unit, as in 512b, 64kb or 1mb');
  return value;
}

/** A whole number of at least `least`, and at most `most`. @throws OptionError `ERR_USAGE` */
export function count(option: string, text: string, least: number, most?: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= (most ?? value)) return value;
  const range = most === undefined ? `${String(least)} or more` : `${String(least)} to ${String(most)}`;
  throw wrong(option, text, `a whole number, ${range}`);
}

/** Permissions that new files don't get, in octal; not those of whom they belong to. @throws OptionError `ERR_USAGE` */
export function umask(option: string, text: string): number {
  if (/^0{0,2}[0-7]{1,2}$/.test(text)) return Number.parseInt(text, 8);
  throw wrong(option, text, 'what others may not, in octal from 000 to 077, as in 027');
}

/** File permissions, in octal. @throws OptionError `ERR_USAGE` */
export function fileMode(option: string, text: string): number {
  if (!/^0?[0-7]{3}$/.test(text)) throw wrong(option, text, 'permissions in octal, as in 0660');
  return Number.parseInt(text, 8);
}
