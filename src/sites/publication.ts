/** Knows which repositories are published, and under which names: by marker files, or all that there are. */

import type { Dirent } from 'node:fs';

import { type ByteString, fromBuffer, toText } from '../base/bytes.js';
import type { WaitSignal } from '../base/timer.js';
import { contains } from './contain.js';
import { entriesAt, isNoFile, type LookUp, lstatAt, realPathAt, realPathBelow } from './look-up.js';
import { type Found, type Published, type Repository, type Withheld, withheld } from './repositories.js';
import { type Publishing, whyNotPublished } from './refusal-reason.js';
import { SharedWalk } from './shared-walk.js';
import type { Deferred, Resolution } from './site.js';
import type { TakeSteps } from './steps.js';

export interface PublicationOptions extends Publishing {
  /** Whether a repository that lies inside another one's directory is found there, but not listed. */
  readonly mayNest?: boolean;
  /**
   * What repository a real path is, to which the path `named` leads, if it is one; `isListed` where nothing more is read
   * of it than a list shows, so that what lies deeper need not be looked at.
   */
  readonly repositoryAt: (
    path: ByteString,
    isListed: boolean,
    named: ByteString,
  ) => LookUp<Repository | undefined>;
  /** How its directories are looked at. */
  readonly take: TakeSteps;
}

/** Reads the directories each time, so that a marker counts from the next request on. */
export class Publication {
  readonly #options: PublicationOptions;
  readonly #walks = new SharedWalk<readonly Published[]>();

  constructor(options: PublicationOptions) {
    this.#options = options;
  }

  /**
   * The repository that a path begins with, and the rest of the path. Where nothing is called `NAME`, as people write a
   * clone's URL, it is that of `NAME` with the suffix. Segments must be safe (`contain.ts`).
   */
  find(path: readonly ByteString[], signal?: WaitSignal): Promise<Found | Withheld | undefined> {
    return this.#options.take(this.#find(path), signal);
  }

  *#find(path: readonly ByteString[]): LookUp<Found | Withheld | undefined> {
    for (let length = 1; length <= path.length; length++) {
      const segments = path.slice(0, length);
      if (isHidden(segments.at(-1) ?? '')) return undefined;
      const found = yield* this.#repository(segments, false);
      if (found !== undefined) return yield* this.#foundAt(found, segments, path);
      const stats = yield* lstatAt(this.#walked(segments));
      if (stats === undefined) {
        const named = [...segments.slice(0, -1), `${segments.at(-1) ?? ''}${this.#options.suffix}`];
        return yield* this.#foundAt(yield* this.#repository(named, false), named, path);
      }
      // Only a directory has anything below it: of ten thousand segments most cost no look at the file system.
      if (!stats.isDirectory()) return undefined;
    }
    return undefined;
  }

  /**
   * What is known of a repository at the beginning of a path; or of the innermost one that the path leads to inside it:
   * hg asks for a subrepository below the address of what that belongs to. With markers, a subrepository's own is in the
   * directory that is named as what it belongs to.
   */
  *#foundAt(
    repository: Repository | undefined,
    segments: readonly ByteString[],
    path: readonly ByteString[],
  ): LookUp<Found | Withheld | undefined> {
    if (repository === undefined || 'why' in repository) return repository;
    const { mayNest, markers, suffix } = this.#options;
    let found = { published: { segments, repository: repository.path }, rest: path.slice(segments.length) };
    const last = segments.at(-1) ?? '';
    let above = markers === undefined ? segments : [...segments.slice(0, -1), last.slice(0, -suffix.length)];
    for (const [index, name] of mayNest === true ? found.rest.entries() : []) {
      if (isHidden(name) || !(yield* this.#isDirectory(above))) break;
      const named = markers === undefined ? name : name + suffix;
      const inner = yield* this.#repository([...above, named], false);
      if (inner !== undefined && 'why' in inner) return inner;
      const below = path.slice(segments.length, segments.length + index + 1);
      if (inner !== undefined) {
        const published = { segments: [...segments, ...below], repository: inner.path };
        found = { published, rest: path.slice(published.segments.length) };
      }
      above = [...above, name];
    }
    return found;
  }

  /** The path of a file that a path names among the markers, if there is something in it. */
  download(path: readonly ByteString[], signal?: WaitSignal): Promise<ByteString | undefined> {
    return this.#options.take(this.#download(path), signal);
  }

  *#download(path: readonly ByteString[]): LookUp<ByteString | undefined> {
    const { markers, suffix } = this.#options;
    if (markers === undefined || path.some(isHidden) || path.at(-1)?.endsWith(suffix) !== true)
      return undefined;
    for (let length = 0; length < path.length; length++) {
      if (!(yield* this.#isDirectory(path.slice(0, length)))) return undefined;
    }
    const file = [markers, ...path].join('/');
    const stats = yield* lstatAt(file);
    return stats?.isFile() === true && stats.size > 0 ? file : undefined;
  }

  /** All repositories that are published below a path, in the order of their names; of those who ask at once, one walks. */
  async list(below: readonly ByteString[], signal?: WaitSignal): Promise<readonly Published[]> {
    if (below.some(isHidden)) return [];
    return this.#walks.take(below.join('/'), (stop) => this.#list(below, stop), signal);
  }

  /** What shows all that is published below a path, once somebody may take the time to find that out. */
  deferred(below: readonly ByteString[], showing: (listed: readonly Published[]) => Resolution): Deferred {
    return {
      kind: 'defer',
      resolve: async (signal) => {
        const listed = await this.list(below, signal);
        return below.length > 0 && listed.length === 0 ? this.refusal(below, signal) : showing(listed);
      },
    };
  }

  /** The refusal of a path at which nothing was found; the administrator learns why that is so. */
  async refusal(path: readonly ByteString[], signal?: WaitSignal): Promise<Resolution> {
    return withheld({ why: await this.#options.take(whyNotPublished(this.#options, path), signal) });
  }

  async #list(below: readonly ByteString[], signal: WaitSignal): Promise<readonly Published[]> {
    const found: Published[] = [];
    const path = this.#walked(below);
    // Nothing is listed where symbolic links lead there.
    if ((await this.#options.take(realPathAt(path), signal)) === path) await this.#walk(below, found, signal);
    const key = (published: Published): string => published.segments.join('/');
    return found.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  }

  /** The uppermost directory, of those on the way to the path's, that has a file of this name among the markers. */
  directoryWithFile(
    path: readonly ByteString[],
    name: ByteString,
    signal?: WaitSignal,
  ): Promise<readonly ByteString[] | undefined> {
    return this.#options.take(this.#directoryWithFile(path, name), signal);
  }

  *#directoryWithFile(
    path: readonly ByteString[],
    name: ByteString,
  ): LookUp<readonly ByteString[] | undefined> {
    const { markers } = this.#options;
    if (markers === undefined) return [];
    for (let length = 0; length <= path.length; length++) {
      const directory = path.slice(0, length);
      if (!(yield* this.#isDirectory(directory))) return undefined;
      if ((yield* lstatAt([markers, ...directory, name].join('/')))?.isFile() === true) return directory;
    }
    return undefined;
  }

  /**
   * Whether the segments name a directory among those that are walked, itself and not through a symbolic link: so
   * finding and listing agree and never go in circles.
   */
  *#isDirectory(segments: readonly ByteString[]): LookUp<boolean> {
    return (yield* lstatAt(this.#walked(segments)))?.isDirectory() === true;
  }

  /** The path of these segments in the directory whose names are those of the URLs. */
  #walked(segments: readonly ByteString[]): ByteString {
    return [this.#options.markers ?? this.#options.repos, ...segments].join('/');
  }

  /** The repository that exactly these segments name; what is above the last must be directories. */
  *#repository(segments: readonly ByteString[], isListed: boolean): LookUp<Repository | undefined> {
    const { markers, suffix, mayKeepSuffix } = this.#options;
    if (markers === undefined) return yield* this.#repositoryAt(segments, isListed);
    const last = segments.at(-1) ?? '';
    if (!last.endsWith(suffix) || last.length === suffix.length) return undefined;
    const marker = [markers, ...segments].join('/');
    const stats = yield* lstatAt(marker);
    // An .hg file with something in it is a bundle that somebody offers for download.
    if (stats?.isFile() !== true || stats.size > 0) return undefined;
    const exact = mayKeepSuffix === true ? yield* this.#repositoryAt(segments, isListed) : undefined;
    const bare = [...segments.slice(0, -1), last.slice(0, -suffix.length)];
    return exact ?? (yield* this.#repositoryAt(bare, isListed));
  }

  *#repositoryAt(segments: readonly ByteString[], isListed: boolean): LookUp<Repository | undefined> {
    const { repos, repositoryAt } = this.#options;
    const real = yield* realPathBelow(repos, ...segments);
    if (real === undefined) return undefined;
    const named = repos === '/' ? `/${segments.join('/')}` : [repos, ...segments].join('/');
    if (!contains(repos, real)) return { why: `${toText(named)} leads out of --repos` };
    return yield* repositoryAt(real, isListed, named);
  }

  async #walk(directory: readonly ByteString[], found: Published[], signal: WaitSignal): Promise<void> {
    const entries = await this.#options.take(this.#entries(directory), signal);
    // One after the other: a site has two threads, and pages need one.
    for (const entry of entries) {
      const name = fromBuffer(entry.name);
      if (isHidden(name)) continue;
      const segments = [...directory, name];
      const repository = await this.#options.take(this.#repository(segments, true), signal);
      if (repository === undefined) {
        if (entry.isDirectory()) await this.#walk(segments, found, signal);
      } else if ('path' in repository) found.push({ segments, repository: repository.path });
    }
  }

  /** What is in a directory that is walked; nothing where it has become something else. */
  *#entries(directory: readonly ByteString[]): LookUp<readonly Dirent<Buffer>[]> {
    const path = this.#walked(directory);
    const stats = yield* lstatAt(path);
    if (stats?.isDirectory() !== true) return [];
    const isKept = this.#options.markers === undefined ? isNoFile : undefined;
    return (yield* entriesAt(path, stats, isKept)) ?? [];
  }
}

function isHidden(segment: ByteString): boolean {
  return segment.startsWith('.');
}
