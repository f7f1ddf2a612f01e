/** scripts/hgweb.cgi by itself, for repositories that have been changed since the bridge has looked at them. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import {
  appendFile,
  chown,
  cp,
  mkdir,
  readdir,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { before, beforeEach, describe, it } from 'node:test';

import { type HgwebRequest, type HgwebResponse, hgwebScript, runHgweb, runPython } from '../helpers/hgweb.js';
import { hg, makeRepository } from '../helpers/mercurial.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let root: string;
let repos: string;

const secret = 'TOP-SECRET';
const hgrc = (description: string): string => `[web]\ndescription = ${description}\nallow-archive = zip\n`;

before(async () => {
  root = await temporaryDirectory();
  repos = join(root, 'repos');
  await makeRepository(join(root, 'secret'), { file: secret }, hgrc(secret));
  await makeRepository(join(root, 'mine'), { file: 'mine' }, hgrc('shown'));
});

beforeEach(async () => {
  await rm(repos, { recursive: true, force: true });
  await mkdir(repos);
});

/** A repository at this path below the others. */
async function make(name: string): Promise<void> {
  await cp(join(root, 'mine'), join(repos, name), { recursive: true });
}

/** A repository r with a link in the place of a part of it. */
async function swap(name: string, part: string): Promise<void> {
  await make(name);
  await rm(join(repos, name, part), { recursive: true, force: true });
  await symlink(join(root, 'secret', part), join(repos, name, part));
}

const file = '/raw-file/tip/file';

function page(name: string, pathInfo: string, query = '', before = ''): HgwebRequest {
  const bytes = Buffer.from(name).toString('latin1');
  const variables = { SCRIPT_NAME: `/${bytes}`, PATH_INFO: pathInfo, QUERY_STRING: query };
  return { args: ['repository', join(repos, bytes), bytes, bytes], before, variables };
}

/** The list, of repositories that are published under the names of their directories. */
function list(...names: readonly string[]): HgwebRequest {
  const pairs = names.map((name) => `${name}\0${join(repos, name)}\0`).join('');
  const input = Buffer.from(pairs).toString('latin1');
  return { args: ['index', '/static/'], input, variables: { SCRIPT_NAME: '', PATH_INFO: '/' } };
}

async function responses(...requests: readonly HgwebRequest[]): Promise<readonly HgwebResponse[]> {
  return runHgweb(repos, requests);
}

async function response(request: HgwebRequest): Promise<HgwebResponse> {
  const [only = assert.fail()] = await responses(request);
  return only;
}

/** As on a system that does not tell where an open file lies. */
const withoutProc = `
def readlink(path, *arguments, readlink=os.readlink, **named):
    if os.fsencode(path).startswith(b'/proc/'): raise OSError('no /proc')
    return readlink(path, *arguments, **named)
os.readlink = readlink`;

for (const [system, before] of [
  ['that tells where an open file lies', ''],
  ['that does not', withoutProc],
] as const) {
  describe(`On a system ${system}, hgweb`, () => {
    it('shows a repository, also through links that lead to what is inside', async () => {
      await make('a/one');
      await mkdir(join(repos, 'stores'));
      await rename(join(repos, 'a/one/.hg/store'), join(repos, 'stores/one'));
      await symlink('../../../stores/one', join(repos, 'a/one/.hg/store'));
      assert.match((await response(page('a/one', file, '', before))).stdout, /^Status: 200 [^]*mine$/);
    });

    it('shows nothing from outside, whatever has a link in its place', async () => {
      const parts = ['', '.hg', '.hg/store', '.hg/store/00changelog.i', '.hg/store/00manifest.i'];
      const audited = ['.hg/store/data', '.hg/store/data/file.i'];
      const all = [...parts, ...audited].map((part, index) => [`r${String(index)}`, part] as const);
      for (const [name, part] of all) await swap(name, part);
      const said = await responses(...all.map(([name]) => page(name, file, '', before)));
      for (const [index, { stdout, stderr }] of said.entries()) {
        assert.match(stdout, /^Status: 40[34] /, all[index]?.[1]);
        assert.doesNotMatch(stdout, new RegExp(`${secret}|${root}`));
        if (index >= parts.length) continue;
        assert.match(
          stderr,
          /^hgweb\.cgi: \S+\/(?:repos\/r|secret)\S* is not used: it is \S+\/secret\S*, and --repos is \S+\n/,
        );
      }
    });
  });
}

describe('hgweb, whatever a repository’s owner does meanwhile,', () => {
  it('reads no settings from outside, neither for a page nor for the list', async () => {
    await make('other');
    await swap('r', '.hg/hgrc');
    const [summary, index] = await responses(page('r', '/summary', 'style=gitweb'), list('r', 'other'));
    assert.doesNotMatch(summary?.stdout ?? secret, new RegExp(secret));
    assert.doesNotMatch(index?.stdout ?? secret, new RegExp(secret));
    assert.match(index?.stdout ?? '', /shown/);
  });

  it('includes nothing from outside in settings of somebody’s whom Mercurial does not trust', async (t) => {
    if (process.getuid?.() !== 0) {
      t.skip('nobody else can own a file');
      return;
    }
    for (const [name, owner] of [
      ['r', 65_534],
      ['other', 0],
    ] as const) {
      await make(name);
      await writeFile(join(repos, name, '.hg/hgrc'), `%include ${root}/secret/.hg/hgrc\n`);
      await chown(join(repos, name, '.hg/hgrc'), owner, owner);
    }
    // As where somebody else serves.
    const notOwn = `util.isowner = lambda st: False
util.username = lambda uid=None: b'somebody' if uid is None else b'root'`;
    await make('plain');
    await chown(join(repos, 'plain/.hg/hgrc'), 65_534, 65_534);
    const [untrusted, trusted, ofRoot, plain] = await responses(
      page('r', '/summary', 'style=gitweb'),
      page('other', '/summary', 'style=gitweb'),
      page('other', '/summary', 'style=gitweb', notOwn),
      page('plain', '/summary', 'style=gitweb'),
    );
    assert.match(plain?.stdout ?? '', /^Status: 200 [^]*shown/);
    assert.equal(plain?.stderr, '');
    assert.doesNotMatch(untrusted?.stdout ?? secret, new RegExp(secret));
    for (const shown of [trusted, ofRoot]) assert.match(shown?.stdout ?? '', new RegExp(secret));
  });

  it('lists nothing that lies outside by now, but the rest', async () => {
    await make('other');
    await symlink(join(root, 'secret'), join(repos, 'r'));
    const { stdout } = await response(list('r', 'other'));
    assert.doesNotMatch(stdout, new RegExp(`${secret}|/r/`));
    assert.match(stdout, /shown/);
  });

  it('lists the rest, whatever settings Mercurial fails at', async () => {
    const settings = ['%include a\0b\n', '%include hgrc\n', '[web]\nhidden = maybe\n', '[web\n'];
    const names = settings.map((_, index) => `a${String(index)}`);
    await Promise.all(['mine', ...names].map(make));
    for (const [index, text] of settings.entries())
      await writeFile(join(repos, names[index] ?? '', '.hg/hgrc'), text);
    const [said] = await responses(list(...names, 'mine'));
    assert.match(said?.stdout ?? '', /href="\/mine\/"[^]*<\/html>/);
    assert.match(said?.stderr ?? '', /a2 is not listed: .*web\.hidden/);
  });

  it('reads no gigabyte of settings or requirements, neither for a page nor for the list', async () => {
    const large = ['.hg/requires', '.hg/store/requires', '.hg/hgrc', '.hg/hgrc-not-shared'];
    for (const [index, part] of large.entries()) {
      await make(`r${String(index)}`);
      await writeFile(join(repos, `r${String(index)}`, part), '');
      await truncate(join(repos, `r${String(index)}`, part), 2 ** 30);
    }
    await make('other');
    // The names of many users.
    await writeFile(join(repos, 'other/.hg/hgrc'), `[acl.allow]\n${'** = ann\n'.repeat(10_000)}`);
    const names = large.map((_, index) => `r${String(index)}`);
    const limit = 'import resource; resource.setrlimit(resource.RLIMIT_AS, (2 ** 29, 2 ** 29))';
    const [index, ...said] = await responses(
      { ...list(...names, 'other'), before: limit },
      ...names.map((name) => page(name, file, '', limit)),
    );
    assert.match(index?.stdout ?? '', /^Status: 200 [^]*\/other\/[^]*<\/html>/);
    for (const { stdout, stderr } of said) {
      assert.match(stdout, /^Status: 404 /);
      assert.match(
        stderr,
        /^hgweb\.cgi: \S+(requires is not used: it has 1073741824 bytes; make it at most 65536|hgrc\S* .* 1048576)\n/,
      );
    }
  });

  it('opens no share whose source lies outside by now', async () => {
    const sources = [
      ['shared', `${root}/secret/.hg`],
      ['shared', '../secret/.hg'],
      ['relshared', '../../../secret/.hg'],
      ['relshared', `${root}/secret/.hg`],
    ] as const;
    for (const [index, [requirement, path]] of sources.entries()) {
      await make(`r${String(index)}`);
      await appendFile(join(repos, `r${String(index)}/.hg/requires`), `${requirement}\n`);
      await writeFile(join(repos, `r${String(index)}/.hg/sharedpath`), path);
    }
    const names = sources.map((_, index) => `r${String(index)}`);
    const said = await responses(list(...names), ...names.map((name) => page(name, file)));
    for (const { stdout } of said) assert.doesNotMatch(stdout, new RegExp(`${secret}|/r\\d/`));
    for (const { stdout } of said.slice(1)) assert.match(stdout, /^Status: 404 /);
  });

  it('does not wait at a FIFO', async () => {
    await make('r');
    await rm(join(repos, 'r/.hg/requires'));
    const { stdout } = await response(
      page('r', file, '', `import signal; signal.alarm(20); os.mkfifo('r/.hg/requires')`),
    );
    assert.match(stdout, /^Status: 404 /);
  });

  it('changes and makes nothing outside', async () => {
    await symlink(root, join(repos, 'r'));
    await writeFile(join(root, 'kept'), 'kept');
    await symlink('../kept', join(repos, 'link'));
    await symlink('../made', join(repos, 'dangling'));
    const said = await runPython(
      repos,
      `import os, runpy, signal, sys
script = runpy.run_path(sys.argv[1])
script['Inside']().keep()
def attempt(*names):
    for mode in ('wb', 'ab', 'xb', 'r+b'):
        for name in names:
            try: open(name, mode)
            except (script['Outside'], OSError): pass
attempt(b'r/kept', b'r/made')
# Nobody reads from it.
os.mkfifo('fifo')
signal.alarm(20)
attempt(b'fifo')
# As where the link is put there right after the look for one.
os.path.islink = lambda path: False
attempt(b'link', b'dangling')
open('mine', 'w').write('text')
open('mine', 'a').write(' and more')
print(open('mine').read())`,
      [hgwebScript],
    );
    assert.equal(said, 'text and more\n');
    assert.equal(readFileSync(join(root, 'kept'), 'utf8'), 'kept');
    assert.equal(existsSync(join(root, 'made')), false);
  });

  it('keeps its caches nowhere else', async () => {
    for (const [name, part] of Object.entries({ r: '.hg/cache', other: '.hg/wcache' })) {
      await make(name);
      await rm(join(repos, name, part), { recursive: true, force: true });
      await mkdir(join(root, name));
      await symlink(join(root, name), join(repos, name, part));
    }
    for (const name of ['r', 'other']) {
      const { stdout, stderr } = await response(page(name, '/branches'));
      assert.match(stdout, /^Status: 404 /);
      assert.match(stderr, /cache is not used: it is /);
      assert.deepEqual(await readdir(join(root, name)), []);
    }
  });

  it('gives no file but its own for a largefile', async () => {
    await make('r');
    await writeFile(join(repos, 'r/.hg/hgrc'), '[extensions]\nlargefiles =\n');
    await writeFile(join(root, 'kept'), secret);
    const names = [`${root}/kept`, '../../../kept', '../../r/file', '../requires'];
    const questions = names.flatMap((name) => [`getlfile&sha=${name}`, `statlfile&sha=${name}`]);
    const none = `statlfile&sha=${'0'.repeat(40)}`;
    const said = await responses(...[...questions, none].map((question) => page('r', '', `cmd=${question}`)));
    const known = said.at(-1)?.stdout ?? '';
    for (const { stdout } of said.slice(0, -1)) assert.match(stdout, /^Status: 404 /);
    assert.match(known, /^Status: 200 [^]*\r\n\r\n2\n$/);
  });

  it('tells hg’s clients nothing of what lies outside', async () => {
    const tip = (await hg(['log', '-T', '{node}'], join(root, 'secret'))).trim();
    for (const part of ['store', 'store/00changelog.i', 'bookmarks']) await swap(part, `.hg/${part}`);
    const commands = ['heads', 'getbundle', 'stream_out', 'listkeys&namespace=bookmarks'];
    const said = await responses(
      ...['store', 'store/00changelog.i', 'bookmarks'].flatMap((name) =>
        commands.map((command) => page(name, '', `cmd=${command}`)),
      ),
    );
    for (const { stdout } of said) assert.ok(!stdout.includes(tip) && !stdout.includes(secret), stdout);
  });
});

describe('A repository’s name', () => {
  it('is no pattern and no variable to Mercurial', async () => {
    const odd = [
      '*',
      '**',
      '$HOME',
      '${HOME}',
      '~',
      '~root',
      '%APPDATA%',
      '-h',
      'a\nb',
      '\'"<&',
      'café',
      'index',
    ];
    const names = odd.map((name) => `in/${name}`);
    for (const name of names) await make(name);
    await make('in/unlisted');
    await symlink(join(root, 'secret'), join(repos, 'in/link'));
    const said = await responses(...names.map((name) => page(name, file)), list(...names));
    for (const [index, name] of names.entries()) {
      assert.equal(said[index]?.stdout.split('\r\n\r\n')[1], 'mine', name);
    }
    const index = said.at(-1)?.stdout ?? secret;
    assert.doesNotMatch(index, new RegExp(`${secret}|unlisted`));
    assert.equal(index.match(/<td class="age/g)?.length, names.length);
  });
});

describe('A bundle', () => {
  it('is sent only from the file that the bridge has seen, not from where a link leads, and nobody waits at a FIFO', async () => {
    const [outside, link] = [join(root, 'bundle.hg'), join(root, 'link.hg')];
    await writeFile(outside, 'HG20');
    await rm(link, { force: true });
    await symlink(outside, link);
    const variables = { SCRIPT_NAME: '/bundle.hg' };
    const fifo = join(root, 'fifo');
    const make = `os.mkfifo(${JSON.stringify(fifo)}); import signal; signal.alarm(20)`;
    const [sent, asked, followed, waited] = await responses(
      { args: ['bundle', outside], variables },
      { args: ['bundle', outside], variables: { ...variables, REQUEST_METHOD: 'HEAD' } },
      { args: ['bundle', link], variables },
      { args: ['bundle', fifo], variables, before: make },
    );
    assert.match(sent?.stdout ?? '', /\r\n\r\nHG20$/, sent?.stderr);
    for (const { stdout } of [sent, asked].filter((each) => each !== undefined))
      assert.match(
        stdout,
        /Type: application\/octet-stream\r\nContent-Length: 4\r\nLast-Modified: .* GMT\r\nX-Content-Type-Options: nosniff\r\n/,
      );
    assert.match(asked?.stdout ?? '', /\r\n\r\n$/);
    assert.match(followed?.stdout ?? '', /^Status: 500 /);
    assert.match(followed?.stderr ?? '', /Too many levels of symbolic links/);
    assert.match(waited?.stdout ?? '', /^Status: [^]*\r\n\r\n$/);
  });
});
