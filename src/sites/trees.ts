/** Looks through the directories that a served program reads by itself: nothing in them may lead out. */

import { constants } from 'node:fs';
import { access } from 'node:fs/promises';

import { type ByteString, fromBuffer, toBuffer, toText } from '../base/bytes.js';
import { systemCodeOf } from '../base/errors.js';
import { contains } from './contain.js';
import { entriesAt, isNoFile, type LookUp, lstatAt, MAX_ENTRIES, realPathAt } from './look-up.js';
import { whyUnread } from './refusal-reason.js';

/** What a directory has in it, as far as it may lead further. */
interface Found {
  readonly directories: readonly ByteString[];
  readonly links: readonly ByteString[];
}

/** What else is asked about directories. */
export interface Demands {
  /** Whether a link may lead to what is inside, a directory or a file. */
  readonly mayUse?: (real: ByteString, isDirectory: boolean) => LookUp<boolean>;
  /** Whether what reads a directory needs it, and would not say so where it may not enter it. */
  readonly isNeeded?: (directory: ByteString) => boolean;
  /** The name of a link that may lead anywhere, since nothing is read there. */
  readonly except?: ByteString;
}

/** The same as of when it was read. */
interface Known extends Found {
  readonly ctimeMs: number;
  readonly ino: number;
  readonly dev: number;
}

/** Each takes some hundred bytes, and the names in it. */
const MAX_KNOWN = 50_000;

/** A directory that has changed a moment ago may change again, and say the same time of it. */
const UNSETTLED_MS = 2_000;

/** Each is followed every time. */
const MAX_LINKS = 1_000;

/** What one repository may have us remember for the time of a look. */
const MAX_DIRECTORIES = 250_000;

/**
 * To look again costs about 6 µs for each directory. With more of them than this, what a look has found is taken for ten
 * times as long as it takes, so that it costs a tenth of a processor at most: 0.3 s with 5,000 of them.
 */
const MANY_DIRECTORIES = 1_000;
const VALID_MS_EACH = 0.06;

const NOTHING: readonly ByteString[] = [];
const NOWHERE: Found = { directories: NOTHING, links: NOTHING };

/**
 * Remembers directories that have not changed since (their ctime, which nobody can set): to look again is a question for
 * each directory and each link, and none for the files.
 */
export class Trees {
  readonly #root: ByteString;
  readonly #known = new Map<ByteString, Known>();
  /** Until when large trees are taken for sound, by their first directory. */
  readonly #sound = new Map<ByteString, number>();

  /** Nothing leads out of the real path `root`. */
  constructor(root: ByteString) {
    this.#root = root;
  }

  /**
   * What in these directories, or with `isDeep` anywhere below them and where links lead from there, leads out, or is no
   * file that can be read without waiting; undefined where nothing does. A link that leads nowhere is a lock, or a git
   * HEAD of old times. A directory that this user may not enter leads nowhere either, as another's push has one.
   */
  *fault(
    directories: readonly ByteString[],
    isDeep: boolean,
    { mayUse, isNeeded, except }: Demands = {},
  ): LookUp<string | undefined> {
    const all = new Set(directories);
    const key = directories[0] ?? '';
    if (isDeep && performance.now() < (this.#sound.get(key) ?? 0)) return undefined;
    let links = 0;
    // Grows while it is gone through.
    for (const directory of all) {
      const found = yield* this.#look(directory, isNeeded?.(directory) === true);
      if (typeof found === 'string') return found;
      if (isDeep) for (const name of found.directories) all.add(`${directory}/${name}`);
      links += found.links.length;
      if (links > MAX_LINKS)
        return `${shown(directory)} has symbolic links, and more than ${String(MAX_LINKS)} are not followed`;
      if (all.size > MAX_DIRECTORIES)
        return `there are more than ${String(MAX_DIRECTORIES)} directories up to ${shown(directory)}`;
      for (const name of found.links) {
        if (name === except) continue;
        const path = `${directory}/${name}`;
        const real = yield* realPathAt(path);
        if (real === undefined) continue;
        if (!contains(this.#root, real)) return `${shown(path)} is a link that leads out of --repos`;
        const stats = yield* lstatAt(real);
        if (mayUse !== undefined && !(yield* mayUse(real, stats?.isDirectory() === true)))
          return `${shown(path)} is a link to ${shown(real)}, which has another owner`;
        if (stats?.isDirectory() === true) {
          if (isDeep) all.add(real);
        } else if (stats?.isFile() !== true)
          return `${shown(path)} leads to what is neither a file nor a directory`;
      }
    }
    this.#sound.delete(key);
    if (all.size > MANY_DIRECTORIES) this.#sound.set(key, performance.now() + all.size * VALID_MS_EACH);
    return undefined;
  }

  *#look(directory: ByteString, isNeeded: boolean): LookUp<Found | string> {
    const stats = yield* lstatAt(directory);
    // What should have been a directory is no concern here where it is a file.
    if (stats?.isDirectory() !== true) return NOWHERE;
    const { ctimeMs, ino, dev } = stats;
    const known = this.#known.get(directory);
    if (known?.ctimeMs === ctimeMs && known.ino === ino && known.dev === dev) return known;
    const entries = yield* entriesAt(directory, stats, isNoFile);
    if (entries === undefined) {
      const code = yield* whyNotEntered(directory);
      const isGone = code === 'ENOENT' || code === 'ENOTDIR';
      if (isGone || (code === 'EACCES' && !isNeeded)) return NOWHERE;
      // What can’t be listed can be entered; and in a lack of descriptors, what runs later may lack none.
      return yield* whyUnread(directory, 'can’t be read');
    }
    if (entries.length > MAX_ENTRIES)
      return `${shown(directory)} has more than ${String(MAX_ENTRIES)} entries that are no files`;
    const directories: ByteString[] = [];
    const links: ByteString[] = [];
    for (const entry of entries) {
      const name = fromBuffer(entry.name);
      if (entry.isDirectory()) directories.push(name);
      else if (entry.isSymbolicLink()) links.push(name);
      // A socket can’t be opened.
      else if (!entry.isSocket()) return `${shown(`${directory}/${name}`)} is a named pipe or a device`;
    }
    const found = {
      directories: directories.length === 0 ? NOTHING : directories,
      links: links.length === 0 ? NOTHING : links,
    };
    if (links.length <= MAX_LINKS && Date.now() - ctimeMs > UNSETTLED_MS) {
      if (this.#known.size >= MAX_KNOWN) this.#known.clear();
      this.#known.set(directory, { ctimeMs, ino, dev, ...found });
    }
    return found;
  }
}

/** The system's code for why a directory can't be entered at this moment; undefined where it can. */
function* whyNotEntered(directory: ByteString): LookUp<string | undefined> {
  const inside = toBuffer(`${directory}/.`);
  return (yield { later: () => access(inside, constants.X_OK).then(() => undefined, systemCodeOf) }) as
    | string
    | undefined;
}

function shown(path: ByteString): string {
  return toText(path);
}
