/** Tells Mercurial repositories from other directories, without opening one. */

import { basename, dirname, resolve } from 'node:path';

import { type ByteString, toText } from '../../base/bytes.js';
import { contains, trimmed, withoutEnd } from '../contain.js';
import { isTextAt, type LookUp, lstatAt, realPathAt, realPathBelow, statAt, textAt } from '../look-up.js';
import { whyNoText, whyUnreachable } from '../refusal-reason.js';
import type { Repository } from '../repositories.js';
import type { Trees } from '../trees.js';
import { Owners } from './owners.js';

/** How many repositories may share from each other in a row; Mercurial makes no such chains itself. */
const MAX_SHARES = 5;

/** How many settings files one repository's may include. */
const MAX_INCLUDED = 64;

/** What is looked at for a list: it shows the settings, and the time of the last change. */
const LISTED = ['', '/store'];

/** The settings of a repository, and those that it does not share. */
const SETTINGS = ['hgrc', 'hgrc-not-shared'];

/** Settings may name some thousands of users. */
const MAX_SETTINGS_BYTES = 1_048_576;

/** Looks at the repositories of one directory. */
export class HgRepositories {
  readonly #root: ByteString;
  readonly #trees: Trees;
  readonly #owners: Owners;

  /** Nothing that Mercurial follows may lead out of the real path `root`. */
  constructor(root: ByteString, trees: Trees) {
    this.#root = root;
    this.#trees = trees;
    this.#owners = new Owners(root);
  }

  /**
   * The repository at `path`, a real path. All that Mercurial reads of it lies below the root: its `.hg`, what symbolic links
   * there lead to, what it shares (`hg share`), and the settings that it includes. None of it is another owner's, nor is
   * what `named` leads to. With `isListed`, what lies deep in it is not looked at.
   */
  *at(path: ByteString, isListed: boolean, named = path): LookUp<Repository | undefined> {
    const dotHg = yield* realPathBelow(path, '.hg');
    if (dotHg === undefined) return undefined;
    if (!contains(this.#root, dotHg)) return { why: `${toText(path)}/.hg leads out of --repos` };
    for (const own of new Set([path, named])) {
      if (!(yield* this.#owners.mayUse(`${own}/.hg`, dotHg)))
        return { why: `${toText(own)} leads to ${toText(dotHg)}, which has another owner` };
    }
    if ((yield* lstatAt(dotHg))?.isDirectory() !== true) return undefined;
    const why = yield* this.#fault(path, dotHg, isListed);
    return why === undefined ? { path } : { why };
  }

  /** What the directory at `path` lacks to be a repository. */
  *lackOf(path: ByteString): LookUp<string> {
    const dotHg = `${path}/.hg`;
    if ((yield* statAt(dotHg))?.isDirectory() === false) return `${toText(dotHg)} is no directory`;
    return yield* whyUnreachable(dotHg);
  }

  /** What is wrong with a repository, or with one of those that it shares from. */
  *#fault(path: ByteString, dotHg: ByteString, isListed: boolean): LookUp<string | undefined> {
    const asked = `${path}/.hg`;
    const mayUse = (real: ByteString, isDirectory: boolean): LookUp<boolean> =>
      isDirectory ? this.#owners.mayUse(asked, real) : this.#owners.mayRead(asked, real);
    for (let [at, own, shares] = [path, dotHg, 0]; ; shares++) {
      const read = isListed ? LISTED.map((name) => own + name) : [own];
      const isNeeded = (directory: ByteString): boolean =>
        directory === own || contains(`${own}/store`, directory);
      const why =
        (yield* this.#trees.fault(read, !isListed, { mayUse, isNeeded })) ??
        (yield* requirementsFault(own)) ??
        (yield* this.#settingsFault(at, asked));
      if (why !== undefined) return why;
      const source = yield* this.#source(at, own, asked);
      if (source === undefined || 'why' in source) return source?.why;
      if (shares >= MAX_SHARES)
        return `${toText(at)}/.hg/sharedpath is one of more than ${String(MAX_SHARES)} shares in a row`;
      [at, own] = [dirname(source.path), source.path];
    }
  }

  /** The `.hg` of the repository that one shares from, read as Mercurial reads it (`makelocalrepository`). */
  *#source(path: ByteString, dotHg: ByteString, asked: ByteString): LookUp<Repository | undefined> {
    const file = `${path}/.hg/sharedpath`;
    // Old versions read it whatever the requirements are.
    if ((yield* lstatAt(file)) === undefined) return undefined;
    const text = yield* textAt(file);
    const requires = `${dotHg}/requires`;
    const required = (yield* lstatAt(requires)) === undefined ? '' : yield* textAt(requires);
    if (text === undefined || required === undefined) {
      return { why: yield* whyNoText(text === undefined ? file : requires) };
    }
    const isRelative = required.split(/[\r\n]/).includes('relshared');
    const shared = withoutEnd(text, '\n');
    // Mercurial would begin at its working directory.
    if (!isRelative && !shared.startsWith('/'))
      return { why: `${toText(file)} has a relative path, and requires has no relshared` };
    // It takes `..` away from relative ones before it follows links.
    const source = yield* realPathAt(isRelative ? resolve(`${path}/.hg`, shared) : shared);
    if (source === undefined) return { why: `${toText(file)} names nothing that can be reached` };
    if (!contains(this.#root, source)) return { why: `${toText(file)} leads out of --repos` };
    // For bookmarks it opens the repository, by a name in which a # has a meaning.
    if (basename(source) !== '.hg' || source.includes('#'))
      return { why: `${toText(file)} names no .hg of a repository` };
    if (!(yield* this.#owners.mayUse(asked, source)))
      return { why: `${toText(file)} names ${toText(source)}, which has another owner` };
    return { path: source };
  }

  /** What is wrong with settings that a repository's own ones include. */
  *#settingsFault(path: ByteString, asked: ByteString): LookUp<string | undefined> {
    const all = new Set(SETTINGS.map((name) => `${path}/.hg/${name}`));
    for (const file of all) {
      if ((yield* lstatAt(file)) === undefined) continue;
      const text = yield* textAt(file, MAX_SETTINGS_BYTES);
      if (text === undefined) return yield* whyNoText(file, MAX_SETTINGS_BYTES);
      for (const line of text.includes('%include') ? text.split(/[\r\n]/) : []) {
        const name = trimmed(/^(?:\xef\xbb\xbf)?%include(?=[ \t\v\f])(.*)/.exec(line)?.[1] ?? '');
        if (name === '') continue;
        // Mercurial puts variables and homes in their place, and fails at a NUL.
        if (/^~|[$\0]/.test(name))
          return `${toText(file)} includes what depends on its environment, or is no path`;
        const included = resolve(dirname(file), name);
        const real = yield* realPathAt(included);
        if (real === undefined) continue;
        if (!contains(this.#root, real))
          return `${toText(file)} includes settings outside --repos; see --hgweb-config`;
        if (!(yield* this.#owners.mayRead(asked, real)))
          return `${toText(file)} includes ${toText(real)}, which has another owner`;
        all.add(included);
        if (all.size > MAX_INCLUDED)
          return `${toText(file)} is one of more than ${String(MAX_INCLUDED)} settings files`;
      }
    }
    return undefined;
  }
}

/** What is wrong with the files that say how to open a repository: Mercurial reads them whole, also for a list. */
function* requirementsFault(dotHg: ByteString): LookUp<string | undefined> {
  for (const file of [`${dotHg}/requires`, `${dotHg}/store/requires`]) {
    if ((yield* lstatAt(file)) !== undefined && !(yield* isTextAt(file))) return yield* whyNoText(file);
  }
  return undefined;
}
