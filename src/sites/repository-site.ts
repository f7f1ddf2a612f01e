/** A site that shows the repositories of a directory: what those of Mercurial's and of git's do alike. */

import { type ByteString, type NameValues } from '../base/bytes.js';
import type { WaitSignal } from '../base/timer.js';
import { namedDirectory, safeSegments } from './contain.js';
import { Publication, type PublicationOptions } from './publication.js';
import { afterSegments, belowPrefix, requestPath, withoutUser } from './request-path.js';
import { notBelow, type Published, withheld, withIndex } from './repositories.js';
import { type Deferred, namesNoPath, type Resolution, type Site, type SiteEnvironment } from './site.js';
import { stepsBelow, type TakeSteps } from './steps.js';
import { Trees } from './trees.js';

export interface RepositorySiteOptions extends SiteEnvironment {
  /** The directory of repositories, as an absolute path. */
  readonly repos: ByteString;
  /** The path that the web server serves the site under: empty, or `/hg`. */
  readonly urlPrefix: ByteString;
  /** Whether the web server says who somebody is; without it nobody is, and nobody pushes. */
  readonly trustRemoteUser: boolean;
}

export interface Asked {
  readonly params: NameValues;
  /** Its path below the site's prefix, and the segments of that. */
  readonly below: ByteString;
  readonly segments: readonly ByteString[];
  /** The published repository that the path begins with, and what of the path is behind it. */
  readonly published: Published | undefined;
  readonly rest: ByteString;
  readonly signal: WaitSignal | undefined;
}

/**
 * The real path of the directory of repositories, what of it is published, and how it is looked at.
 *
 * @throws OptionError `ERR_START` if a directory that the options name is none.
 */
export async function openRepositories(
  { repos: named }: RepositorySiteOptions,
  namedMarkers: ByteString | undefined,
  publishing: (repos: ByteString, trees: Trees) => Omit<PublicationOptions, 'repos' | 'markers' | 'take'>,
) {
  const repos = await namedDirectory('repos', named);
  const markers = namedMarkers === undefined ? undefined : await namedDirectory('markers', namedMarkers);
  const take = await stepsBelow(markers === undefined ? [repos] : [repos, markers]);
  const publication = new Publication({ ...publishing(repos, new Trees(repos)), repos, markers, take });
  return { repos, publication, take };
}

export abstract class RepositorySite<Options extends RepositorySiteOptions> implements Site {
  protected readonly options: Options;
  protected readonly repos: ByteString;
  protected readonly publication: Publication;
  protected readonly take: TakeSteps;
  /** Params that would change what the served program does, and that no web server means for it. */
  readonly #unwanted: RegExp;

  constructor(
    options: Options,
    { repos, publication, take }: Awaited<ReturnType<typeof openRepositories>>,
    unwanted: RegExp,
  ) {
    this.options = options;
    this.repos = repos;
    this.publication = publication;
    this.take = take;
    this.#unwanted = unwanted;
  }

  async resolve(params: NameValues, signal?: WaitSignal): Promise<Resolution | Deferred> {
    return withIndex(await this.#resolve(params, signal), this.options.urlPrefix);
  }

  async #resolve(params: NameValues, signal: WaitSignal | undefined): Promise<Resolution | Deferred> {
    const path = requestPath(params);
    if (path === undefined) return namesNoPath;
    const below = belowPrefix(path, this.options.urlPrefix);
    const segments = below === undefined ? undefined : safeSegments(below);
    if (below === undefined || segments === undefined) return notBelow(this.options.urlPrefix);
    // Before any list: a repository may have a file of the index's name.
    const found = await this.publication.find(segments, signal);
    if (found !== undefined && 'why' in found) return withheld(found);
    const published = found?.published;
    const rest = published === undefined ? '' : afterSegments(below, published.segments.length);
    return this.at({ params, below, segments, published, rest, signal });
  }

  /** What there is to see, of a repository or else of a list. */
  protected abstract at(asked: Asked): Promise<Resolution | Deferred>;

  /** The params that the served program is given. */
  protected wanted(params: NameValues): NameValues {
    const known = this.options.trustRemoteUser ? params : withoutUser(params);
    return known.filter(([name]) => !this.#unwanted.test(name));
  }
}
