/** What the texts of options mean; a number without its unit is a question. */

import { resolve } from 'node:path';

import bytes from 'bytes';
import ms, { type StringValue } from 'ms';

import { type ByteString, fromText } from '../../base/bytes.js';
import { OptionError } from '../../base/errors.js';
import { groupOf, userOf } from '../../daemon/process/accounts.js';
import type { Parser, Place } from './option.js';

/** Why a text can't be used. */
export function wrong({ option, shown }: Place, value: string, why: string): OptionError {
  return new OptionError('ERR_USAGE', { option, shown, value, why });
}

export const text: Parser<string> = (given) => given;
export const byteText: Parser<ByteString> = (given) => fromText(given);

/** An absolute path. */
export const path: Parser<string> = (given, { directory }) => resolve(directory, given);
export const bytePath: Parser<ByteString> = (given, place) => fromText(path(given, place));

/** A program: a name to look up in PATH, or an absolute path. */
export const program: Parser<string> = (given, place) => (given.includes('/') ? path(given, place) : given);

/** A name that the system knows, or a number. */
export const known =
  (kind: 'user' | 'group'): Parser<string> =>
  (name, { option, shown }) => {
    try {
      if (kind === 'user') userOf(name);
      else groupOf(name);
    } catch (cause) {
      if (!(cause instanceof OptionError)) throw cause;
      const why = name.includes(':') ? `${cause.why}; a group has an option of its own` : cause.why;
      throw new OptionError(cause.code, { option, shown, value: name, why }, { cause });
    }
    return name;
  };

/** One of these words; yargs and the reader of TOML have refused all others. */
export function oneOf<const Word extends string>(...choices: readonly Word[]): Parser<Word> {
  return Object.assign((given: string) => given as Word, { choices });
}

const numeric = <T>(parse: Parser<T>): Parser<T> => Object.assign(parse, { isNumeric: true });

/** What `change` makes of what another parser reads. */
export function changed<T, U>(parse: Parser<T>, change: (value: T) => U): Parser<U> {
  return Object.assign((given: string, place: Place) => change(parse(given, place)), { ...parse });
}

/** Milliseconds of `500ms`, `30s`, `5m`, `1.5h`; `0` for none. */
export const durationMs = numeric((given: string, place: Place): number => {
  if (given === '0') return 0;
  const value = /^\d+(\.\d+)?(ms|s|m|h|d)$/.test(given) ? ms(given as StringValue) : Number.NaN;
  // A timer of Node's holds 31 bits of milliseconds; a longer one would fire at once.
  if (value >= 1 && value <= 0x7fff_ffff) return Math.round(value);
  const why = 'expected a duration with its unit, as in 500ms, 30s, 5m or 1h (at most 24d), or 0 for none';
  throw wrong(place, given, why);
});

/** Bytes of `512b`, `64kb`, `1mb`. */
export const sizeBytes = numeric((given: string, place: Place): number => {
  const value = /^\d+(\.\d+)?(b|kb|mb|gb)$/i.test(given) ? bytes.parse(given) : null;
  if (value !== null && value > Number.MAX_SAFE_INTEGER) {
    throw wrong(place, given, 'expected a size of less than 8388608gb');
  }
  if (value === 0) throw wrong(place, given, 'expected a size of 1b or more');
  if (value !== null) return value;
  throw wrong(place, given, 'expected a size with its unit, as in 512b, 64kb or 1mb');
});

/** A whole number of at least `least`, and at most `most`, or nine digits. */
export const count = (least: number, most?: number): Parser<number> =>
  numeric((given, place) => {
    const value = /^\d{1,9}$/.test(given) ? Number(given) : Number.NaN;
    if (value >= least && value <= (most ?? value)) return value;
    const end = most ?? (/^\d{10,}$/.test(given) ? 999_999_999 : undefined);
    const range = `${String(least)} ${end === undefined ? 'or more' : `to ${String(end)}`}`;
    throw wrong(place, given, `expected a whole number, ${range}`);
  });

/** Permissions that new files don't get, in octal; not those of their owner. */
export const umask: Parser<number> = (given, place) => {
  if (/^0{0,2}[0-7]{1,2}$/.test(given)) return Number.parseInt(given, 8);
  throw wrong(place, given, 'expected what others may not, in octal from 000 to 077, as in 027');
};

export const fileMode: Parser<number> = (given, place) => {
  if (/^0?[0-7]{3}$/.test(given)) return Number.parseInt(given, 8);
  throw wrong(place, given, 'expected permissions in octal, as in 0660');
};

export const uriPath: Parser<ByteString> = (given, place) => {
  if (/^\/[^?#]*$/.test(given)) return fromText(given);
  throw wrong(place, given, 'expected a path that begins with a slash, as in /status, without a query');
};
