/** A site of git repositories and what it would run, without running it. */

import assert from 'node:assert/strict';

import { fromText } from '../../src/base/bytes.js';
import type { Invocation } from '../../src/cgi/invocation.js';
import { realPath } from '../../src/sites/contain.js';
import { gitSite, type GitSiteOptions } from '../../src/sites/git/git-site.js';
import type { Git } from '../../src/sites/git/installation.js';
import { type Resolution, resolveRequest, type Site } from '../../src/sites/site.js';
import { empty, type Entry, makeTree } from './file-tree.js';
import { temporaryDirectory } from './temporary.js';

type Params = Readonly<Record<string, string>>;
type Run = Invocation & { /** Its variables by name. */ readonly env: Params };

/** What a bare repository consists of at least. */
export const bare = (path: string): Record<string, Entry> => ({
  [`${path}/HEAD`]: { content: 'ref: refs/heads/main\n' },
  [`${path}/objects`]: 'directory',
  [`${path}/refs`]: 'directory',
});

/** Repositories, their markers and gitweb's files below `root`, and what sites of them say. */
export class GitTree {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  get git(): Git {
    return {
      git: '/bin/git',
      httpBackend: '/lib/git-http-backend',
      gitweb: '/lib/gitweb.cgi',
      gitwebStatic: `${this.root}/gitweb/static`,
    };
  }

  /** A site made of these options. */
  site(options: Partial<GitSiteOptions> = {}): Promise<Site> {
    const { root } = this;
    return gitSite({
      repos: `${root}/repos`,
      publishedBy: { markers: `${root}/www` },
      urlPrefix: '',
      trustRemoteUser: false,
      git: this.git,
      gitwebSettings: '/dev/null',
      base: new Map([['PATH', '/bin']]),
      administrator: new Map(),
      ...options,
    });
  }

  /** What such a site says. */
  async ask(params: Params, options?: Partial<GitSiteOptions>): Promise<Resolution> {
    const site = await this.site(options);
    return resolveRequest(site, Object.entries({ REQUEST_METHOD: 'GET', ...params }));
  }

  /** The refusal of a request: its status, and its detail or reason. */
  async refused(params: Params, options?: Partial<GitSiteOptions>): Promise<string> {
    const resolution = await this.ask(params, options);
    if (resolution.kind !== 'refuse') return `it would ${resolution.kind}`;
    const { status, reason, detail } = resolution.refusal;
    return `${String(status)} ${detail ?? reason}`;
  }

  /** What is run for a page. */
  page(params: Params, options?: Partial<GitSiteOptions>): Promise<Run> {
    return this.#runs('/lib/gitweb.cgi', params, options);
  }

  /** What is run for a request of git's. */
  service(params: Params, options?: Partial<GitSiteOptions>): Promise<Run> {
    return this.#runs('/lib/git-http-backend', params, options);
  }

  /** What gitweb is told of: each repository by its name and its place below the repositories. */
  told({ input }: Invocation): string[][] {
    const words = (input?.toString('latin1') ?? '').split('\0').slice(0, -1);
    return words.flatMap((word, index) =>
      index % 2 === 0 ? [[word, words[index + 1]?.slice(`${this.root}/repos/`.length) ?? '']] : [],
    );
  }

  async #runs(program: string, params: Params, options?: Partial<GitSiteOptions>): Promise<Run> {
    const resolution = await this.ask(params, options);
    if (resolution.kind !== 'run') assert.fail(`${JSON.stringify(params)}: ${JSON.stringify(resolution)}`);
    const { invocation } = resolution;
    assert.equal(invocation.file, program);
    return { ...invocation, env: Object.fromEntries(invocation.variables) };
  }
}

/** Makes such a tree. */
export async function makeGitTree(): Promise<GitTree> {
  const root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
  await makeTree(root, {
    ...bare('repos/a.git'),
    'repos/a.git/git-daemon-export-ok': empty,
    ...bare('repos/group/b/.git'),
    ...bare('repos/group/caf\xe9'),
    ...bare('repos/hidden.git'),
    'www/a.git': empty,
    'www/group/b.git': empty,
    'www/group/caf\xe9.git': empty,
    'www/none.git': empty,
    'www/empty': 'directory',
    'www/index.fcgi': empty,
    'gitweb/static/gitweb.css': { content: 'style' },
    'gitweb/static/git-favicon.png': { content: 'image' },
  });
  return new GitTree(root);
}

/** A request whose path is split as lighttpd does. */
export const at = (path: string, query = ''): Params => ({
  SCRIPT_NAME: path,
  PATH_INFO: '',
  QUERY_STRING: query,
});

/** Params that nobody's web server should send, and that no program is to see. */
export const steering = {
  GIT_PROJECT_ROOT: '/evil',
  GIT_DIR: '/evil',
  GITWEB_CONFIG: '/evil',
  GIT_CONFIG_COUNT: '9',
  FCGI2CGI_GITWEB_CONFIG: '/evil',
  HOME: '/evil',
  XDG_CONFIG_HOME: '/evil',
  MOD_PERL: '2',
  REDIRECT_QUERY_STRING: 'h=evil',
  REDIRECT_REDIRECT_QUERY_STRING: 'h=evil',
  HTTP_X_FORWARDED_HOST: 'evil',
};
