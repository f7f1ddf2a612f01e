/** Tells Mercurial repositories from other directories, without opening one. */

import { readdir, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import { type ByteString, fromBuffer, toBuffer } from '../../bytes.js';
import { contains, realPath, statOrAbsent } from '../contain.js';
import type { Repository } from '../publication.js';

/** The Mercurial repository at the real path `path`, if it keeps to the real path `root`; each may be published. */
export async function hgRepositoryAt(root: ByteString, path: ByteString): Promise<Repository | undefined> {
  return (await isHgRepository(root, path)) ? { path, isPublished: true } : undefined;
}

/**
 * Whether `path`, a real path, is a Mercurial repository all of whose history lies inside the real path `root`: its
 * `.hg`, what symbolic links there lead to, and for a shared repository (`hg share`) what it shares.
 */
export async function isHgRepository(root: ByteString, path: ByteString): Promise<boolean> {
  const dotHg = await realPath(`${path}/.hg`);
  if (dotHg === undefined || !contains(root, dotHg) || (await statOrAbsent(dotHg))?.isDirectory() !== true) {
    return false;
  }
  if (!(await linksLeadInside(root, dotHg))) return false;
  const sharedPath = await realPath(`${dotHg}/sharedpath`);
  if (sharedPath === undefined) return true;
  if (!contains(root, sharedPath) || (await statOrAbsent(sharedPath))?.isFile() !== true) return false;
  const shared = await readFile(toBuffer(sharedPath)).catch(() => undefined);
  if (shared === undefined) return false;
  // Read as Mercurial reads it: without newlines, and relative to .hg by its name.
  const source = await realPath(resolve(`${path}/.hg`, fromBuffer(shared).replace(/\n+$/, '')));
  return source !== undefined && contains(root, source) && linksLeadInside(root, source);
}

/** Whether no symbolic link in a `.hg` leads out; one that leads nowhere is a lock of Mercurial's. */
async function linksLeadInside(root: ByteString, dotHg: ByteString): Promise<boolean> {
  const entries = await readdir(toBuffer(dotHg), { withFileTypes: true, encoding: 'buffer' }).catch(() => []);
  const targets = entries.filter((entry) => entry.isSymbolicLink()).map((entry) => fromBuffer(entry.name));
  const reals = await Promise.all(targets.map((name) => realPath(`${dotHg}/${name}`)));
  return reals.every((real) => real === undefined || contains(root, real));
}
