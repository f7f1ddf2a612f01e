/** The site of a directory of git repositories: gitweb for people and git-http-backend for git, at the same URLs. */

import { type ByteString, type NameValues, toText } from '../../base/bytes.js';
import { metaVariables } from '../../cgi/invocation.js';
import { safeSegments } from '../contain.js';
import { type LookUp, statAt } from '../look-up.js';
import { belowIndex, INDEX_FILE, lostFile, whyUnwritable } from '../refusal-reason.js';
import { doubtOf, encodePath, nonEmptyParam, noPushes, percentEncode } from '../request-path.js';
import { inputOf, type Published, type Repository, withheld } from '../repositories.js';
import {
  type Asked,
  openRepositories,
  RepositorySite,
  type RepositorySiteOptions,
} from '../repository-site.js';
import { type Deferred, refuse, type Resolution, run, type Site } from '../site.js';
import { staticFile } from '../static-files.js';
import {
  isLfs,
  isPush,
  isService,
  mayNotWrite,
  noLfs,
  notAllowed,
  optionForGit,
  projectQuery,
  refusedService,
} from './git-requests.js';
import { type Git, GitVersion } from './installation.js';
import { GitRepositories } from './repository.js';

export interface GitSiteOptions extends RepositorySiteOptions {
  /** What publishes: all that there are, each that has `git-daemon-export-ok`, or the markers of a directory. */
  readonly publishedBy: 'all' | 'export-ok' | { readonly markers: ByteString };
  /** The user's own settings, read after ours. */
  readonly gitwebConfig?: ByteString | undefined;
  readonly git: Git;
  /** The settings that gitweb is run with (`scripts/gitweb.conf`). */
  readonly gitwebSettings: ByteString;
}

const STATIC = 'static';
const BELOW_STATIC = `/${INDEX_FILE}/${STATIC}/`;
const EXPORT_OK = 'git-daemon-export-ok';

/**
 * Params that would change what git and gitweb do and that no web server means for them. CGI.pm reads the last two: any
 * browser can send a header by which all links would lead elsewhere.
 */
const unwanted =
  /^(GIT.*|FCGI2CGI_.*|HOME|XDG_CONFIG_HOME|MOD_PERL|(REDIRECT_)+QUERY_STRING|HTTP_X_FORWARDED_HOST)$/;

/** Makes the site. @throws OptionError `ERR_START` if a directory that the options name is none. */
export async function gitSite(options: GitSiteOptions): Promise<Site> {
  const { publishedBy } = options;
  const markers = typeof publishedBy === 'object' ? publishedBy.markers : undefined;
  const repositories = await openRepositories(options, markers, (repos, trees) => {
    const found = new GitRepositories(repos, trees);
    return {
      suffix: '.git',
      mayKeepSuffix: true,
      repositoryAt: (path, isListed) =>
        publishedBy === 'export-ok' ? ifExported(found.at(path, isListed)) : found.at(path, isListed),
      lackOf: (path) => found.lackOf(path),
    };
  });
  return new GitSite(options, repositories, unwanted);
}

function* ifExported(at: LookUp<Repository | undefined>): LookUp<Repository | undefined> {
  const found = yield* at;
  if (found === undefined || 'why' in found) return found;
  const marker = `${found.path}/${EXPORT_OK}`;
  if ((yield* statAt(marker)) !== undefined) return found;
  return { why: `there is no ${toText(marker)}; touch it, or use --markers or --export-all` };
}

class GitSite extends RepositorySite<GitSiteOptions> {
  readonly #version = new GitVersion(this.options.git.git);

  protected override async at(asked: Asked): Promise<Resolution | Deferred> {
    const { params, published, rest } = asked;
    if (published !== undefined && isService(rest)) return this.#service(asked, published);
    if (isLfs(rest)) return noLfs;
    const shown = await this.#shown(asked);
    const method = nonEmptyParam(params, 'REQUEST_METHOD') ?? 'GET';
    if (method === 'GET' || method === 'HEAD') return shown;
    const unlessRefused = (resolution: Resolution): Resolution =>
      resolution.kind === 'refuse' ? resolution : notAllowed;
    if (shown.kind !== 'defer') return unlessRefused(shown);
    return { kind: 'defer', resolve: async (within) => unlessRefused(await shown.resolve(within)) };
  }

  /** A page or a file of gitweb's, of what is `published` at the path or else of a list. */
  async #shown(asked: Asked): Promise<Resolution | Deferred> {
    const { params, published, rest } = asked;
    if (rest.startsWith(BELOW_STATIC)) return this.#static(params, rest.slice(BELOW_STATIC.length));
    const query = projectQuery(nonEmptyParam(params, 'QUERY_STRING') ?? '');
    const option = optionForGit(query.rest, query.project === undefined ? rest : '');
    if (option !== undefined) return refuse(400, option);
    // As with gitweb, what the query names counts more than the path.
    if (query.project !== undefined) return this.#queried(asked, query.project, query.rest);
    if (published !== undefined) return this.#page(asked, published, rest, query.rest);
    return this.#index(asked, query.rest);
  }

  /** Git's own protocols; whether REMOTE_USER may push is for git to decide, where it is trusted. */
  async #service({ params, rest, signal }: Asked, { repository }: Published): Promise<Resolution> {
    const query = nonEmptyParam(params, 'QUERY_STRING') ?? '';
    const { trustRemoteUser } = this.options;
    const isPushed = isPush(rest, query);
    // Absolute paths are no business of strangers; http-alternates are for them.
    if (rest.endsWith('/objects/info/alternates'))
      return withheld({ why: 'alternates tell paths of this machine' });
    const refused = isPushed && !trustRemoteUser ? noPushes : refusedService(params, rest, query);
    if (refused !== undefined) return refused;
    // Git would say so to those who push, by a response with 200.
    const unwritable = isPushed && (await this.take(whyUnwritable(`${repository}/objects`), signal));
    if (unwritable) return mayNotWrite(unwritable);
    return run({
      file: this.options.git.httpBackend,
      args: [],
      directory: this.repos,
      // From git 2.39 on, a push that a signal has ended leaves what it has received; one whose input ends does not.
      // That end must not come by itself: git-http-backend would wait for it for ever.
      ...(rest === '/git-receive-pack' ? { terminatedBy: 'end-of-input' as const } : {}),
      ...(isPushed && { doubt: doubtOf(params, trustRemoteUser) }),
      variables: this.#variables(params, [
        // Instead of GIT_PROJECT_ROOT: what is published is no matter of its path, and this one is already real.
        ['PATH_TRANSLATED', repository + rest],
        ['GIT_HTTP_EXPORT_ALL', ''],
        // Git before 2.34 expects the web server to set it.
        ['GIT_PROTOCOL', nonEmptyParam(params, 'HTTP_GIT_PROTOCOL') ?? ''],
        // Also that of another owner: the administrator trusts what is published here.
        ['GIT_CONFIG_COUNT', '2'],
        ['GIT_CONFIG_KEY_0', 'safe.directory'],
        ['GIT_CONFIG_VALUE_0', repository],
        // Before git 2.46, what git-http-backend starts knows it by this name only.
        ['GIT_CONFIG_KEY_1', 'safe.directory'],
        ['GIT_CONFIG_VALUE_1', '.'],
      ]),
    });
  }

  async #queried(asked: Asked, project: ByteString, query: ByteString): Promise<Resolution> {
    const { signal } = asked;
    const segments = safeSegments(project);
    const found = segments && (await this.publication.find(segments, signal));
    if (found !== undefined && 'why' in found) return withheld(found);
    if (segments === undefined)
      return withheld({ why: 'the project that the query names has a NUL, . or .. in it' });
    // The whole of it must be a repository.
    if (found === undefined || found.rest.length > 0) return this.publication.refusal(segments, signal);
    return this.#page(asked, found.published, '', query);
  }

  async #page(
    { params, signal }: Asked,
    published: Published,
    rest: ByteString,
    query: ByteString,
  ): Promise<Resolution> {
    const { segments } = published;
    // A web server that matches suffixes passes on what is below either.
    const home = await this.publication.directoryWithFile(segments.slice(0, -1), INDEX_FILE, signal);
    return this.#gitweb(params, `/${segments.join('/')}${rest}`, query, [published], home ?? segments);
  }

  async #static(params: NameValues, name: ByteString): Promise<Resolution> {
    const answer = await staticFile(this.options.git.gitwebStatic, name, params);
    if (answer !== undefined) return { kind: 'answer', answer };
    const { gitwebStatic } = this.options.git;
    return withheld({ why: `${toText(name)} is no style, script or image in ${toText(gitwebStatic)}` });
  }

  /** The page that lists what is published below `segments`, or one of the static files of gitweb's pages. */
  async #index({ params, segments, signal }: Asked, query: ByteString): Promise<Resolution | Deferred> {
    const index = segments.indexOf(INDEX_FILE);
    const base = index === -1 ? segments : segments.slice(0, index);
    const rest = index === -1 ? segments : segments.slice(index + 1);
    // Browsers ask for that one by themselves where a page can't name it, such as a raw file.
    const wanted = segments.join('/') === 'favicon.ico' ? [STATIC, 'git-favicon.png'] : rest;
    if (wanted.length === 2 && wanted[0] === STATIC) return this.#static(params, wanted[1] ?? '');
    if (index !== -1 && rest.length > 0) return withheld({ why: belowIndex });
    const home = await this.publication.directoryWithFile(base, INDEX_FILE, signal);
    if (home === undefined) return this.publication.refusal(base, signal);
    // Gitweb's own way of showing a part of the list.
    const filter =
      base.length > 0 && !/(^|[&;])pf=/.test(query) ? [`pf=${base.map(percentEncode).join('/')}`] : [];
    const pathInfo = `/${base.join('/')}`;
    const shown = [...filter, ...(query === '' ? [] : [query])].join(';');
    return this.publication.deferred(base, (listed) => this.#gitweb(params, pathInfo, shown, listed, home));
  }

  /** Gitweb, which knows of these repositories and of no other; its static files are asked for below `home`. */
  #gitweb(
    params: NameValues,
    pathInfo: ByteString,
    query: ByteString,
    published: readonly Published[],
    home: readonly ByteString[],
  ): Resolution {
    const { urlPrefix, git, gitwebConfig, gitwebSettings } = this.options;
    const lost = lostFile(gitwebSettings);
    if (lost !== undefined) return lost;
    const version = this.#version.known();
    const prefix = encodePath(urlPrefix);
    return run({
      file: git.gitweb,
      args: [],
      directory: this.repos,
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
        // What gitweb reads where that has just gone. It is no Perl, so gitweb ends, rather than show another site.
        ['GITWEB_CONFIG_SYSTEM', '/bin/sh'],
        ['FCGI2CGI_GIT', git.git],
        ...(version === undefined ? [] : [['FCGI2CGI_GIT_VERSION', version] as const]),
        ['FCGI2CGI_URL_PREFIX', prefix],
        ['FCGI2CGI_STATIC_URL', [prefix, ...home.map(percentEncode), INDEX_FILE, STATIC].join('/')],
        ...(gitwebConfig === undefined ? [] : [['FCGI2CGI_GITWEB_CONFIG', gitwebConfig] as const]),
      ]),
      input: inputOf(published),
    });
  }

  #variables(params: NameValues, site: NameValues): ReadonlyMap<ByteString, ByteString> {
    return metaVariables({ ...this.options, params: this.wanted(params), site });
  }
}
