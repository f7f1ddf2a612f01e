/** Tells git repositories from other directories, without running git. */

import { resolve } from 'node:path';

import { type ByteString, fromBuffer, toText } from '../../base/bytes.js';
import { contains, withoutEnd } from '../contain.js';
import {
  entriesAt,
  isNoFile,
  linkAt,
  type LookUp,
  lstatAt,
  mayExecute,
  realPathAt,
  realPathBelow,
  statAt,
  textAt,
} from '../look-up.js';
import { whyUnreachable, whyUnread } from '../refusal-reason.js';
import type { Repository, Withheld } from '../repositories.js';
import type { Trees } from '../trees.js';
import { configurationFault, from } from './configuration.js';

/** How many directories of objects one repository may borrow from; git follows chains of six. */
const MAX_ALTERNATES = 64;

/** What git reads beside refs and the files at the top; hooks are programs, and all else is read by those who made it. */
const READ_DIRECTORIES = ['objects', 'logs', 'info', 'worktrees'];

/** What of objects is looked at for a list; and all refs are, since git waits for a named pipe among them. */
const OF_OBJECTS = ['', '/pack', '/info'];

/** Looks at the repositories of one directory. */
export class GitRepositories {
  readonly #root: ByteString;
  readonly #trees: Trees;

  /** Nothing that git follows may lead out of the real path `root`. */
  constructor(root: ByteString, trees: Trees) {
    this.#root = root;
    this.#trees = trees;
  }

  /**
   * The repository at `path`, a real path: its `.git`, or itself where it is bare. All that git reads of it lies below the
   * root: what symbolic links, a `.git` file, the common directory of a linked working tree, alternates and included
   * configurations lead to. With `isListed`, what lies deep in it is not looked at.
   */
  *at(path: ByteString, isListed: boolean): LookUp<Repository | undefined> {
    // In the order in which git looks (`enter_repo`).
    const dotGit = yield* this.#dotGit(path);
    if (dotGit !== undefined && 'why' in dotGit) return dotGit;
    for (const candidate of [dotGit?.path, path]) {
      if (candidate === undefined || !(yield* this.#isGitDirectory(candidate))) continue;
      const why = yield* this.#fault(candidate, isListed);
      return why === undefined ? { path: candidate } : { why };
    }
    return undefined;
  }

  /** What the directory at `path` lacks to be a repository, as git sees it (`is_git_directory`). */
  *lackOf(path: ByteString): LookUp<string> {
    const dotGit = yield* realPathBelow(path, '.git');
    const named = dotGit && (yield* namedBy(dotGit, path));
    const directory = (named && (yield* realPathAt(named))) ?? named ?? dotGit ?? path;
    const head = `${directory}/HEAD`;
    if ((yield* lstatAt(head)) === undefined) return yield* whyUnreachable(head);
    if (!(yield* isHead(head))) return yield* whyUnread(head, 'names no branch and no commit');
    for (const name of ['objects', 'refs']) {
      const needed = `${(yield* commonDirectory(directory)) ?? directory}/${name}`;
      const isThere = (yield* statAt(needed))?.isDirectory() === true;
      if (!isThere || !(yield* mayExecute(needed))) return yield* whyUnreachable(`${needed}/.`);
    }
    return 'it changes at this moment';
  }

  *#dotGit(path: ByteString): LookUp<Repository | undefined> {
    const real = yield* realPathBelow(path, '.git');
    if (real === undefined) return undefined;
    const stats = yield* lstatAt(real);
    let directory: ByteString | undefined = real;
    if (stats?.isDirectory() !== true) {
      const named = yield* namedBy(real, path);
      directory = named && (yield* realPathAt(named));
    }
    if (directory === undefined) return undefined;
    if (contains(this.#root, directory)) return { path: directory };
    return leadsOut(`${path}/.git`);
  }

  /** As git sees it (`is_git_directory`). */
  *#isGitDirectory(path: ByteString): LookUp<boolean> {
    if (!(yield* isHead(`${path}/HEAD`))) return false;
    const common = yield* commonDirectory(path);
    for (const name of ['objects', 'refs']) {
      const directory = `${common ?? path}/${name}`;
      if ((yield* statAt(directory))?.isDirectory() !== true || !(yield* mayExecute(directory))) return false;
    }
    return true;
  }

  *#fault(path: ByteString, isListed: boolean): LookUp<string | undefined> {
    const common = yield* commonDirectory(path);
    if (common === undefined) return `${toText(path)}/commondir names no directory`;
    if (!contains(this.#root, common)) return leadsOut(`${path}/commondir`).why;
    // Git looks there first, whatever it was told.
    if ((yield* lstatAt(`${path}/.git`)) !== undefined)
      return `${toText(path)} is a git directory with a .git in it`;
    const own = new Set([path, common]);
    for (const directory of own) {
      const why =
        (yield* this.#trees.fault([directory], false, { except: 'hooks' })) ??
        (yield* configurationFault(directory, this.#root));
      if (why !== undefined) return why;
      // What stands there are names of files beside it.
      const tables = `${directory}/reftable/tables.list`;
      if ((yield* lstatAt(tables)) !== undefined && (yield* textAt(tables))?.includes('/') !== false)
        return `${toText(tables)} names more than files beside it`;
    }
    const objects = yield* this.#objects(common);
    if (typeof objects === 'string') return objects;
    const listed = objects.flatMap((directory) => OF_OBJECTS.map((name) => directory + name));
    const refs = [...own].flatMap((directory) => [`${directory}/refs`, `${directory}/reftable`]);
    // Git would leave out the refs of a directory that it may not enter, and say nothing.
    const wrong = yield* this.#trees.fault(refs, true, { isNeeded: () => true });
    if (wrong !== undefined) return wrong;
    if (isListed) return yield* this.#trees.fault(listed, false, { isNeeded: hasObjects });
    const worktrees = yield* this.#worktreesFault(common);
    if (worktrees !== undefined) return worktrees;
    const read = [...own].flatMap((directory) => READ_DIRECTORIES.map((name) => `${directory}/${name}`));
    return yield* this.#trees.fault([...read, ...objects], true, { isNeeded: hasObjects });
  }

  /** What is wrong with a linked working tree: for some answers git reads the refs of all of them. */
  *#worktreesFault(common: ByteString): LookUp<string | undefined> {
    const directory = yield* realPathBelow(common, 'worktrees');
    const stats = directory === undefined ? undefined : yield* lstatAt(directory);
    if (directory === undefined || stats?.isDirectory() !== true) return undefined;
    if (!contains(this.#root, directory)) return leadsOut(`${common}/worktrees`).why;
    for (const { name } of (yield* entriesAt(directory, stats, isNoFile)) ?? []) {
      const worktree = `${directory}/${fromBuffer(name)}`;
      const shared = yield* commonDirectory(worktree);
      if (shared === undefined) return `${toText(worktree)}/commondir names no directory`;
      if (!contains(this.#root, shared)) return leadsOut(`${worktree}/commondir`).why;
    }
    return undefined;
  }

  /** All directories of objects, with those that others borrow from; or what is wrong with one. */
  *#objects(common: ByteString): LookUp<readonly ByteString[] | string> {
    const own = yield* realPathBelow(common, 'objects');
    const all = new Set(own === undefined ? [] : [own]);
    for (const objects of all) {
      if (!contains(this.#root, objects)) return leadsOut(`${common}/objects`).why;
      const file = `${objects}/info/alternates`;
      if ((yield* lstatAt(file)) === undefined) continue;
      const text = yield* textAt(file);
      // C ends a line at a NUL, and git unquotes one that begins with a quotation mark: nobody needs either.
      if (text === undefined || /\0|^"/m.test(text)) return `${toText(file)} has no plain paths`;
      for (const line of text.split('\n')) {
        if (line === '' || line.startsWith('#')) continue;
        const named = from(objects, line);
        // Git before 2.40 takes `..` away before it follows links, later ones after that.
        for (const way of new Set([named, resolve(named)])) {
          const alternate = yield* realPathAt(way);
          if (alternate === undefined) continue;
          if (!contains(this.#root, alternate)) return leadsOut(file).why;
          all.add(alternate);
        }
        if (all.size > MAX_ALTERNATES)
          return `${toText(file)} is one of more than ${String(MAX_ALTERNATES)} alternates`;
      }
    }
    return [...all];
  }
}

/** The git directory that a `.git` file in the directory `path` names; undefined where it is another file, or none. */
function* namedBy(file: ByteString, path: ByteString): LookUp<ByteString | undefined> {
  const text = yield* textAt(file);
  return text?.startsWith('gitdir: ') === true ? from(path, withoutEnd(text.slice(8), '\r\n')) : undefined;
}

/** Whether git looks for an object there: others' pushes, say, have theirs elsewhere. */
const hasObjects = (directory: ByteString): boolean => /\/objects\/(?:pack|[0-9a-f]{2})$/.test(directory);

/** Whether git takes that file for a HEAD (`validate_headref`): else it would look for a repository elsewhere. */
function* isHead(path: ByteString): LookUp<boolean> {
  if ((yield* lstatAt(path))?.isSymbolicLink() === true) {
    return (yield* linkAt(path))?.startsWith('refs/') === true;
  }
  return /^(?:ref:[ \t\n\r]*refs\/|[0-9a-fA-F]{40})/.test((yield* textAt(path))?.slice(0, 255) ?? '');
}

/** Where a git directory has what it shares with others; undefined where that is nowhere. */
function* commonDirectory(path: ByteString): LookUp<ByteString | undefined> {
  if ((yield* lstatAt(`${path}/commondir`)) === undefined) return path;
  const text = yield* textAt(`${path}/commondir`);
  if (text === undefined || text.includes('\0')) return undefined;
  return yield* realPathAt(from(path, withoutEnd(text, '\r\n')));
}

function leadsOut(file: ByteString): Withheld {
  return { why: `${toText(file)} leads out of --repos` };
}
