/** The site of a directory of Mercurial repositories, each shown by Mercurial's own hgweb. */

import { type ByteString, type NameValues, toText } from '../../base/bytes.js';
import type { Wanted } from '../../base/timer.js';
import { type Invocation, metaVariables } from '../../cgi/invocation.js';
import { namedDirectory, safeSegments } from '../contain.js';
import { Publication } from '../publication.js';
import { inputOf, notBelow, type Published, withheld, withIndex } from '../repositories.js';
import { belowIndex, INDEX_FILE } from '../refusal-reason.js';
import { afterSegments, belowPrefix, nonEmptyParam, percentEncode, requestPath } from '../request-path.js';
import { doubtOf, NO_PUSHES, noPushes, refuseUnclear, withoutUser } from '../remote-user.js';
import { stepsBelow } from '../steps.js';
import { Trees } from '../trees.js';
import {
  type Deferred,
  namesNoPath,
  type Resolution,
  run,
  type Site,
  type SiteEnvironment,
} from '../site.js';
import { HgRepositories } from './repository.js';

/** A Mercurial installation. */
export interface Mercurial {
  /** The Python that has it, as an absolute path. */
  readonly python: ByteString;
  /** The directory of its `mercurial` package. */
  readonly modules: ByteString;
}

export interface HgSiteOptions extends SiteEnvironment {
  /** The directory of repositories, as an absolute path. */
  readonly repos: ByteString;
  /** The directory of `NAME.hg` marker files; without it all repositories are published. */
  readonly markers?: ByteString;
  /** The path that the web server serves the site under: empty, or `/hg`. */
  readonly urlPrefix: ByteString;
  /** Whether the web server says who somebody is; without it nobody is, and nobody pushes. */
  readonly trustRemoteUser: boolean;
  /** The user's own settings, read after Mercurial's and before each repository's. */
  readonly hgwebConfig?: ByteString;
  readonly mercurial: Mercurial;
  /** The CGI script that runs hgweb (`scripts/hgweb.cgi`). */
  readonly hgwebScript: ByteString;
}

const STATIC = 'static';

/** Params that would change what hgweb does and that no web server means for it. */
const unwanted = /^(HTTP_EXPECT|REPO_NAME|HG.*|FCGI2CGI_.*)$/;

/** Makes the site. @throws OptionError `ERR_START` if a directory that the options name is none. */
export async function hgSite(options: HgSiteOptions): Promise<Site> {
  const repos = await namedDirectory('repos', options.repos);
  const markers =
    options.markers === undefined ? undefined : await namedDirectory('markers', options.markers);
  const repositories = new HgRepositories(repos, new Trees(repos));
  const publication = new Publication({
    repos,
    markers,
    suffix: '.hg',
    mayNest: true,
    repositoryAt: (path, isListed) => repositories.at(path, isListed),
    lackOf: (path) => repositories.lackOf(path),
    take: await stepsBelow(markers === undefined ? [repos] : [repos, markers]),
  });
  return new HgSite(options, repos, publication);
}

class HgSite implements Site {
  readonly #options: HgSiteOptions;
  readonly #repos: ByteString;
  readonly #publication: Publication;

  constructor(options: HgSiteOptions, repos: ByteString, publication: Publication) {
    this.#options = options;
    this.#repos = repos;
    this.#publication = publication;
  }

  async resolve(params: NameValues, signal?: Wanted): Promise<Resolution | Deferred> {
    return withIndex(await this.#resolve(params, signal), this.#options.urlPrefix);
  }

  async #resolve(params: NameValues, signal: Wanted | undefined): Promise<Resolution | Deferred> {
    const path = requestPath(params);
    if (path === undefined) return namesNoPath;
    const below = belowPrefix(path, this.#options.urlPrefix);
    const segments = below === undefined ? undefined : safeSegments(below);
    if (below === undefined || segments === undefined) return notBelow(this.#options.urlPrefix);
    // Before the index: a repository may have a file of the index's name.
    const found = await this.#publication.find(segments, signal);
    if (found !== undefined) {
      if ('why' in found) return withheld(found);
      const rest = afterSegments(below, found.published.segments.length);
      return this.#repository(params, found.published, rest);
    }
    const bundle = await this.#publication.download(segments, signal);
    if (bundle !== undefined) return run(this.#hgweb(params, ['bundle', bundle], below, ''));
    const index = segments.indexOf(INDEX_FILE);
    if (index === -1) {
      // hgweb's usual address of static files, which a configuration file may name.
      return segments[0] === STATIC
        ? this.#index(params, [], segments, signal)
        : this.#index(params, segments, [], signal);
    }
    return this.#index(params, segments.slice(0, index), segments.slice(index + 1), signal);
  }

  #repository(params: NameValues, { segments, repository }: Published, pathInfo: ByteString): Resolution {
    const query = nonEmptyParam(params, 'QUERY_STRING') ?? '';
    const { trustRemoteUser } = this.#options;
    const refused = !trustRemoteUser && isPush(query) ? noPushes : refuseUnclear(query, 'cmd');
    if (refused !== undefined) return refused;
    const published = segments.join('/');
    const name = published.replace(/\.hg(?=\/|$)/g, '');
    const scriptName = `${this.#options.urlPrefix}/${published}`;
    return run({
      ...this.#hgweb(params, ['repository', repository, name, published], scriptName, pathInfo),
      body: mayHaveBody(params) ? 'with-length' : 'as-it-comes',
      doubt: doubtOf(params, trustRemoteUser),
    });
  }

  /**
   * The page that lists what is published below `base`, or one of the static files of such pages. Those are asked for
   * below an `index.fcgi`, which every web server's configuration passes on.
   */
  async #index(
    params: NameValues,
    base: readonly ByteString[],
    rest: readonly ByteString[],
    signal: Wanted | undefined,
  ): Promise<Resolution | Deferred> {
    const isStatic = rest[0] === STATIC;
    if (rest.length > 0 && !isStatic) return withheld({ why: belowIndex });
    const home = await this.#publication.directoryWithFile(base, INDEX_FILE, signal);
    if (home === undefined) return this.#publication.refusal(base, signal);
    const staticUrl = [this.#options.urlPrefix, ...home.map(percentEncode), INDEX_FILE, STATIC, ''].join('/');
    const pathInfo = `/${[...(isStatic ? rest : base)].join('/')}`;
    const showing = (listed: readonly Published[]): Resolution =>
      run({
        ...this.#hgweb(params, ['index', staticUrl], this.#options.urlPrefix, pathInfo),
        input: inputOf(listed),
      });
    return isStatic ? showing([]) : this.#publication.deferred(base, showing);
  }

  #hgweb(
    params: NameValues,
    args: readonly ByteString[],
    scriptName: ByteString,
    pathInfo: ByteString,
  ): Invocation {
    const { mercurial, hgwebScript, hgwebConfig, trustRemoteUser } = this.#options;
    const known = trustRemoteUser ? params : withoutUser(params);
    return {
      file: mercurial.python,
      args: [hgwebScript, ...args],
      script: hgwebScript,
      directory: this.#repos,
      variables: metaVariables({
        base: [['HGENCODING', 'UTF-8'], ...this.#options.base],
        params: known.filter(([name]) => !unwanted.test(name)),
        site: [
          ['SCRIPT_NAME', scriptName],
          ['PATH_INFO', pathInfo],
          ['FCGI2CGI_HG_MODULES', mercurial.modules],
          ...(trustRemoteUser ? [] : [['FCGI2CGI_NO_PUSHES', NO_PUSHES] as const]),
          ...(hgwebConfig === undefined ? [] : [['FCGI2CGI_HGWEB_CONFIG', hgwebConfig] as const]),
        ],
        administrator: this.#options.administrator,
      }),
    };
  }
}

/** hgweb reads a body by its length; these methods have none, and most requests are of them. */
function mayHaveBody(params: NameValues): boolean {
  return !/^(GET|HEAD|OPTIONS)$/.test(nonEmptyParam(params, 'REQUEST_METHOD') ?? 'GET');
}

/** Whether a request is one of a push's; hgweb.cgi knows those that hide among others (`batch`), and those of extensions. */
function isPush(query: ByteString): boolean {
  const commands = new URLSearchParams(toText(query)).getAll('cmd');
  return commands.some((command) => command === 'unbundle' || command === 'pushkey');
}
