/** Knows which repositories are published, and under which names: by marker files, or all that there are. */

import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';

import { type ByteString, fromBuffer, toBuffer } from '../bytes.js';
import { systemCodeOf } from '../errors.js';
import { contains, lstatOrAbsent, realPath } from './contain.js';

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
  readonly repositoryAt: (path: ByteString) => Promise<Repository | undefined>;
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

/** Reads the directories anew each time, so that a marker counts from the next request on. */
export class Publication {
  readonly #options: PublicationOptions;

  constructor(options: PublicationOptions) {
    this.#options = options;
  }

  /** The published repository that a path begins with, and the rest of the path. Segments must be safe (`contain.ts`). */
  async find(
    path: readonly ByteString[],
  ): Promise<{ readonly published: Published; readonly rest: readonly ByteString[] } | undefined> {
    for (let length = 1; length <= path.length; length++) {
      const segments = path.slice(0, length);
      if (isHidden(segments.at(-1) ?? '')) return undefined;
      const found = await this.#repository(segments);
      if (found !== undefined) {
        if (!found.isPublished) return undefined;
        return { published: { segments, repository: found.path }, rest: path.slice(length) };
      }
      // Below what is no directory is nothing: of ten thousand segments most cost no look at the file system.
      if (!(await this.#isDirectory(segments))) return undefined;
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
  async directoryWithFile(
    path: readonly ByteString[],
    name: ByteString,
  ): Promise<readonly ByteString[] | undefined> {
    const { markers } = this.#options;
    if (markers === undefined) return [];
    for (let length = 0; length <= path.length; length++) {
      const directory = path.slice(0, length);
      if (!(await this.#isDirectory(directory))) return undefined;
      if ((await lstatOrAbsent([markers, ...directory, name].join('/')))?.isFile() === true) return directory;
    }
    return undefined;
  }

  /**
   * Whether the segments name a directory among those that are walked, itself and not through a symbolic link: so
   * finding and listing agree and never go in circles.
   */
  async #isDirectory(segments: readonly ByteString[]): Promise<boolean> {
    const path = [this.#options.markers ?? this.#options.repos, ...segments].join('/');
    return (await lstatOrAbsent(path))?.isDirectory() === true;
  }

  /** The repository that exactly these segments name; what is above the last must be directories. */
  async #repository(segments: readonly ByteString[]): Promise<Repository | undefined> {
    const { markers, repos, suffix, mayKeepSuffix } = this.#options;
    if (markers === undefined) return this.#repositoryAt([repos, ...segments].join('/'));
    const last = segments.at(-1) ?? '';
    if (!last.endsWith(suffix) || last.length === suffix.length) return undefined;
    const marker = [markers, ...segments].join('/');
    const stats = await lstatOrAbsent(marker);
    // An .hg file with something in it is a bundle that somebody offers for download.
    if (stats?.isFile() !== true || stats.size > 0) return undefined;
    const named = [repos, ...segments].join('/');
    const exact = mayKeepSuffix === true ? await this.#repositoryAt(named) : undefined;
    return exact ?? this.#repositoryAt(named.slice(0, -suffix.length));
  }

  async #repositoryAt(path: ByteString): Promise<Repository | undefined> {
    const real = await realPath(path);
    if (real === undefined || !contains(this.#options.repos, real)) return undefined;
    return this.#options.repositoryAt(real);
  }

  async #walk(directory: readonly ByteString[], found: Published[]): Promise<void> {
    const path = [this.#options.markers ?? this.#options.repos, ...directory].join('/');
    if ((await realPath(path)) !== path) return;
    await Promise.all(
      (await entriesOf(path)).map(async ({ name, entry }) => {
        const segments = [...directory, name];
        if (isHidden(name)) return;
        const repository = await this.#repository(segments);
        if (repository?.isPublished === true) found.push({ segments, repository: repository.path });
        else if (repository === undefined && entry.isDirectory()) await this.#walk(segments, found);
      }),
    );
  }
}

function isHidden(segment: ByteString): boolean {
  return segment.startsWith('.');
}

async function entriesOf(path: ByteString): Promise<{ name: ByteString; entry: Dirent<Buffer> }[]> {
  try {
    const entries = await readdir(toBuffer(path), { withFileTypes: true, encoding: 'buffer' });
    return entries.map((entry) => ({ name: fromBuffer(entry.name), entry }));
  } catch (error) {
    // A directory that went away or may not be read publishes nothing.
    if (systemCodeOf(error) === undefined) throw error;
    return [];
  }
}
