/** The site of a directory of git repositories: gitweb for people and git-http-backend for git, at the same URLs. */

import { type ByteString, type NameValues, toBuffer } from '../../bytes.js';
import { metaVariables } from '../../cgi/meta-variables.js';
import { namedDirectory, safeSegments } from '../contain.js';
import { type LookUp, statAt, stepsBelow } from '../look-up.js';
import { Publication, type Published, type Repository } from '../publication.js';
import { afterSegments, belowPrefix, nonEmptyParam, percentEncode, requestPath } from '../request-path.js';
import { namesNoPath, refuse, type Resolution, run, type Site, type SiteEnvironment } from '../site.js';
import { staticFile } from '../static-files.js';
import { projectQuery } from './gitweb-query.js';
import { gitDirectory } from './repository.js';
import { isService } from './services.js';

/** A git installation; all paths are absolute. */
export interface Git {
  /** The `git` program. */
  readonly git: ByteString;
  /** The CGI script `git-http-backend`. */
  readonly httpBackend: ByteString;
  /** The CGI script `gitweb.cgi`. */
  readonly gitweb: ByteString;
  /** The directory of gitweb's style, script and images. */
  readonly gitwebStatic: ByteString;
}

export interface GitSiteOptions extends SiteEnvironment {
  /** The directory of repositories, as an absolute path. */
  readonly repos: ByteString;
  /** What publishes: all that there are, each that has `git-daemon-export-ok`, or the markers of a directory. */
  readonly publishedBy: 'all' | 'export-ok' | { readonly markers: ByteString };
  /** The path that the web server serves the site under: empty, or `/git`. */
  readonly urlPrefix: ByteString;
  /** The user's own settings, read after ours. */
  readonly gitwebConfig?: ByteString;
  readonly git: Git;
  /** The settings that gitweb is run with (`scripts/gitweb.conf`). */
  readonly gitwebSettings: ByteString;
}

/** The empty file beside the markers that publishes their index; part of its URL with suffix-matching web servers. */
const INDEX_FILE = 'index.fcgi';
const STATIC = 'static';
const BELOW_STATIC = `/${INDEX_FILE}/${STATIC}/`;
const EXPORT_OK = 'git-daemon-export-ok';

/** Params that would change what git and gitweb do and that no web server means for them. */
const unwanted = /^(GIT.*|FCGI2CGI_.*|HOME|XDG_CONFIG_HOME|MOD_PERL)$/;

/** Makes the site. @throws BridgeError `ERR_START` if a directory that the options name is none. */
export async function gitSite(options: GitSiteOptions): Promise<Site> {
  const { publishedBy } = options;
  const repos = await namedDirectory('--repos', options.repos);
  const markers =
    typeof publishedBy === 'object' ? await namedDirectory('--markers', publishedBy.markers) : undefined;
  function* repositoryAt(path: ByteString): LookUp<Repository | undefined> {
    const directory = yield* gitDirectory(repos, path);
    if (directory === undefined) return undefined;
    const isPublished =
      publishedBy !== 'export-ok' || (yield* statAt(`${directory}/${EXPORT_OK}`)) !== undefined;
    return { path: directory, isPublished };
  }
  const publication = new Publication({
    repos,
    markers,
    suffix: '.git',
    mayKeepSuffix: true,
    repositoryAt,
    take: await stepsBelow(markers === undefined ? [repos] : [repos, markers]),
  });
  return new GitSite(options, repos, publication);
}

class GitSite implements Site {
  readonly #options: GitSiteOptions;
  readonly #repos: ByteString;
  readonly #publication: Publication;

  constructor(options: GitSiteOptions, repos: ByteString, publication: Publication) {
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
    const found = await this.#publication.find(segments);
    const rest = found && afterSegments(below, found.published.segments.length);
    if (found !== undefined && rest !== undefined && isService(rest)) {
      return this.#service(params, found.published, rest);
    }
    const method = nonEmptyParam(params, 'REQUEST_METHOD') ?? 'GET';
    if (method !== 'GET' && method !== 'HEAD') return notAllowed;
    if (rest?.startsWith(BELOW_STATIC) === true) return this.#static(params, rest.slice(BELOW_STATIC.length));
    const query = projectQuery(nonEmptyParam(params, 'QUERY_STRING') ?? '');
    // As with gitweb, what the query names counts more than the path.
    if (query.project !== undefined) return this.#queried(params, query.project, query.rest);
    if (found !== undefined) return this.#page(params, found.published, rest ?? '', query.rest);
    return this.#index(params, segments, query.rest);
  }

  /** Git's own protocols; whether REMOTE_USER may push is for git to decide. */
  #service(params: NameValues, { repository }: Published, rest: ByteString): Resolution {
    return run({
      file: this.#options.git.httpBackend,
      args: [],
      directory: this.#repos,
      // From git 2.39 on, a push that a signal has ended leaves what it has received; one whose input ends does not.
      // That end must not come by itself: git-http-backend would wait for it for ever.
      ...(rest === '/git-receive-pack' ? { endedBy: 'end-of-input' as const } : {}),
      variables: this.#variables(params, [
        // Instead of GIT_PROJECT_ROOT: what is published is no matter of its path, and this one is already real.
        ['PATH_TRANSLATED', repository + rest],
        ['GIT_HTTP_EXPORT_ALL', ''],
        // Git before 2.34 expects the web server to set it.
        ['GIT_PROTOCOL', nonEmptyParam(params, 'HTTP_GIT_PROTOCOL') ?? ''],
        // Whoever owns it: what was published here, the administrator trusts.
        ['GIT_CONFIG_COUNT', '2'],
        ['GIT_CONFIG_KEY_0', 'safe.directory'],
        ['GIT_CONFIG_VALUE_0', repository],
        // Before git 2.46, what git-http-backend starts knows it by this name only.
        ['GIT_CONFIG_KEY_1', 'safe.directory'],
        ['GIT_CONFIG_VALUE_1', '.'],
      ]),
    });
  }

  async #queried(params: NameValues, project: ByteString, query: ByteString): Promise<Resolution> {
    const segments = safeSegments(project);
    const found = segments && (await this.#publication.find(segments));
    // The whole of it must be a repository.
    if (found === undefined || found.rest.length > 0) return notPublished;
    return this.#page(params, found.published, '', query);
  }

  async #page(
    params: NameValues,
    published: Published,
    rest: ByteString,
    query: ByteString,
  ): Promise<Resolution> {
    const { segments } = published;
    // A web server that matches suffixes passes on what is below either.
    const home = await this.#publication.directoryWithFile(segments.slice(0, -1), INDEX_FILE);
    return this.#gitweb(params, `/${segments.join('/')}${rest}`, query, [published], home ?? segments);
  }

  async #static(params: NameValues, name: ByteString): Promise<Resolution> {
    const answer = await staticFile(this.#options.git.gitwebStatic, name, params);
    return answer === undefined ? notPublished : { kind: 'answer', answer };
  }

  /** The page that lists what is published below `segments`, or one of the static files of gitweb's pages. */
  async #index(params: NameValues, segments: readonly ByteString[], query: ByteString): Promise<Resolution> {
    const index = segments.indexOf(INDEX_FILE);
    const base = index === -1 ? segments : segments.slice(0, index);
    const rest = index === -1 ? segments : segments.slice(index + 1);
    // Browsers ask for that one by themselves where a page can't name it, such as a raw file.
    const wanted = segments.join('/') === 'favicon.ico' ? [STATIC, 'git-favicon.png'] : rest;
    if (wanted.length === 2 && wanted[0] === STATIC) return this.#static(params, wanted[1] ?? '');
    if (index !== -1 && rest.length > 0) return notPublished;
    const home = await this.#publication.directoryWithFile(base, INDEX_FILE);
    if (home === undefined) {
      const { refusal } = notPublished;
      return refuse(refusal.status, refusal.reason, `no ${INDEX_FILE} publishes an index here`);
    }
    const listed = await this.#publication.list(base);
    if (base.length > 0 && listed.length === 0) return notPublished;
    // Gitweb's own way of showing a part of the list.
    const filter =
      base.length > 0 && !/(^|[&;])pf=/.test(query) ? [`pf=${base.map(percentEncode).join('/')}`] : [];
    const pathInfo = `/${base.join('/')}`;
    return this.#gitweb(
      params,
      pathInfo,
      [...filter, ...(query === '' ? [] : [query])].join(';'),
      listed,
      home,
    );
  }

  /** Gitweb, which knows of these repositories and of no other; its static files are asked for below `home`. */
  #gitweb(
    params: NameValues,
    pathInfo: ByteString,
    query: ByteString,
    published: readonly Published[],
    home: readonly ByteString[],
  ): Resolution {
    const { urlPrefix, git, gitwebConfig, gitwebSettings } = this.#options;
    return run({
      file: git.gitweb,
      args: [],
      directory: this.#repos,
      variables: this.#variables(params, [
        // A name that ends in .fcgi would have gitweb speak FastCGI.
        ['SCRIPT_NAME', urlPrefix.endsWith('.fcgi') ? `${urlPrefix}/` : urlPrefix],
        ['SCRIPT_FILENAME', 'gitweb.cgi'],
        ['PATH_INFO', pathInfo],
        // The two above say it all, also where a query has named the project.
        ['REQUEST_URI', ''],
        ['QUERY_STRING', query],
        ['CONTENT_LENGTH', ''],
        ['GITWEB_CONFIG', gitwebSettings],
        ['FCGI2CGI_GIT', git.git],
        ['FCGI2CGI_URL_PREFIX', urlPrefix],
        ['FCGI2CGI_STATIC_URL', [urlPrefix, ...home.map(percentEncode), INDEX_FILE, STATIC].join('/')],
        ...(gitwebConfig === undefined ? [] : [['FCGI2CGI_GITWEB_CONFIG', gitwebConfig] as const]),
      ]),
      input: toBuffer(
        published.map(({ segments, repository }) => `${segments.join('/')}\0${repository}\0`).join(''),
      ),
    });
  }

  #variables(params: NameValues, site: NameValues): ReadonlyMap<ByteString, ByteString> {
    const wanted = params.filter(([name]) => !unwanted.test(name));
    return metaVariables({ ...this.#options, params: wanted, site });
  }
}

const notPublished = {
  kind: 'refuse',
  refusal: { status: 404, reason: 'No repository is published at this address.' },
} as const;

const notAllowed: Resolution = {
  kind: 'refuse',
  refusal: { status: 405, reason: 'Pages are asked for by GET or HEAD.', allow: 'GET, HEAD' },
};
