/** The site of a directory of Mercurial repositories, each shown by Mercurial's own hgweb. */

import { type ByteString, type NameValues, toText } from '../../base/bytes.js';
import { type Invocation, metaVariables } from '../../cgi/invocation.js';
import { belowIndex, INDEX_FILE } from '../refusal-reason.js';
import {
  doubtOf,
  NO_PUSHES,
  nonEmptyParam,
  noPushes,
  percentEncode,
  refuseUnclear,
} from '../request-path.js';
import { inputOf, type Published, withheld } from '../repositories.js';
import {
  type Asked,
  openRepositories,
  RepositorySite,
  type RepositorySiteOptions,
} from '../repository-site.js';
import { type Deferred, type Resolution, run, type Site } from '../site.js';
import { HgRepositories } from './repository.js';

export interface Mercurial {
  /** The Python that has it, as an absolute path. */
  readonly python: ByteString;
  /** The directory of its `mercurial` package. */
  readonly modules: ByteString;
}

export interface HgSiteOptions extends RepositorySiteOptions {
  /** The directory of `NAME.hg` marker files; without it all repositories are published. */
  readonly markers?: ByteString | undefined;
  /** The user's own settings, read after Mercurial's and before each repository's. */
  readonly hgwebConfig?: ByteString | undefined;
  readonly mercurial: Mercurial;
  /** The CGI script that runs hgweb (`scripts/hgweb.cgi`). */
  readonly hgwebScript: ByteString;
}

const STATIC = 'static';

const unwanted = /^(HTTP_EXPECT|REPO_NAME|HG.*|FCGI2CGI_.*)$/;

/** Makes the site. @throws OptionError `ERR_START` if a directory that the options name is none. */
export async function hgSite(options: HgSiteOptions): Promise<Site> {
  const repositories = await openRepositories(options, options.markers, (repos, trees) => {
    const found = new HgRepositories(repos, trees);
    return {
      suffix: '.hg',
      mayNest: true,
      repositoryAt: (path, isListed, named) => found.at(path, isListed, named),
      lackOf: (path) => found.lackOf(path),
    };
  });
  return new HgSite(options, repositories, unwanted);
}

class HgSite extends RepositorySite<HgSiteOptions> {
  protected override async at(asked: Asked): Promise<Resolution | Deferred> {
    const { params, below, segments, published, rest, signal } = asked;
    if (published !== undefined) return this.#repository(params, published, rest);
    const bundle = await this.publication.download(segments, signal);
    if (bundle !== undefined) return run(this.#hgweb(params, ['bundle', bundle], below, ''));
    const index = segments.indexOf(INDEX_FILE);
    if (index === -1) {
      // hgweb's usual address of static files, which a configuration file may name.
      return segments[0] === STATIC ? this.#index(asked, [], segments) : this.#index(asked, segments, []);
    }
    return this.#index(asked, segments.slice(0, index), segments.slice(index + 1));
  }

  #repository(params: NameValues, { segments, repository }: Published, pathInfo: ByteString): Resolution {
    const query = nonEmptyParam(params, 'QUERY_STRING') ?? '';
    const { trustRemoteUser } = this.options;
    const refused = !trustRemoteUser && isPush(query) ? noPushes : refuseUnclear(query, 'cmd');
    if (refused !== undefined) return refused;
    const published = segments.join('/');
    const name = published.replace(/\.hg(?=\/|$)/g, '');
    const scriptName = `${this.options.urlPrefix}/${published}`;
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
    { params, signal }: Asked,
    base: readonly ByteString[],
    rest: readonly ByteString[],
  ): Promise<Resolution | Deferred> {
    const isStatic = rest[0] === STATIC;
    if (rest.length > 0 && !isStatic) return withheld({ why: belowIndex });
    const home = await this.publication.directoryWithFile(base, INDEX_FILE, signal);
    if (home === undefined) return this.publication.refusal(base, signal);
    const staticUrl = [this.options.urlPrefix, ...home.map(percentEncode), INDEX_FILE, STATIC, ''].join('/');
    const pathInfo = `/${[...(isStatic ? rest : base)].join('/')}`;
    const showing = (listed: readonly Published[]): Resolution =>
      run({
        ...this.#hgweb(params, ['index', staticUrl], this.options.urlPrefix, pathInfo),
        input: inputOf(listed),
      });
    return isStatic ? showing([]) : this.publication.deferred(base, showing);
  }

  #hgweb(
    params: NameValues,
    args: readonly ByteString[],
    scriptName: ByteString,
    pathInfo: ByteString,
  ): Invocation {
    const { mercurial, hgwebScript, hgwebConfig, trustRemoteUser } = this.options;
    return {
      file: mercurial.python,
      args: [hgwebScript, ...args],
      script: hgwebScript,
      directory: this.repos,
      variables: metaVariables({
        base: [['HGENCODING', 'UTF-8'], ...this.options.base],
        params: this.wanted(params),
        site: [
          ['SCRIPT_NAME', scriptName],
          ['PATH_INFO', pathInfo],
          ['FCGI2CGI_HG_MODULES', mercurial.modules],
          ...(trustRemoteUser ? [] : [['FCGI2CGI_NO_PUSHES', NO_PUSHES] as const]),
          ...(hgwebConfig === undefined ? [] : [['FCGI2CGI_HGWEB_CONFIG', hgwebConfig] as const]),
        ],
        administrator: this.options.administrator,
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
