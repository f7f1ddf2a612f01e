/** Knows which repositories are published, and under which names: by marker files, or all that there are. */

import { type ByteString, fromBuffer } from '../bytes.js';
import { contains } from './contain.js';
import { entriesAt, type LookUp, lstatAt, realPathAt, realPathBelow, type TakeSteps } from './look-up.js';

export interface PublicationOptions {
  /** The directory of repositories, as a real path: nothing outside it is ever published. */
  readonly repos: ByteString;
  /** The directory of marker files, as a real path; without it every repository is published under its own name. */
  readonly markers: ByteString | undefined;
  /** How a marker's name ends: `.hg`. */
  readonly suffix: string;
  /** Whether a marker means a repository of exactly its name, where there is one, rather than one without the suffix. */
  readonly mayKeepSuffix?: boolean;
  /** What repository a real path is, if it is one that keeps to `repos`. */
  readonly repositoryAt: (path: ByteString) => LookUp<Repository | undefined>;
  /** How its directories are looked at. */
  readonly take: TakeSteps;
}

/** A repository, whether or not anybody may see it. */
export interface Repository {
  /** The real path of what is to be served. */
  readonly path: ByteString;
  /** What the repository itself says; nothing is published against its will, nor looked for inside it. */
  readonly isPublished: boolean;
}

/** A repository and where it stands in the URL space. */
export interface Published {
  /** The URL's path below the site, as segments; with markers the last one ends in the suffix. */
  readonly segments: readonly ByteString[];
  /** The real path of what is served. */
  readonly repository: ByteString;
}

/** A published repository, and what of a path lies behind it. */
export interface Found {
  readonly published: Published;
  readonly rest: readonly ByteString[];
}

/** Reads the directories anew each time, so that a marker counts from the next request on. */
export class Publication {
  readonly #options: PublicationOptions;

  constructor(options: PublicationOptions) {
    this.#options = options;
  }

  /** The published repository that a path begins with, and the rest of the path. Segments must be safe (`contain.ts`). */
  find(path: readonly ByteString[]): Promise<Found | undefined> {
    return this.#options.take(this.#find(path));
  }

  *#find(path: readonly ByteString[]): LookUp<Found | undefined> {
    for (let length = 1; length <= path.length; length++) {
      const segments = path.slice(0, length);
      if (isHidden(segments.at(-1) ?? '')) return undefined;
      const found = yield* this.#repository(segments);
      if (found !== undefined) {
        if (!found.isPublished) return undefined;
        return { published: { segments, repository: found.path }, rest: path.slice(length) };
      }
      // Below what is no directory is nothing: of ten thousand segments most cost no look at the file system.
      if (!(yield* this.#isDirectory(segments))) return undefined;
    }
    return undefined;
  }

  /** All repositories that are published below a path, in the order of their names. */
  async list(below: readonly ByteString[]): Promise<Published[]> {
    if (below.some(isHidden)) return [];
    const found: Published[] = [];
    await this.#walk(below, found);
    const key = (published: Published): string => published.segments.join('/');
    return found.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  }

  /** The uppermost directory, of those on the way to the path's, that has a file of this name among the markers. */
  directoryWithFile(
    path: readonly ByteString[],
    name: ByteString,
  ): Promise<readonly ByteString[] | undefined> {
    return this.#options.take(this.#directoryWithFile(path, name));
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
    const path = [this.#options.markers ?? this.#options.repos, ...segments].join('/');
    return (yield* lstatAt(path))?.isDirectory() === true;
  }

  /** The repository that exactly these segments name; what is above the last must be directories. */
  *#repository(segments: readonly ByteString[]): LookUp<Repository | undefined> {
    const { markers, suffix, mayKeepSuffix } = this.#options;
    if (markers === undefined) return yield* this.#repositoryAt(segments);
    const last = segments.at(-1) ?? '';
    if (!last.endsWith(suffix) || last.length === suffix.length) return undefined;
    const marker = [markers, ...segments].join('/');
    const stats = yield* lstatAt(marker);
    // An .hg file with something in it is a bundle that somebody offers for download.
    if (stats?.isFile() !== true || stats.size > 0) return undefined;
    const exact = mayKeepSuffix === true ? yield* this.#repositoryAt(segments) : undefined;
    return exact ?? (yield* this.#repositoryAt([...segments.slice(0, -1), last.slice(0, -suffix.length)]));
  }

  *#repositoryAt(segments: readonly ByteString[]): LookUp<Repository | undefined> {
    const { repos, repositoryAt } = this.#options;
    const real = yield* realPathBelow(repos, ...segments);
    if (real === undefined || !contains(repos, real)) return undefined;
    return yield* repositoryAt(real);
  }

  async #walk(directory: readonly ByteString[], found: Published[]): Promise<void> {
    const { markers, repos, take } = this.#options;
    const path = [markers ?? repos, ...directory].join('/');
    if ((await take(realPathAt(path))) !== path) return;
    await Promise.all(
      ((await take(entriesAt(path))) ?? []).map(async (entry) => {
        const name = fromBuffer(entry.name);
        const segments = [...directory, name];
        if (isHidden(name)) return;
        const repository = await take(this.#repository(segments));
        if (repository?.isPublished === true) found.push({ segments, repository: repository.path });
        else if (repository === undefined && entry.isDirectory()) await this.#walk(segments, found);
      }),
    );
  }
}

function isHidden(segment: ByteString): boolean {
  return segment.startsWith('.');
}
