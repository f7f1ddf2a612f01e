/** Tells Mercurial repositories from other directories, without opening one. */

import { resolve } from 'node:path';

import type { ByteString } from '../../bytes.js';
import { contains, linksLeadInside } from '../contain.js';
import { type LookUp, realPathAt, realPathBelow, statAt, textAt } from '../look-up.js';
import type { Repository } from '../publication.js';

/** The Mercurial repository at the real path `path`, if it keeps to the real path `root`; each may be published. */
export function* hgRepositoryAt(root: ByteString, path: ByteString): LookUp<Repository | undefined> {
  return (yield* isHgRepository(root, path)) ? { path, isPublished: true } : undefined;
}

/**
 * Whether `path`, a real path, is a Mercurial repository all of whose history lies inside the real path `root`: its
 * `.hg`, what symbolic links there lead to, and for a shared repository (`hg share`) what it shares.
 */
export function* isHgRepository(root: ByteString, path: ByteString): LookUp<boolean> {
  const dotHg = yield* realPathBelow(path, '.hg');
  if (dotHg === undefined || !contains(root, dotHg) || (yield* statAt(dotHg))?.isDirectory() !== true) {
    return false;
  }
  if (!(yield* linksLeadInside(root, dotHg))) return false;
  const sharedPath = yield* realPathBelow(dotHg, 'sharedpath');
  if (sharedPath === undefined) return true;
  if (!contains(root, sharedPath)) return false;
  const shared = yield* textAt(sharedPath);
  if (shared === undefined) return false;
  // Read as Mercurial reads it: without newlines, and relative to .hg by its name.
  const source = yield* realPathAt(resolve(`${path}/.hg`, shared.replace(/\n+$/, '')));
  return source !== undefined && contains(root, source) && (yield* linksLeadInside(root, source));
}
