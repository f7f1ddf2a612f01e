/** scripts/hgweb.cgi by itself: what Mercurial's own hgweb would fail at, or would do differently. */

import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { findMercurial } from '../../src/sites/hg/installation.js';
import { runToEnd } from '../helpers/command.js';
import {
  cgiEnvironment,
  type HgwebRequest,
  type HgwebResponse,
  hgwebScript,
  runHgweb,
} from '../helpers/hgweb.js';
import { hg, makeRepository } from '../helpers/mercurial.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let repos: string;

before(async () => {
  repos = join(await temporaryDirectory(), 'repos');
  const files = {
    'utf8.txt': 'gr\u{fc}\u{df}e\n',
    'latin1.txt': Buffer.from('gr\xfc\xdfe\n', 'latin1'),
    'page.html': '<p>\n',
  };
  await makeRepository(join(repos, 'one'), files, '[web]\nguessmime = yes\n');
  await hg(['bookmark', 'bm-ä'], join(repos, 'one'));
});

interface Asked {
  readonly path?: string;
  readonly variables?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly config?: string;
}

function ask(name: string, { path = '', variables = {}, input, config = '' }: Asked): HgwebRequest {
  const [pathInfo = '', query = ''] = path.split('?');
  const own = config === '' ? {} : { FCGI2CGI_HGWEB_CONFIG: config };
  return {
    args: ['repository', join(repos, name), name, name],
    variables: { SCRIPT_NAME: `/${name}`, PATH_INFO: pathInfo, QUERY_STRING: query, ...own, ...variables },
    ...(input === undefined ? {} : { input }),
  };
}

async function said(...requests: readonly HgwebRequest[]): Promise<readonly HgwebResponse[]> {
  return runHgweb(repos, requests);
}

/** The value of a header's field. */
function field(name: string, { stdout }: HgwebResponse): string | undefined {
  const [header = ''] = stdout.split('\r\n\r\n');
  return new RegExp(`^${name}: (.*)$`, 'im').exec(header.replaceAll('\r', ''))?.[1];
}

describe('Names that are not ASCII', () => {
  it('are searched and looked up, however they are encoded', async () => {
    const answers = await said(
      ask('one', { path: '/log?rev=gr%C3%BCn' }),
      ask('one', { path: '/log?rev=gr\xc3\xbcn' }),
      ask('one', { path: '/log?rev=%FF' }),
      ask('one', { path: '?cmd=lookup', variables: { HTTP_X_HGARG_1: 'key=bm-%C3%A4' } }),
      ask('one', { path: '?cmd=lookup&key=bm-%C3%A4' }),
    );
    for (const { stdout, stderr } of answers) assert.match(stdout, /^Status: 200 /, stderr);
    for (const { stdout } of answers.slice(-2)) assert.match(stdout, /\r\n\r\n1 [0-9a-f]{40}\n$/);
  });
});

describe('A raw file', () => {
  it('is said to be in the encoding of the pages only where its bytes are, and never guessed at', async () => {
    const names = ['utf8.txt', 'latin1.txt', 'page.html'];
    const answers = await said(...names.map((name) => ask('one', { path: `/raw-file/tip/${name}` })));
    const types = answers.map((answer) => field('Content-Type', answer));
    assert.deepEqual(types, ['text/plain; charset="UTF-8"', 'text/plain', 'text/html; charset="UTF-8"']);
    for (const answer of answers) assert.equal(field('X-Content-Type-Options', answer), 'nosniff');
  });
});

describe('Extensions that keep files in a cache of the user’s', () => {
  it('keep them in the repository, where no home can be written to', async () => {
    const config = join(repos, '../large');
    await writeFile(config, '[extensions]\nlfs =\nlargefiles =\n[web]\nallow-push = *\npush_ssl = no\n');
    await makeRepository(join(repos, 'large'), { a: 'a' });
    await makeRepository(join(repos, 'other'), { a: 'a' });
    const sha1 = 'a9993e364706816aba3e25717850c26c9cd0d89d';
    const sha256 = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    const variables = { HOME: '/proc/nowhere', CONTENT_LENGTH: '3', REMOTE_USER: 'ann' };
    const put = { ...variables, REQUEST_METHOD: 'PUT' };
    const post = { ...variables, REQUEST_METHOD: 'POST', CONTENT_TYPE: 'application/mercurial-0.1' };
    const known = { variables: { HOME: '/proc/nowhere' }, config };
    const [largefile, lfs, gotLargefile, gotLfs, ofOther] = await said(
      ask('large', { path: `?cmd=putlfile&sha=${sha1}`, variables: post, input: 'abc', config }),
      ask('large', { path: `/.hg/lfs/objects/${sha256}`, variables: put, input: 'abc', config }),
      ask('large', { path: `?cmd=getlfile&sha=${sha1}`, ...known }),
      ask('large', { path: `/.hg/lfs/objects/${sha256}`, ...known }),
      ask('other', { path: `?cmd=statlfile&sha=${sha1}`, ...known }),
    );
    assert.match(largefile?.stdout ?? '', /\r\n\r\n0\n$/, largefile?.stderr);
    assert.match(lfs?.stdout ?? '', /^Status: 201 /, lfs?.stderr);
    assert.match(gotLargefile?.stdout ?? '', /\r\n\r\n3\nabc$/, gotLargefile?.stderr);
    assert.match(gotLfs?.stdout ?? '', /\r\n\r\nabc$/, gotLfs?.stderr);
    assert.match(ofOther?.stdout ?? '', /\r\n\r\n2\n$/, ofOther?.stderr);
    assert.equal(await readFile(join(repos, 'large/.hg/largefiles', sha1), 'latin1'), 'abc');
    const objects = join(repos, 'large/.hg/store/lfs/objects');
    assert.deepEqual(await readdir(join(objects, sha256.slice(0, 2))), [sha256.slice(2)]);
  });
});

describe('A request that Mercurial would fail at', () => {
  const config = (): string => join(repos, '../extensions');
  const oid = 'a'.repeat(64);
  const batch = (input: string): Asked => ({
    path: '/.git/info/lfs/objects/batch',
    input,
    variables: {
      ...{ REQUEST_METHOD: 'POST', CONTENT_LENGTH: String(input.length) },
      CONTENT_TYPE: 'application/vnd.git-lfs+json',
      HTTP_ACCEPT: 'application/vnd.git-lfs+json',
    },
  });
  before(() => writeFile(config(), '[extensions]\nlfs =\nlargefiles =\n'));

  it('is answered with 400, and the log says in one line what is wrong with it', async () => {
    const post = { REQUEST_METHOD: 'POST', CONTENT_LENGTH: '0' };
    const wrong: readonly (readonly [Asked, RegExp])[] = [
      ...(
        [
          ['?cmd=lookup', /has no value for b'key'|KeyError\(.*key/],
          ['?cmd=known&nodes=zz', /Error\(.*hexadecimal.* of b'known'/],
          ['?cmd=known&nodes=x', /Error\(.*Odd-length.* of b'known'/],
          ['?cmd=between&pairs=', /ValueError\(.* of b'between'/],
          [`?cmd=branches&nodes=${'a'.repeat(40)}`, /LookupError\(.* of b'branches'/],
          ['?cmd=batch', /cmds/],
          ['?cmd=batch&cmds=x%20y%3Dz', /KeyError\(.* of b'batch'/],
          ['?cmd=batch&cmds=heads', /ValueError\(.* of b'batch'/],
          ['?cmd=getbundle&cg=x', /ValueError\(.*unsupported getbundle arguments.* of b'getbundle'/],
          ['?cmd=getlfile', /has no value for b'sha'|KeyError\(.*sha/],
          ['/log?cmd=archive', /it has no value for b'node'/],
          ['/log?cmd=static', /it has no value for b'file'/],
          ['/branches?style=%00', /no name of a file/],
        ] as const
      ).map(([path, line]) => [{ path }, line] as const),
      [{ path: '?cmd=lookup', variables: { ...post, HTTP_X_HGARGS_POST: 'x' } }, /ValueError\(.*b'lookup'/],
      [{ path: '?cmd=lookup', variables: { ...post, CONTENT_LENGTH: 'x' } }, /ValueError\(/],
      [batch(''), /JSONDecodeError\(/],
      [batch('[]'), /AttributeError\(/],
      [
        batch('{"operation":"download","objects":[{"oid":"../x"}],"transfers":["basic"]}'),
        /lfs path: \.\.\/x/,
      ],
    ];
    const answers = await said(...wrong.map(([asked]) => ask('one', { ...asked, config: config() })));
    for (const [index, { stdout, stderr }] of answers.entries()) {
      const [asked, line = /^$/] = wrong[index] ?? [];
      const seen = `${JSON.stringify(asked)}: ${stdout}${stderr}`;
      assert.match(
        stdout,
        /^Status: 400 Bad Request\r\n[^]*\r\n\r\nMercurial does not understand this /,
        seen,
      );
      assert.match(stderr, /^hgweb\.cgi: a request is malformed: .*\n$/, seen);
      assert.match(stderr, line, seen);
    }
  });

  it('is answered with 404 where there is no such object', async () => {
    const objects = [oid, 'x', `..%2F${oid}`].map((name) => `/.hg/lfs/objects/${name}`);
    const paths = [...objects, `?cmd=getlfile&sha=${'a'.repeat(40)}`];
    for (const { stdout, stderr } of await said(
      ...paths.map((path) => ask('one', { path, config: config() })),
    )) {
      assert.match(stdout, /^Status: 404 /, stderr);
      assert.equal(stderr, '');
    }
  });
});

describe('A revision or file that is not there', () => {
  it('is answered with 404 where an extension has it looked up later than hgweb does', async () => {
    const config = join(repos, '../keyword');
    await writeFile(config, '[extensions]\nkeyword =\n[keyword]\n** =\n');
    for (const path of ['/rev/none', '/annotate/tip/none']) {
      const [{ stdout, stderr } = assert.fail()] = await said(ask('one', { path, config }));
      assert.match(stdout, /^Status: 404 /, stderr);
      assert.match(stderr, /^hgweb\.cgi: .*\n$/);
    }
  });
});

describe('A hook', () => {
  it('knows the home of the user who serves, unless it is told another', async () => {
    await makeRepository(join(repos, 'hooked'), { a: 'a' });
    const hook = join(repos, '../hook');
    await writeFile(hook, '[hooks]\nprelistkeys = echo "home $HOME" >&2\n');
    const path = '?cmd=listkeys&namespace=bookmarks';
    const answers = await said(
      ask('hooked', { path, config: hook }),
      ask('hooked', { path, config: hook, variables: { HOME: '/elsewhere' } }),
    );
    assert.match(answers[0]?.stderr ?? '', new RegExp(`^home ${homedir()}$`, 'm'));
    assert.match(answers[1]?.stderr ?? '', /^home \/elsewhere$/m);
  });
});

describe('The list with web.collapse', () => {
  it('has the groups of repositories, by the names of their markers too', async () => {
    await mkdir(join(repos, 'group'));
    for (const name of ['group/two', 'group/three']) await makeRepository(join(repos, name), { a: 'a' });
    const config = join(repos, '../collapse');
    await writeFile(config, '[web]\ncollapse = yes\n');
    const lists = ['', '.hg'].map((suffix) => {
      const names = ['group/three', 'group/two', 'one'];
      return {
        args: ['index', '/static/'],
        input: names.map((name) => `${name}${suffix}\0${join(repos, name)}\0`).join(''),
        variables: { SCRIPT_NAME: '', PATH_INFO: '/', FCGI2CGI_HGWEB_CONFIG: config },
      };
    });
    const shown = (await said(...lists)).map(({ stdout }) =>
      [...stdout.matchAll(/<td><a href="([^"]*)">/g)].map((match) => match[1]),
    );
    assert.deepEqual(shown, [
      ['/group/', '/one/'],
      ['/group/', '/one.hg/'],
    ]);
  });
});

describe('A page that fails in its middle', () => {
  it('ends with status 1, and the log says what was missing', async () => {
    const path = join(repos, 'damaged');
    await makeRepository(path, { a: 'a\n', b: 'b\n' }, '[web]\nallow-archive = gz\n');
    await rm(join(path, '.hg/store/data/b.i'));
    const { python } = await findMercurial('hg');
    const { args, variables } = ask('damaged', { path: '/archive/tip.tar.gz' });
    const env = { ...cgiEnvironment, ...variables };
    const { status, stdout, stderr } = await runToEnd(python, ['-B', hgwebScript, ...args], {
      cwd: repos,
      env,
    });
    assert.match(stdout, /^Status: 200 /);
    // Python 3.13 says something of its own, too.
    assert.match(stderr, /^hgweb\.cgi: LookupError: (?:data\/)?b(?:\.i)?@\w+: no (?:match|node)/m);
    assert.equal(status, 1);
  });
});
