/** Files whose names others may give to other files meanwhile; and directories in which nobody but root can do so. */

import { constants, existsSync, lstatSync, readlinkSync, type Stats } from 'node:fs';
import { link, open } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';

import { systemCodeOf } from '../../base/errors.js';

/** Whether a file that is open has a path of its own, as on Linux, whatever others do with its name. */
export const canHold = process.platform === 'linux' && existsSync('/proc/self/fd');

/** A path by which programs that this process starts reach the file, too. */
export function pathOfOpen(descriptor: number): string {
  return `/proc/${String(process.pid)}/fd/${String(descriptor)}`;
}

/** Gives a file a further name, if that is free; says whether it was. @throws Error of the system, with its `code` */
export async function tryLink(file: string, name: string): Promise<boolean> {
  try {
    await link(file, name);
    return true;
  } catch (error) {
    if (systemCodeOf(error) !== 'EEXIST') throw error;
    return false;
  }
}

/** A number and what may follow it; nothing that a daemon leaves for another one is longer. */
const MAX_BYTES = 4_096;

/** The text of a small file, and of nothing that has to be waited for. @throws Error of the system */
export async function readSmall(path: string): Promise<string> {
  const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants;
  const file = await open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  try {
    if (!(await file.stat()).isFile()) throw new Error('it is no regular file');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_BYTES + 1));
    if (bytesRead > MAX_BYTES) throw new Error(`it has more than ${String(MAX_BYTES)} bytes`);
    return buffer.toString('latin1', 0, bytesRead);
  } finally {
    await file.close();
  }
}

const ROOT = 0;
const OTHERS_MAY_WRITE = 0o022;
/** In such a directory only the owner of a file may put another in its place. */
const STICKY = 0o1000;
/** As many as Linux follows. */
const MAX_LINKS = 40;

/** A directory that root finds, whatever others do meanwhile. */
export interface RootsDirectory {
  readonly stats: Stats;
  readonly isRootsAlone: boolean;
}

/** The directory of that file, an absolute path; undefined where others decide which it is, or there is no such directory. */
export function rootsDirectoryOf(file: string): RootsDirectory | undefined {
  try {
    return walk(file);
  } catch {
    return undefined;
  }
}

/** @throws Error of the system, with its `code` */
function walk(file: string): RootsDirectory | undefined {
  const names = partsOf(dirname(file));
  let at = '/';
  let stats = lstatSync(at);
  for (let links = 0; ;) {
    const name = names.shift();
    if (name === undefined) return { stats, isRootsAlone: isRootsAlone(stats) };
    const entry = join(at, name);
    const found = lstatSync(entry);
    if (!isRootsAlone(stats) && !isPinned(stats, found)) return undefined;
    if (found.isSymbolicLink()) {
      if (++links > MAX_LINKS) return undefined;
      const target = readlinkSync(entry);
      names.unshift(...partsOf(target));
      if (isAbsolute(target)) at = '/';
    } else if (found.isDirectory()) at = entry;
    else return undefined;
    stats = lstatSync(at);
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}

function isRootsAlone({ uid, mode }: Stats): boolean {
  return uid === ROOT && (mode & OTHERS_MAY_WRITE) === 0;
}

function isPinned(directory: Stats, entry: Stats): boolean {
  const isSticky = directory.uid === ROOT && (directory.mode & STICKY) !== 0;
  // A link of root's may be there under a name that another has given it.
  return isSticky && entry.uid === ROOT && entry.isDirectory();
}
