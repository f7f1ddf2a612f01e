/** Keeps what a request names inside the directory that the administrator named: real paths, never strings. */

import { accessSync, constants, type Stats, statSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { resolve } from 'node:path';

import { type ByteString, fromBuffer, fromText, toBuffer, toText } from '../bytes.js';
import { OptionError } from '../errors.js';
import { entriesAt, later, type LookUp, lstatAt, realPathAt, statAt } from './look-up.js';

/** The real path of what `path` names; undefined where that is nothing that can be reached. */
export function realPath(path: ByteString): Promise<ByteString | undefined> {
  return later(realPathAt(path));
}

/** What `path` is, through symbolic links; undefined where that is nothing that can be reached. */
export function statOrAbsent(path: ByteString): Promise<Stats | undefined> {
  return later(statAt(path));
}

/** Whether this process may execute the file. */
export async function isExecutable(path: ByteString): Promise<boolean> {
  return access(toBuffer(path), constants.X_OK).then(
    () => true,
    () => false,
  );
}

/**
 * What keeps a file from being run whose real path was found just now, if anything does. It is asked for at once: the
 * system has the answer at hand, and to wake another thread for it would take longer.
 */
export function whyUnfit(real: ByteString): 'no-file' | 'not-executable' | undefined {
  const path = toBuffer(real);
  try {
    if (!statSync(path).isFile()) return 'no-file';
  } catch {
    return 'no-file';
  }
  try {
    accessSync(path, constants.X_OK);
  } catch {
    return 'not-executable';
  }
  return undefined;
}

/** Whether the real path `path` is the real path `directory` or lies below it. */
export function contains(directory: ByteString, path: ByteString): boolean {
  return path === directory || path.startsWith(directory.endsWith('/') ? directory : `${directory}/`);
}

/** Whether no symbolic link in a directory leads out; one that leads nowhere is a lock, or a git HEAD of old times. */
export function* linksLeadInside(root: ByteString, directory: ByteString): LookUp<boolean> {
  if ((yield* lstatAt(directory)) === undefined) return true;
  const entries = yield* entriesAt(directory);
  // A lack of descriptors, say: what runs later may lack none.
  if (entries === undefined) return false;
  for (const entry of entries) {
    if (!entry.isSymbolicLink()) continue;
    const real = yield* realPathAt(`${directory}/${fromBuffer(entry.name)}`);
    if (real !== undefined && !contains(root, real)) return false;
  }
  return true;
}

/** The real path of a directory that an option names. @throws OptionError `ERR_START` if there is none. */
export async function namedDirectory(option: string, path: ByteString): Promise<ByteString> {
  const real = await realPath(path);
  if (real === undefined || (await statOrAbsent(real))?.isDirectory() !== true) {
    throw new OptionError('ERR_START', { option, value: toText(path), why: 'there is no such directory' });
  }
  return real;
}

/** The absolute form of a path that the administrator gave, as octets. */
export function absolutePath(path: string): ByteString {
  return fromText(resolve(path));
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
