/** Tells git repositories from other directories, without running git. */

import { resolve } from 'node:path';

import type { ByteString } from '../../bytes.js';
import { contains, linksLeadInside } from '../contain.js';
import { type LookUp, lstatAt, realPathAt, realPathBelow, statAt, textAt } from '../look-up.js';

/** How far git itself follows alternates of alternates. */
const MAX_ALTERNATES_DEPTH = 5;

/**
 * The git directory of the repository at `path`, a real path: its `.git`, or itself where it is bare. Undefined where
 * there is none, or one that does not keep to the real path `root` with all of its objects: what symbolic links, a
 * `.git` file, the common directory of a linked working tree and alternates lead to.
 */
export function* gitDirectory(root: ByteString, path: ByteString): LookUp<ByteString | undefined> {
  // In the order in which git looks (`enter_repo`).
  for (const candidate of [yield* dotGit(path), path]) {
    if (candidate !== undefined && (yield* isGitDirectory(root, candidate))) return candidate;
  }
  return undefined;
}

function* dotGit(path: ByteString): LookUp<ByteString | undefined> {
  const real = yield* realPathBelow(path, '.git');
  if (real === undefined || (yield* statAt(real))?.isDirectory() === true) return real;
  return yield* namedIn(real, path, /^gitdir: (.*?)[\r\n]*$/s);
}

function* isGitDirectory(root: ByteString, path: ByteString): LookUp<boolean> {
  const head = yield* lstatAt(`${path}/HEAD`);
  if (!contains(root, path) || head === undefined || head.isDirectory()) return false;
  const common =
    (yield* lstatAt(`${path}/commondir`)) === undefined
      ? path
      : yield* namedIn(`${path}/commondir`, path, /^(.*?)[\r\n]*$/s);
  if (common === undefined || !contains(root, common)) return false;
  const objects = yield* realPathBelow(common, 'objects');
  if (objects === undefined || (yield* statAt(`${common}/refs`))?.isDirectory() !== true) return false;
  return (
    (yield* linksLeadInside(root, path)) &&
    (common === path || (yield* linksLeadInside(root, common))) &&
    (yield* objectsAreInside(root, objects))
  );
}

/** Whether a directory of objects and all that it borrows from lies inside. */
function* objectsAreInside(root: ByteString, objects: ByteString, depth = 0): LookUp<boolean> {
  if (!contains(root, objects) || (yield* statAt(objects))?.isDirectory() !== true) return false;
  for (const directory of [objects, `${objects}/pack`, `${objects}/info`]) {
    if (!(yield* linksLeadInside(root, directory))) return false;
  }
  if (depth > MAX_ALTERNATES_DEPTH) return true;
  const alternates = `${objects}/info/alternates`;
  if ((yield* lstatAt(alternates)) === undefined) return true;
  const text = yield* textAt(alternates);
  if (text === undefined) return false;
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  for (const line of lines) {
    // Git unquotes such a line; nobody needs one who has no line end in a path.
    if (line.startsWith('"')) return false;
    const alternate = yield* realPathAt(resolve(objects, line));
    if (alternate !== undefined && !(yield* objectsAreInside(root, alternate, depth + 1))) return false;
  }
  return true;
}

/** The real path that a file's text names, relative to `base`. */
function* namedIn(file: ByteString, base: ByteString, pattern: RegExp): LookUp<ByteString | undefined> {
  const name = pattern.exec((yield* textAt(file)) ?? '')?.[1];
  return name === undefined || name === '' ? undefined : yield* realPathAt(resolve(base, name));
}
