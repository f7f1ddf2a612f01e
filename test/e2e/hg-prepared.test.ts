/** hgweb by processes in which a repository is open: each page is the one of a new process, whatever was done before it. */

import assert from 'node:assert/strict';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { ask } from '../helpers/ask.js';
import { hg, makeRepository } from '../helpers/mercurial.js';
import { hgPages } from '../helpers/pages.js';
import { until } from '../helpers/processes.js';
import { type Asked, serveHere } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let root: string;
let repos: string;
let control: string;
let warm: Asked;
let spawn: Asked;

before(async () => {
  root = await temporaryDirectory();
  repos = join(root, 'repos');
  control = join(root, 'control');
  await mkdir(repos);
  const site = ['hg', '--repos', repos, '--trust-remote-user'] as const;
  warm = await serveHere([...site, '--runner', 'warm', '--control', control]);
  spawn = await serveHere(site);
});

/** Pages that prepared processes have answered. */
async function served(): Promise<number> {
  const { stdout } = await ask(control, {
    QUERY_STRING: 'format=json',
    REQUEST_URI: '/?format=json',
    PATH_INFO: '/',
  });
  const { sites } = JSON.parse(stdout.slice(stdout.indexOf('\r\n\r\n') + 4)) as {
    sites: { warm: { fork_servers: { prepared: number }[] } }[];
  };
  return sites.flatMap(({ warm }) => warm.fork_servers).reduce((sum, { prepared }) => sum + prepared, 0);
}

/** A page by its path; without what is of the moment in the bridge's own ones. */
async function page(
  { socket }: Asked,
  path: string,
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const [name = '', query = ''] = path.split('?');
  const { stdout, stderr } = await ask(socket, {
    SCRIPT_NAME: encodeURI(name),
    QUERY_STRING: query,
    SERVER_NAME: 'hg.example.org',
    SERVER_PORT: '80',
    ...more,
  });
  return (stderr + stdout).replace(/[Rr]equest [0-9a-f]+-\d+|Content-Length: \d+/g, '');
}

/** Asks until the page comes from a process in which the repository is open. */
async function ready(path: string, more: Readonly<Record<string, string>> = {}): Promise<void> {
  await until(async () => {
    const before = await served();
    await Promise.all(Array.from({ length: 4 }, () => page(warm, path, more)));
    return (await served()) > before;
  }, 400_000);
}

/** What is done to a repository after it was opened, and a page on which that shows. */
interface Change {
  readonly what: string;
  readonly page: string;
  readonly make?: (path: string) => Promise<unknown>;
  readonly change: (path: string) => Promise<unknown>;
}

const hgrc = (path: string, text: string): Promise<void> => writeFile(join(path, '.hg/hgrc'), text);

const changes: readonly Change[] = [
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
    make: async (path) => makeRepository(`${path}-other`, { a: 'other\n', b: 'b\n' }),
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

describe('hgweb where a repository is open', { timeout: 900_000 }, () => {
  it('answers every kind of page as a new process does', async () => {
    await makeRepository(
      join(repos, 'one'),
      { 'read.me': 'hello\n', 'sub/b': 'b\n' },
      '[web]\nallow-archive = gz\n',
    );
    await ready('/one/log');
    for (const path of Object.keys(hgPages)) {
      if (path.startsWith('static/')) continue;
      const before = await served();
      assert.equal(await page(warm, `/one/${path}`), await page(spawn, `/one/${path}`), path);
      assert.equal((await served()) - before, 1, path);
    }
  });

  it('does so where the changelog is so large that it is mapped to memory', async () => {
    const path = join(repos, 'mapped');
    await makeRepository(path, { a: 'a\n' }, '[experimental]\nmmapindexthreshold = 1\n');
    await ready('/mapped/log');
    assert.equal(await page(warm, '/mapped/log'), await page(spawn, '/mapped/log'));
    await writeFile(join(path, 'a'), 'two\n');
    await hg(['commit', '-m', 'Second changeset'], path);
    assert.match(await page(warm, '/mapped/log'), />Second changeset</);
  });

  it('refuses at each request those that may not read', async () => {
    await makeRepository(join(repos, 'closed'), { a: 'a\n' }, '[web]\nallow_read = ann\n');
    await ready('/closed/log', { REMOTE_USER: 'ann' });
    for (const user of ['ann', 'bob', '', 'ann']) {
      const before = await served();
      const asked = await page(warm, '/closed/log', { REMOTE_USER: user });
      assert.equal(asked, await page(spawn, '/closed/log', { REMOTE_USER: user }));
      assert.equal((await served()) - before, 1);
    }
  });

  for (const [number, { what, page: name, make, change }] of changes.entries()) {
    it(`shows ${what} on the next page`, async () => {
      const path = join(repos, `changed${String(number)}`);
      const url = `/changed${String(number)}/${name}`;
      await makeRepository(path, { a: 'a\n' });
      await make?.(path);
      await ready(url);
      const earlier = await page(spawn, url);
      assert.equal(await page(warm, url), earlier);
      await change(path);
      const now = await page(warm, url);
      assert.notEqual(now, earlier);
      assert.equal(now, await page(spawn, url));
    });
  }

  it('answers while changesets come and go', async () => {
    const path = join(repos, 'busy');
    await makeRepository(path, { a: 'a\n' });
    for (let count = 0; count < 8; count++) {
      if (count % 4 === 0) await ready('/busy/log');
      const pages = Array.from({ length: 4 }, () => page(warm, '/busy/log'));
      await writeFile(join(path, 'a'), String(count));
      await hg(['commit', '-m', `Changeset ${String(count)}`, '-d', '1600000001 0'], path);
      assert.match(await page(warm, '/busy/log'), new RegExp(`>Changeset ${String(count)}<`));
      for (const text of await Promise.all(pages)) assert.match(text, /First changeset|Changeset \d/);
    }
  });
});
