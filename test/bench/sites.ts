/** What is served: one CGI program each, with what the web server has to say to it, and its repositories. */

import { chmodSync, cpSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { fixture } from '../helpers/bridge.js';
import { succeed } from '../helpers/command.js';

export type SiteName = 'cgi' | 'down' | 'up' | 'hg' | 'git' | 'gitweb' | ListName;
/** Of many repositories, of which the list is shown. */
export type ListName = keyof typeof lists;

export interface Site {
  readonly name: SiteName;
  /** A file in `cgi/`, under which web servers that run it themselves find it. */
  readonly script: string;
  readonly environment: Readonly<Record<string, string>>;
  /** The directory of its repositories. */
  readonly repos: string;
}

/** Everything that is measured lies here. */
export interface Place {
  readonly directory: string;
  /** The directory of the scripts. */
  readonly cgi: string;
  /** What is uploaded. */
  readonly upload: string;
  readonly bytes: number;
  readonly sites: ReadonlyMap<SiteName, Site>;
}

export const lists = {
  hgList: { of: 'hg', repositories: 500 },
  hgLongList: { of: 'hg', repositories: 10_000 },
  gitwebList: { of: 'gitweb', repositories: 500 },
  gitwebLongList: { of: 'gitweb', repositories: 10_000 },
} as const;
const SMALL_CHANGESETS = 100;
const LARGE_CHANGESETS = 5_000;

/** Makes what these sites need; `bytes` is the size of what is uploaded and downloaded. */
export async function makePlace(
  directory: string,
  names: ReadonlySet<SiteName>,
  bytes: number,
): Promise<Place> {
  // Apache's programs are not root's.
  chmodSync(directory, 0o755);
  const cgi = join(directory, 'cgi');
  const hgRepos = join(directory, 'hg');
  const gitRepos = join(directory, 'git');
  const upload = join(directory, 'upload');
  const hgConfig = join(directory, 'hgweb.conf');
  const gitwebConfig = join(directory, 'gitweb.conf');
  for (const path of [cgi, hgRepos, gitRepos]) mkdirSync(path);
  // The repositories are not those of the user who runs Apache's programs.
  const owned = { GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*' };
  const repos: Partial<Record<SiteName, string>> = { hg: hgRepos, gitweb: gitRepos };
  const compiled = join(directory, 'compiled');
  await succeed('gcc', ['-O2', '-o', compiled, fixture('bench/bench.c')]);
  for (const name of ['cgi', 'down', 'up']) cpSync(compiled, join(cgi, name));
  if (names.has('hg')) {
    await makeMercurial(join(hgRepos, 'small'), SMALL_CHANGESETS);
    await makeMercurial(join(hgRepos, 'large'), LARGE_CHANGESETS);
    writeFileSync(hgConfig, `[paths]\nsmall = ${hgRepos}/small\nlarge = ${hgRepos}/large\n`);
    cpSync(fixture('bench/hgweb.cgi'), join(cgi, 'hg'));
  }
  if (names.has('git') || names.has('gitweb')) {
    await makeGit(join(gitRepos, 'small.git'), SMALL_CHANGESETS);
    const backend = join((await succeed('git', ['--exec-path'])).trim(), 'git-http-backend');
    symlinkSync(backend, join(cgi, 'git'));
    writeFileSync(gitwebConfig, `our $projectroot = '${gitRepos}';\n1;\n`);
    symlinkSync('/usr/share/gitweb/gitweb.cgi', join(cgi, 'gitweb'));
  }
  const listEnvironments: Partial<Record<ListName, Readonly<Record<string, string>>>> = {};
  for (const name of Object.keys(lists) as ListName[]) {
    if (!names.has(name)) continue;
    const { of, repositories } = lists[name];
    const all = join(directory, name);
    repos[name] = all;
    mkdirSync(all);
    const first = join(all, '1.git');
    await (of === 'hg' ? makeMercurial(first, 1) : makeGit(first, 1));
    const copies = `for each in $(seq 2 ${String(repositories)}); do cp -r 1.git $each.git; done`;
    await succeed('sh', ['-c', copies], { cwd: all });
    const config = join(directory, `${name}.conf`);
    writeFileSync(config, of === 'hg' ? `[paths]\n/ = ${all}/*\n` : `our $projectroot = '${all}';\n1;\n`);
    listEnvironments[name] =
      of === 'hg' ? { BENCH_HGWEB_CONFIG: config } : { GITWEB_CONFIG: config, ...owned };
    if (of === 'hg') cpSync(fixture('bench/hgweb.cgi'), join(cgi, name));
    else symlinkSync('/usr/share/gitweb/gitweb.cgi', join(cgi, name));
  }
  writeFileSync(upload, '');
  truncateSync(upload, bytes);
  const environments: Readonly<Partial<Record<SiteName, Readonly<Record<string, string>>>>> = {
    ...listEnvironments,
    cgi: { BENCH: 'cgi' },
    down: { BENCH: 'down', BENCH_BYTES: String(bytes) },
    up: { BENCH: 'up' },
    hg: { BENCH_HGWEB_CONFIG: hgConfig },
    git: { GIT_PROJECT_ROOT: gitRepos, GIT_HTTP_EXPORT_ALL: '1', ...owned },
    gitweb: { GITWEB_CONFIG: gitwebConfig, ...owned },
  };
  const sites = [...names].map((name): [SiteName, Site] => [
    name,
    { name, script: join(cgi, name), environment: environments[name] ?? {}, repos: repos[name] ?? '' },
  ]);
  return { directory, cgi, upload, bytes, sites: new Map(sites) };
}

async function makeMercurial(path: string, changesets: number): Promise<void> {
  const env = { ...process.env, HGPLAIN: '1', HGRCPATH: '' };
  await succeed('hg', ['init', path], { env });
  await succeed('hg', ['-R', path, 'debugbuilddag', '--overwritten-file', `+${String(changesets)}`], { env });
}

/** As many commits as in one stream for `git fast-import`. */
async function makeGit(path: string, commits: number): Promise<void> {
  await succeed('git', ['init', '-q', '--bare', '-b', 'main', path]);
  const stream = Array.from({ length: commits }, (_, number) => {
    const message = `Change ${String(number)}\n`;
    const content = `line of change ${String(number)}\n`.repeat(20);
    return `commit refs/heads/main
committer Ann <ann@example.org> ${String(1_600_000_000 + 60 * number)} +0000
data ${String(message.length)}
${message}M 100644 inline directory${String(number % 7)}/file${String(number % 20)}.txt
data ${String(content.length)}
${content}`;
  });
  const file = join(path, 'import');
  writeFileSync(file, stream.join('\n'));
  await succeed('sh', ['-c', 'exec git -C "$1" fast-import --quiet < "$2"', 'sh', path, file]);
}
