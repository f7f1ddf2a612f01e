/** The site of a directory of Mercurial repositories, each shown by Mercurial's own hgweb. */

import { type ByteString, type NameValues, toBuffer } from '../../bytes.js';
import type { Invocation } from '../../cgi/invocation.js';
import { metaVariables } from '../../cgi/meta-variables.js';
import { namedDirectory, safeSegments } from '../contain.js';
import { stepsBelow } from '../look-up.js';
import { Publication, type Published } from '../publication.js';
import { afterSegments, belowPrefix, nonEmptyParam, percentEncode, requestPath } from '../request-path.js';
import { namesNoPath, type Resolution, run, type Site, type SiteEnvironment } from '../site.js';
import { hgRepositoryAt } from './repository.js';

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
  /** The user's own settings, read after Mercurial's and before each repository's. */
  readonly hgwebConfig?: ByteString;
  readonly mercurial: Mercurial;
  /** The CGI script that runs hgweb (`scripts/hgweb.cgi`). */
  readonly hgwebScript: ByteString;
}

/** The empty file beside the markers that publishes their index; part of its URL with suffix-matching web servers. */
const INDEX_FILE = 'index.fcgi';
const STATIC = 'static';

/** Params that would change what hgweb does and that no web server means for it. */
const unwanted = /^(HTTP_EXPECT|REPO_NAME|HG.*|FCGI2CGI_.*)$/;

/** Makes the site. @throws OptionError `ERR_START` if a directory that the options name is none. */
export async function hgSite(options: HgSiteOptions): Promise<Site> {
  const repos = await namedDirectory('repos', options.repos);
  const markers =
    options.markers === undefined ? undefined : await namedDirectory('markers', options.markers);
  const publication = new Publication({
    repos,
    markers,
    suffix: '.hg',
    repositoryAt: (path) => hgRepositoryAt(repos, path),
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

  async resolve(params: NameValues): Promise<Resolution> {
    const path = requestPath(params);
    if (path === undefined) return namesNoPath;
    const below = belowPrefix(path, this.#options.urlPrefix);
    const segments = below === undefined ? undefined : safeSegments(below);
    if (below === undefined || segments === undefined) return notPublished;
    // Before the index: a repository may have a file of the index's name.
    const found = await this.#publication.find(segments);
    if (found !== undefined) {
      const rest = afterSegments(below, found.published.segments.length);
      return this.#repository(params, found.published, rest);
    }
    const index = segments.indexOf(INDEX_FILE);
    if (index === -1) {
      // hgweb's usual address of static files, which a configuration file may name.
      return segments[0] === STATIC ? this.#index(params, [], segments) : this.#index(params, segments, []);
    }
    return this.#index(params, segments.slice(0, index), segments.slice(index + 1));
  }

  #repository(params: NameValues, { segments, repository }: Published, pathInfo: ByteString): Resolution {
    const scriptName = `${this.#options.urlPrefix}/${segments.join('/')}`;
    const name = segments.join('/').replace(/\.hg$/, '');
    return run({
      ...this.#hgweb(params, ['repository', repository, name], scriptName, pathInfo),
      body: mayHaveBody(params) ? 'with-length' : 'as-it-comes',
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
  ): Promise<Resolution> {
    const isStatic = rest[0] === STATIC;
    if (rest.length > 0 && !isStatic) return notPublished;
    const home = await this.#publication.directoryWithFile(base, INDEX_FILE);
    if (home === undefined) {
      return {
        ...notPublished,
        refusal: { ...notPublished.refusal, detail: `no ${INDEX_FILE} publishes an index here` },
      };
    }
    const listed = isStatic ? [] : await this.#publication.list(base);
    if (!isStatic && base.length > 0 && listed.length === 0) return notPublished;
    const staticUrl = [this.#options.urlPrefix, ...home.map(percentEncode), INDEX_FILE, STATIC, ''].join('/');
    const pathInfo = `/${[...(isStatic ? rest : base)].join('/')}`;
    return run({
      ...this.#hgweb(params, ['index', staticUrl], this.#options.urlPrefix, pathInfo),
      input: toBuffer(
        listed.map(({ segments, repository }) => `${segments.join('/')}\0${repository}\0`).join(''),
      ),
    });
  }

  #hgweb(
    params: NameValues,
    args: readonly ByteString[],
    scriptName: ByteString,
    pathInfo: ByteString,
  ): Invocation {
    const { mercurial, hgwebScript, hgwebConfig } = this.#options;
    return {
      file: mercurial.python,
      args: [hgwebScript, ...args],
      script: hgwebScript,
      directory: this.#repos,
      variables: metaVariables({
        base: [['HGENCODING', 'UTF-8'], ...this.#options.base],
        params: params.filter(([name]) => !unwanted.test(name)),
        site: [
          ['SCRIPT_NAME', scriptName],
          ['PATH_INFO', pathInfo],
          ['FCGI2CGI_HG_MODULES', mercurial.modules],
          ...(hgwebConfig === undefined ? [] : [['FCGI2CGI_HGWEB_CONFIG', hgwebConfig] as const]),
        ],
        administrator: this.#options.administrator,
      }),
    };
  }
}

const notPublished = {
  kind: 'refuse',
  refusal: { status: 404, reason: 'No repository is published at this address.' },
} as const;

/** hgweb reads a body by its length; these methods have none, and most requests are of them. */
function mayHaveBody(params: NameValues): boolean {
  return !/^(GET|HEAD|OPTIONS)$/.test(nonEmptyParam(params, 'REQUEST_METHOD') ?? 'GET');
}
