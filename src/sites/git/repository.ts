/** Tells git repositories from other directories, without running git. */

import { readdir, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import { type ByteString, fromBuffer, toBuffer } from '../../bytes.js';
import { contains, lstatOrAbsent, realPath, statOrAbsent } from '../contain.js';

/** How far git itself follows alternates of alternates. */
const MAX_ALTERNATES_DEPTH = 5;

/**
 * The git directory of the repository at `path`, a real path: its `.git`, or itself where it is bare. Undefined where
 * there is none, or one that does not keep to the real path `root` with all of its objects: what symbolic links, a
 * `.git` file, the common directory of a linked working tree and alternates lead to.
 */
export async function gitDirectory(root: ByteString, path: ByteString): Promise<ByteString | undefined> {
  // In the order in which git looks (`enter_repo`).
  for (const candidate of [await dotGit(path), path]) {
    if (candidate !== undefined && (await isGitDirectory(root, candidate))) return candidate;
  }
  return undefined;
}

async function dotGit(path: ByteString): Promise<ByteString | undefined> {
  const real = await realPath(`${path}/.git`);
  if (real === undefined || (await statOrAbsent(real))?.isDirectory() === true) return real;
  return namedIn(real, path, /^gitdir: (.*?)[\r\n]*$/s);
}

async function isGitDirectory(root: ByteString, path: ByteString): Promise<boolean> {
  const head = await lstatOrAbsent(`${path}/HEAD`);
  if (!contains(root, path) || head === undefined || head.isDirectory()) return false;
  const common =
    (await lstatOrAbsent(`${path}/commondir`)) === undefined
      ? path
      : await namedIn(`${path}/commondir`, path, /^(.*?)[\r\n]*$/s);
  if (common === undefined || !contains(root, common)) return false;
  const objects = await realPath(`${common}/objects`);
  if (objects === undefined || (await statOrAbsent(`${common}/refs`))?.isDirectory() !== true) return false;
  return (
    (await linksLeadInside(root, path)) &&
    (await linksLeadInside(root, common)) &&
    (await objectsAreInside(root, objects))
  );
}

/** Whether a directory of objects and all that it borrows from lies inside. */
async function objectsAreInside(root: ByteString, objects: ByteString, depth = 0): Promise<boolean> {
  if (!contains(root, objects) || (await statOrAbsent(objects))?.isDirectory() !== true) return false;
  for (const directory of [objects, `${objects}/pack`, `${objects}/info`]) {
    if (!(await linksLeadInside(root, directory))) return false;
  }
  if (depth > MAX_ALTERNATES_DEPTH) return true;
  const text = await regularFile(`${objects}/info/alternates`);
  const lines = text?.split('\n').filter((line) => line !== '' && !line.startsWith('#')) ?? [];
  for (const line of lines) {
    // Git unquotes such a line; nobody needs one who has no line end in a path.
    if (line.startsWith('"')) return false;
    const alternate = await realPath(resolve(objects, line));
    if (alternate !== undefined && !(await objectsAreInside(root, alternate, depth + 1))) return false;
  }
  return true;
}

/** Whether no symbolic link in a directory leads out; one that leads nowhere is a HEAD of old times, or a lock. */
async function linksLeadInside(root: ByteString, directory: ByteString): Promise<boolean> {
  const entries = await readdir(toBuffer(directory), { withFileTypes: true, encoding: 'buffer' }).catch(
    () => [],
  );
  const links = entries.filter((entry) => entry.isSymbolicLink()).map((entry) => fromBuffer(entry.name));
  const reals = await Promise.all(links.map((name) => realPath(`${directory}/${name}`)));
  return reals.every((real) => real === undefined || contains(root, real));
}

/** The real path that a file's text names, relative to `base`. */
async function namedIn(file: ByteString, base: ByteString, pattern: RegExp): Promise<ByteString | undefined> {
  const name = pattern.exec((await regularFile(file)) ?? '')?.[1];
  return name === undefined || name === '' ? undefined : realPath(resolve(base, name));
}

/** A regular file's text: nobody waits here for what writes to a named pipe. */
async function regularFile(path: ByteString): Promise<ByteString | undefined> {
  if ((await statOrAbsent(path))?.isFile() !== true) return undefined;
  return readFile(toBuffer(path)).then(fromBuffer, () => undefined);
}
