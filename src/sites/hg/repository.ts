/** Tells Mercurial repositories from other directories, without opening one. */

import { readFile } from 'node:fs/promises';

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
  const store = await realPath(`${dotHg}/store`);
  if (store !== undefined && !contains(root, store)) return false;
  const shared = await readFile(toBuffer(`${dotHg}/sharedpath`)).catch(() => undefined);
  if (shared === undefined) return true;
  const named = fromBuffer(shared).replace(/\n$/, '');
  const source = await realPath(named.startsWith('/') ? named : `${dotHg}/${named}`);
  return source !== undefined && contains(root, source);
}
