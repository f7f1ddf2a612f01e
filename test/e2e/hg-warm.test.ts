/**
 * hgweb by fork servers, before and after they have learned, and by processes in which a repository is open: each page is
 * the one of a new process, whatever was done before it.
 */

import assert from 'node:assert/strict';
import { chmod, cp, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { fromText } from '../../src/base/bytes.js';
import type { Invocation } from '../../src/cgi/invocation.js';
import type { StartScript } from '../../src/runners/process-runner.js';
import { findMercurial } from '../../src/sites/hg/installation.js';
import { type Site, resolveRequest } from '../../src/sites/site.js';
import { ask } from '../helpers/ask.js';
import { type Ended, runToEnd } from '../helpers/command.js';
import { makeSite } from '../helpers/hg-invocation.js';
import { hgwebScript } from '../helpers/hgweb.js';
import { hg, makeRepository } from '../helpers/mercurial.js';
import { hgPages } from '../helpers/pages.js';
import { childrenOf, mappedBy, until } from '../helpers/processes.js';
import { serve, type Served } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { pagesAt } from '../helpers/verified.js';
import { type Page, pageOf, runBy, spawned, Warm } from '../helpers/warm.js';

/** What has changed so short a time ago may change again and look the same: nothing gets ready for it. */
const SETTLED_MS = 150;
/** More than it mostly takes to get ready. */
const READY_MS = 300;

let root: string;
let repos: string;
let python: string;
let site: Site;
let warm: Warm;

before(async () => {
  root = await temporaryDirectory();
  repos = join(root, 'repos');
  await mkdir(repos);
  const mercurial = await findMercurial('hg');
  ({ python } = mercurial);
  const base = new Map([['PATH', process.env['PATH'] ?? '']]);
  site = await makeSite({ repos, trustRemoteUser: true, mercurial, hgwebScript, base });
  warm = new Warm();
  const files = { 'read.me': 'hello\n', 'sub/b': 'b\n' };
  await makeRepository(join(repos, 'one'), files, '[web]\nallow-archive = gz\n');
  await makeRepository(join(repos, 'group/two'), { a: 'a\n' });
  for (const number of changes.keys())
    await cp(join(repos, 'group/two'), pathOf(number), { recursive: true });
});

const pathOf = (number: number): string => join(repos, `changed${String(number)}`);

type Params = Readonly<Record<string, string>>;

/** What the site would run for a page, by its path and query; a refusal as the page that it is. */
async function invocationOf(path: string, more: Params = {}): Promise<Invocation | Page> {
  const [name = '', query = ''] = path.split('?');
  const server = { REQUEST_METHOD: 'GET', SERVER_NAME: 'hg.example.org', SERVER_PORT: '80' };
  const params = { ...server, SCRIPT_NAME: name, QUERY_STRING: query, ...more };
  const resolution = await resolveRequest(site, Object.entries(params));
  if (resolution.kind === 'run') return resolution.invocation;
  assert.equal(resolution.kind, 'refuse');
  const { status, reason } = resolution.refusal;
  return { status, stdout: reason, stderr: '', exit: undefined };
}

/** A page, by a new process or by one of a fork server. */
async function page(start: StartScript, path: string, more: Params = {}): Promise<Page> {
  const invocation = await invocationOf(path, more);
  return 'file' in invocation ? pageOf(await runBy(start, invocation)) : invocation;
}

/** Pages that processes have made in which a repository was open. */
function prepared(): number {
  return warm.scripts.status().forkServers.reduce((sum, { prepared }) => sum + prepared, 0);
}

/** Asks until the page comes from a process in which the repository is open; gives that page. */
async function ready(path: string, more: Params = {}): Promise<Page> {
  await delay(SETTLED_MS);
  // What is asked twice is worth it, and what is asked meanwhile takes its time.
  for (let pauseMs = 0; ; pauseMs = READY_MS) {
    const before = prepared();
    const seen = await page(warm.scripts.start, path, more);
    if (prepared() > before) return seen;
    await delay(pauseMs);
  }
}

/** What is done to a repository after it was opened, and a page on which that shows. */
interface Change {
  readonly what: string;
  readonly page: string;
  readonly make?: (path: string) => Promise<unknown>;
  readonly change: (path: string) => Promise<unknown>;
}

const hgrc = (path: string, text: string): Promise<void> => writeFile(join(path, '.hg/hgrc'), text);

/** A style of the repository's own, one template of which is another one than usual. */
async function makeStyle(path: string): Promise<void> {
  const style = join(path, '.hg/styles/own');
  await mkdir(style, { recursive: true });
  await writeFile(join(style, 'map'), '__base__ = paper\ntags = tags.tmpl\n');
  await writeFile(join(style, 'tags.tmpl'), 'before\n');
  await hgrc(path, `[web]\ntemplates = ${dirname(style)}\nstyle = own\n`);
}

const changes: readonly Change[] = [
  {
    what: 'a template',
    page: 'tags',
    make: makeStyle,
    change: (path) => writeFile(join(path, '.hg/styles/own/tags.tmpl'), 'after.\n'),
  },
  {
    what: 'another text in place of a template',
    page: 'tags',
    make: makeStyle,
    change: (path) => writeFile(join(path, '.hg/styles/own/map'), `__base__ = paper\ntags = 'after'\n`),
  },
  {
    what: 'a commit',
    page: 'log',
    change: async (path) => {
      await writeFile(join(path, 'a'), 'two\n');
      await hg(['commit', '-m', 'Second changeset', '-d', '1600000001 0'], path);
    },
  },
  {
    what: 'a strip',
    page: 'log',
    make: async (path) => {
      await writeFile(join(path, 'a'), 'two\n');
      await hg(['commit', '-m', 'Second changeset', '-d', '1600000001 0'], path);
    },
    change: (path) => hg(['--config', 'extensions.strip=', 'strip', '-q', 'tip'], path),
  },
  {
    what: 'a phase that makes a changeset secret',
    page: 'log',
    change: (path) => hg(['phase', '--force', '--secret', 'tip'], path),
  },
  { what: 'a bookmark', page: 'bookmarks', change: (path) => hg(['bookmark', 'marked'], path) },
  { what: 'a tag', page: 'tags', change: (path) => hg(['tag', '-d', '1600000001 0', 'tagged'], path) },
  {
    what: 'another name in hgrc',
    page: '',
    make: (path) => hgrc(path, '[web]\nname = before\n'),
    change: (path) => hgrc(path, '[web]\nname = after.\n'),
  },
  {
    what: 'a first hgrc',
    page: '',
    make: (path) => rm(join(path, '.hg/hgrc')),
    change: (path) => hgrc(path, '[web]\nname = here\n'),
  },
  {
    what: 'another text in what hgrc includes',
    page: '',
    make: async (path) => {
      await writeFile(join(path, '.hg/more'), '[web]\nname = before\n');
      await hgrc(path, '%include more\n');
    },
    change: (path) => writeFile(join(path, '.hg/more'), '[web]\nname = after.\n'),
  },
  {
    what: 'a file that hgrc includes and that was missing',
    page: '',
    make: (path) => hgrc(path, '%include more\n'),
    change: (path) => writeFile(join(path, '.hg/more'), '[web]\nname = here\n'),
  },
  {
    what: 'an extension',
    page: '?cmd=capabilities',
    change: (path) => hgrc(path, '[extensions]\nlargefiles =\n'),
  },
  {
    what: 'a reader that is refused',
    page: 'log',
    change: (path) => hgrc(path, '[web]\ndeny_read = *\n'),
  },
  {
    what: 'another repository by its name',
    page: 'log',
    make: (path) => makeRepository(`${path}-other`, { a: 'other\n', b: 'b\n' }),
    change: async (path) => {
      await rename(path, `${path}-old`);
      await rename(`${path}-other`, path);
    },
  },
  {
    what: 'that it is gone',
    page: 'log',
    change: (path) => rm(path, { recursive: true }),
  },
  {
    what: 'a link to the outside in its place',
    page: 'log',
    change: async (path) => {
      await rename(path, join(root, 'outside'));
      await symlink(join(root, 'outside'), path);
    },
  },
  {
    what: 'a store that leads to the outside',
    page: 'log',
    change: async (path) => {
      await rename(join(path, '.hg/store'), join(root, 'store'));
      await symlink(join(root, 'store'), join(path, '.hg/store'));
    },
  },
];

/** The first page after a change writes a cache under a lock, which is another time of the directory that ETags tell of. */
const withoutETag = (made: Page): Page => ({ ...made, stdout: made.stdout.replace(/^ETag: .*\r\n/m, '') });

/** Each kind of page, as a new process has made it. */
const fresh = new Map<string, Page>();

describe('hgweb by fork servers', { timeout: 300_000 }, () => {
  it('answers every kind of page as a new process does, before and after it has learned', async () => {
    const lists = { '/': 200, '/group/': 200, '/index.fcgi/static/mercurial.js': 200 };
    for (const [path, status] of Object.entries({ ...pagesAt('/one/', hgPages), ...lists })) {
      const invocation = await invocationOf(path);
      assert.ok('file' in invocation, path);
      const made = await warm.compared(invocation, path);
      assert.equal(made.status, status, path);
      fresh.set(path, made);
    }
  });

  it('does so where the repository is open', async () => {
    await ready('/one/log');
    for (const [path, expected] of fresh) {
      if (!path.startsWith('/one/') || path.includes('/static/')) continue;
      const before = prepared();
      assert.deepEqual(await page(warm.scripts.start, path), expected, path);
      assert.equal(prepared() - before, 1, path);
    }
  });

  it('does so where the changelog is so large that it is mapped to memory', async () => {
    const path = join(repos, 'mapped');
    await makeRepository(path, { a: 'a\n' }, '[experimental]\nmmapindexthreshold = 1\n');
    await ready('/mapped/log');
    assert.deepEqual(await page(warm.scripts.start, '/mapped/log'), await page(spawned, '/mapped/log'));
    await writeFile(join(path, 'a'), 'two\n');
    await hg(['commit', '-m', 'Second changeset'], path);
    assert.match((await page(warm.scripts.start, '/mapped/log')).stdout, />Second changeset</);
  });

  it('refuses at each request those that may not read', async () => {
    await makeRepository(join(repos, 'closed'), { a: 'a\n' }, '[web]\nallow_read = ann\n');
    await ready('/closed/log', { REMOTE_USER: 'ann' });
    for (const user of ['ann', 'bob', '', 'ann']) {
      const before = prepared();
      const asked = await page(warm.scripts.start, '/closed/log', { REMOTE_USER: user });
      assert.deepEqual(asked, await page(spawned, '/closed/log', { REMOTE_USER: user }));
      assert.equal(prepared() - before, 1);
    }
  });

  it('has read the templates of an open repository before its request, if somebody has asked for a page', async () => {
    const invocation = await invocationOf('/one/log');
    assert.ok('file' in invocation);
    const { file, args, directory: cwd, variables } = invocation;
    const words = [file, ...args];
    const own = words.slice(words.findIndex((word) => word.endsWith('.cgi')));
    const env = Object.fromEntries(variables);
    const driver = `import os, sys
_, modules, *sys.argv = sys.argv
import mercurial
if modules: import mercurial.templater
read = []
def hear(event, given):
    if event == 'open' and os.fsencode(given[0]).endswith(b'.tmpl'): read.append(given[0])
class Hook:
    def compute(self, function): return function()
    def __call__(self): sys.addaudithook(hear)
with open(sys.argv[0]) as file: code = file.read()
exec(code, {'__name__': '__main__', '__prepared__': Hook()})
print(len(read), file=sys.stderr)`;
    const run = (modules: string): Promise<Ended> =>
      runToEnd(python, ['-c', driver, modules, ...own], { cwd, env });
    const { stdout, stderr } = await run('');
    assert.match(stderr, /^[1-9]\d*\n$/);
    assert.deepEqual(await run('templater'), { status: 0, stdout, stderr: '0\n' });
  });

  for (const [number, { what, page: name, make, change }] of changes.entries()) {
    it(`shows ${what} on the next page`, async () => {
      const path = pathOf(number);
      const url = `/changed${String(number)}/${name}`;
      await make?.(path);
      // By a process that has opened the repository itself.
      const earlier = await page(warm.scripts.start, url);
      await ready(url);
      assert.deepEqual(await page(warm.scripts.start, url), earlier);
      await change(path);
      const now = await page(warm.scripts.start, url);
      assert.notDeepEqual(now, earlier);
      const made = await page(spawned, url);
      assert.deepEqual(withoutETag(now), withoutETag(made));
      assert.deepEqual(await page(warm.scripts.start, url), made);
    });
  }

  it('answers while changesets come and go', async () => {
    const path = join(repos, 'busy');
    await makeRepository(path, { a: 'a\n' });
    for (let count = 0; count < 8; count++) {
      if (count % 4 === 0) await ready('/busy/log');
      const pages = Array.from({ length: 4 }, () => page(warm.scripts.start, '/busy/log'));
      await writeFile(join(path, 'a'), String(count));
      await hg(['commit', '-m', `Changeset ${String(count)}`, '-d', '1600000001 0'], path);
      const { stdout } = await page(warm.scripts.start, '/busy/log');
      assert.match(stdout, new RegExp(`>Changeset ${String(count)}<`));
      for (const { stdout } of await Promise.all(pages)) assert.match(stdout, /First changeset|Changeset \d/);
    }
  });

  it('runs hg in a script that has set its arguments before it imports Mercurial', async () => {
    const script = join(await temporaryDirectory(), 'hg.cgi');
    await writeFile(
      script,
      `#!${python}
import os, sys
from urllib.parse import unquote
print('Content-Type: text/plain\\n', flush=True)
os.dup2(1, 2)
os.environ['HGRCPATH'] = os.devnull
os.environ['HGPLAIN'] = '1'
sys.argv = ['hg', *map(unquote, os.environ['QUERY_STRING'].split('&'))]
os.chdir('${join(repos, 'one')}')
from mercurial import dispatch
dispatch.run()
`,
    );
    await chmod(script, 0o755);
    for (const words of ['log&-T{rev}%5cn', 'cat&-r0&read.me', 'version&-q', 'nothing']) {
      const variables = new Map([
        ['PATH', process.env['PATH'] ?? ''],
        ['QUERY_STRING', words],
      ]);
      const invocation = { file: fromText(script), args: [], directory: '/', variables };
      await warm.compared(invocation, words);
    }
  });
});

describe('hg with --runner warm', { timeout: 300_000 }, () => {
  let control: string;
  let served: Served;
  const request = { SCRIPT_NAME: '/one/', SERVER_NAME: 'hg.example.org', SERVER_PORT: '80' };

  before(async () => {
    control = join(root, 'control');
    served = await serve(['hg', '--repos', repos, '--runner', 'warm', '--control', control]);
  });

  it('has Mercurial loaded in the fork server, once it has learned', async () => {
    const isLearned = /fork server is ready.*modules=[1-9]/;
    await until(async () => {
      await ask(served.socket, request);
      return isLearned.test(served.log());
    });
    const isLoaded = (pid: number): boolean => mappedBy(pid).includes('mercurial/cext/parsers');
    await until(() => childrenOf(served.process.pid ?? 0).some(isLoaded));
  });

  it('has a repository open in a process, as its status says', async () => {
    const params = { QUERY_STRING: 'format=json', REQUEST_URI: '/?format=json', PATH_INFO: '/' };
    await until(async () => {
      await ask(served.socket, request);
      const { stdout } = await ask(control, params);
      const { sites } = JSON.parse(stdout.slice(stdout.indexOf('\r\n\r\n') + 4)) as {
        sites: { warm: { fork_servers: { prepared: number }[] } }[];
      };
      return sites.some(({ warm }) => warm.fork_servers.some(({ prepared }) => prepared > 0));
    });
  });

  it('ends its fork server with the daemon', async () => {
    assert.match((await ask(served.socket, request)).stdout, /First changeset/);
    const [server = 0] = childrenOf(served.process.pid ?? 0);
    assert.ok(server > 0);
    assert.equal(await served.stop(), 0);
    await until(() => childrenOf(server).length === 0);
    assert.throws(() => process.kill(server, 0), { code: 'ESRCH' });
  });
});
