/** Keeps what a request names inside the directory that the administrator named: real paths, never strings. */

import type { Stats } from 'node:fs';

import { type ByteString, toText } from '../base/bytes.js';
import { OptionError } from '../base/errors.js';
import { whyNotExecutable } from '../base/executable.js';
import { type LookUp, lstatAt, mayExecute, realPathAt, statAt } from './look-up.js';
import { whyUnreachable } from './refusal-reason.js';
import { byThreads, later } from './steps.js';

/** The real path of what `path` names; undefined where that is nothing that can be reached. */
export function realPath(path: ByteString): Promise<ByteString | undefined> {
  return later(realPathAt(path));
}

/** What `path` is, through symbolic links; undefined where that is nothing that can be reached. */
export function statOrAbsent(path: ByteString): Promise<Stats | undefined> {
  return later(statAt(path));
}

/** What keeps a file from being run whose real path was found just now, if anything does: for visitors, and in detail. */
export function* whyUnfit(real: ByteString): LookUp<readonly [reason: string, detail: string] | undefined> {
  const [stats, shown] = [yield* lstatAt(real), toText(real)];
  if (stats?.isFile() !== true)
    return ['The script is not a regular file.', `${shown} is not a regular file`];
  if (yield* mayExecute(real)) return undefined;
  return ['The script is not executable.', whyNotExecutable(shown, stats)];
}

/** Whether the real path `path` is the real path `directory` or lies below it. */
export function contains(directory: ByteString, path: ByteString): boolean {
  return path === directory || path.startsWith(directory.endsWith('/') ? directory : `${directory}/`);
}

/** How long a directory that an option names may take to be found. */
const MAX_START_MS = 30_000;

/** The real path of a directory that an option names. @throws OptionError `ERR_START` if it is missing, or can't be found. */
export async function namedDirectory(option: string, path: ByteString): Promise<ByteString> {
  const wrong = (why: string): OptionError =>
    new OptionError('ERR_START', { option, value: toText(path), why });
  function* directory(): LookUp<{ readonly real?: ByteString; readonly why: string }> {
    const real = yield* realPathAt(path);
    const why = real === undefined ? yield* whyUnreachable(path) : '';
    if (real !== undefined && (yield* lstatAt(real))?.isDirectory() === true) return { real, why };
    return { why: why === '' || why === `there is no ${toText(path)}` ? 'there is no such directory' : why };
  }
  const signal = AbortSignal.timeout(MAX_START_MS);
  // A share of its own: another site's may be held.
  const { real, why } = await byThreads()(directory(), signal).catch((error: unknown) => {
    const late = `its file system has not answered within ${String(MAX_START_MS / 1_000)} s`;
    throw signal.aborted ? wrong(late) : error;
  });
  if (real === undefined) throw wrong(why);
  return real;
}

/**
 * The segments of a path from the network, or undefined if it can't name anything here: it has a NUL, or a `.` or `..`
 * that no web server should have passed on. Empty segments are left out.
 */
export function safeSegments(path: ByteString): ByteString[] | undefined {
  const segments = path.split('/').filter((segment) => segment !== '');
  const unsafe = segments.some((segment) => segment === '.' || segment === '..' || segment.includes('\0'));
  return unsafe ? undefined : segments;
}

/** A text without the characters of `ends` at its end; in one pass, however many there are. */
export function withoutEnd(text: ByteString, ends: string): ByteString {
  let end = text.length;
  while (end > 0 && ends.includes(text.charAt(end - 1))) end -= 1;
  return text.slice(0, end);
}

/** A text without white space before and after it, as C has it: what is white space only in Unicode may be half a letter. */
export function trimmed(text: ByteString, space = ' \t\n\v\f\r'): ByteString {
  let begin = 0;
  while (begin < text.length && space.includes(text.charAt(begin))) begin += 1;
  return withoutEnd(text.slice(begin), space);
}
