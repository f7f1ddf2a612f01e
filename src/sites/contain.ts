/** Keeps what a request names inside the directory that the administrator named: real paths, never strings. */

import { accessSync, constants, type Stats, statSync } from 'node:fs';
import { access, lstat, realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';

import { type ByteString, fromBuffer, fromText, toBuffer, toText } from '../bytes.js';
import { OptionError, systemCodeOf } from '../errors.js';

/** What a look-up in the file system finds, or undefined where nothing is that can be reached. */
async function orAbsent<T>(lookUp: Promise<T>): Promise<T | undefined> {
  try {
    return await lookUp;
  } catch (error) {
    // Whatever keeps us from a file keeps the request from it as well; nothing is run on a guess.
    if (systemCodeOf(error) === undefined) throw error;
    return undefined;
  }
}

/** The real path of what `path` names. */
export async function realPath(path: ByteString): Promise<ByteString | undefined> {
  const real = await orAbsent(realpath(toBuffer(path), { encoding: 'buffer' }));
  return real && fromBuffer(real);
}

/** What `path` is, itself and not what a symbolic link there points to. */
export function lstatOrAbsent(path: ByteString): Promise<Stats | undefined> {
  return orAbsent(lstat(toBuffer(path)));
}

/** What `path` is, through symbolic links. */
export function statOrAbsent(path: ByteString): Promise<Stats | undefined> {
  return orAbsent(stat(toBuffer(path)));
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
