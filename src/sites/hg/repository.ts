/** Tells Mercurial repositories from other directories, without opening one. */

import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import { type ByteString, fromBuffer, toBuffer } from '../../bytes.js';
import { contains, realPath, statOrAbsent } from '../contain.js';

/**
 * Whether `path`, a real path, is a Mercurial repository all of whose history lies inside the real path `root`: its
 * `.hg`, the store, and for a shared repository (`hg share`) what it shares.
 */
export async function isHgRepository(root: ByteString, path: ByteString): Promise<boolean> {
  const dotHg = await realPath(`${path}/.hg`);
  if (dotHg === undefined || !contains(root, dotHg) || (await statOrAbsent(dotHg))?.isDirectory() !== true) {
    return false;
  }
  if (!(await storeLiesInside(root, dotHg))) return false;
  const sharedPath = await realPath(`${dotHg}/sharedpath`);
  if (sharedPath === undefined) return true;
  if (!contains(root, sharedPath) || (await statOrAbsent(sharedPath))?.isFile() !== true) return false;
  const shared = await readFile(toBuffer(sharedPath)).catch(() => undefined);
  if (shared === undefined) return false;
  // Read as Mercurial reads it: without newlines, and relative to .hg by its name.
  const source = await realPath(resolve(`${path}/.hg`, fromBuffer(shared).replace(/\n+$/, '')));
  return source !== undefined && contains(root, source) && storeLiesInside(root, source);
}

async function storeLiesInside(root: ByteString, dotHg: ByteString): Promise<boolean> {
  const store = await realPath(`${dotHg}/store`);
  return store === undefined || contains(root, store);
}
