import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';

import { fromText } from '../../src/base/bytes.js';
import { realPath } from '../../src/sites/contain.js';
import { directorySite } from '../../src/sites/directory.js';
import { makeTree } from '../helpers/file-tree.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const program = { content: '#!/bin/sh\n', mode: 0o755 };

let root: string;

beforeEach(async () => {
  root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
  await makeTree(root, {
    'cgi/a.cgi': program,
    'cgi/sub/b.cgi': program,
    'cgi/caf\xe9.cgi': program,
    'cgi/plain': { content: 'x', mode: 0o644 },
    'cgi/alias.cgi': { link: 'sub/b.cgi' },
    'cgi/out.cgi': { link: '../outside/evil.cgi' },
    'cgi/outside': { link: '../outside' },
    'cgi/packaged.cgi': { link: '../shared/packaged.cgi' },
    'shared/packaged.cgi': program,
    'outside/evil.cgi': program,
    'cgi-private/evil.cgi': program,
  });
});

type Params = Readonly<Record<string, string>>;

/** What the params run, as its path below `root` and its variables, or the refusal's status and reason. */
async function resolved(
  params: Params,
): Promise<{ run: string; variables: Params } | { refused: string; detail: string }> {
  const site = await directorySite({
    roots: [`${root}/cgi`, `${root}/shared`],
    base: new Map(),
    administrator: new Map([['OURS', '1']]),
  });
  const resolution = await site.resolve(Object.entries(params));
  if (resolution.kind === 'refuse') {
    const { status, reason, detail = '' } = resolution.refusal;
    return { refused: `${String(status)} ${reason}`, detail };
  }
  assert.equal(resolution.kind, 'run');
  const { file, directory, args, variables } = resolution.invocation;
  assert.equal(directory, file.replace(/\/[^/]*$/, ''));
  assert.deepEqual(args, []);
  return { run: file.slice(root.length), variables: Object.fromEntries(variables) };
}

async function runs(params: Params, path: string, variables: Params = {}): Promise<void> {
  const actual = await resolved(params);
  assert.equal('run' in actual ? actual.run : actual.refused, path);
  assert.ok('run' in actual);
  assert.deepEqual(actual.variables, { GATEWAY_INTERFACE: 'CGI/1.1', OURS: '1', ...params, ...variables });
}

async function refuses(params: Params, refused: RegExp): Promise<void> {
  const actual = await resolved(params);
  assert.ok('refused' in actual, `${JSON.stringify(params)} ran ${JSON.stringify(actual)}`);
  assert.match(actual.refused, refused);
  assert.ok(!actual.refused.includes(root), 'the page names a path of this machine');
}

const missing = /^404 There is no such script/;
const outside = /^403 The script is not one that may run here/;

describe('The site of a directory', () => {
  it('runs what SCRIPT_FILENAME names, in the script’s own directory', async () => {
    await runs({ SCRIPT_FILENAME: `${root}/cgi/a.cgi` }, '/cgi/a.cgi');
    await runs({ SCRIPT_FILENAME: `${root}/cgi/sub/b.cgi`, PATH_INFO: '/x' }, '/cgi/sub/b.cgi');
    await runs({ SCRIPT_FILENAME: `${root}/cgi/caf\xe9.cgi` }, '/cgi/caf\xe9.cgi');
  });

  it('prefers SCRIPT_FILENAME to DOCUMENT_ROOT and SCRIPT_NAME, but not an empty one', async () => {
    const other = { DOCUMENT_ROOT: `${root}/cgi`, SCRIPT_NAME: '/a.cgi' };
    await runs({ SCRIPT_FILENAME: `${root}/cgi/sub/b.cgi`, ...other }, '/cgi/sub/b.cgi');
    await runs({ SCRIPT_FILENAME: '', ...other }, '/cgi/a.cgi');
  });

  it('finds the script where Apache puts the address of its proxy before it', async () => {
    for (const proxy of [
      'proxy:fcgi://localhost:9000',
      'proxy:fcgi://h',
      'proxy:unix:/run/s|fcgi://localhost',
    ]) {
      const file = `${root}/cgi/a.cgi`;
      await runs({ SCRIPT_FILENAME: proxy + file }, '/cgi/a.cgi', { SCRIPT_FILENAME: file });
    }
  });

  it('follows a symbolic link that stays inside, and runs the real script where it is', async () => {
    await runs({ SCRIPT_FILENAME: `${root}/cgi/alias.cgi` }, '/cgi/sub/b.cgi');
  });

  it('follows a link that leads into another one of its directories', async () => {
    await runs({ SCRIPT_FILENAME: `${root}/cgi/packaged.cgi` }, '/shared/packaged.cgi');
    await runs({ SCRIPT_FILENAME: `${root}/shared/packaged.cgi` }, '/shared/packaged.cgi');
    const { detail } = (await resolved({ SCRIPT_FILENAME: `${root}/cgi/out.cgi` })) as { detail: string };
    assert.match(detail, /cgi\/out\.cgi leads to .*\/outside\/evil\.cgi, which lies outside --root$/);
  });

  it('takes a document root with or without a slash, and a path without one, as fcgiwrap does', async () => {
    for (const DOCUMENT_ROOT of [`${root}/cgi`, `${root}/cgi/`]) {
      for (const SCRIPT_NAME of ['sub/b.cgi', '/sub/b.cgi']) {
        await runs({ DOCUMENT_ROOT, SCRIPT_NAME }, '/cgi/sub/b.cgi');
        await runs({ DOCUMENT_ROOT, SCRIPT_NAME: `${SCRIPT_NAME}/x` }, '/cgi/sub/b.cgi', {
          SCRIPT_NAME,
          PATH_INFO: '/x',
          SCRIPT_FILENAME: `${root}/cgi/sub/b.cgi`,
        });
      }
    }
    await runs({ DOCUMENT_ROOT: '', SCRIPT_NAME: `${root}/cgi/a.cgi` }, '/cgi/a.cgi');
  });

  it('finds where in the URI’s path the script ends and PATH_INFO begins', async () => {
    const params = { DOCUMENT_ROOT: `${root}/cgi/`, SCRIPT_NAME: '/sub/b.cgi/x//y', PATH_INFO: '/z' };
    await runs(params, '/cgi/sub/b.cgi', {
      SCRIPT_NAME: '/sub/b.cgi',
      PATH_INFO: '/x//y/z',
      SCRIPT_FILENAME: `${root}/cgi/sub/b.cgi`,
    });
  });

  it('leaves the params as they are where SCRIPT_NAME is the script’s name already', async () => {
    await runs({ DOCUMENT_ROOT: `${root}/cgi`, SCRIPT_NAME: '/a.cgi', PATH_INFO: '/z' }, '/cgi/a.cgi');
  });

  it('runs nothing that lies outside, however it is named', async () => {
    for (const file of [
      `${root}/outside/evil.cgi`,
      `${root}/cgi-private/evil.cgi`,
      `${root}/cgi/../outside/evil.cgi`,
      `${root}/cgi/out.cgi`,
      `${root}/cgi/outside/evil.cgi`,
      `proxy:fcgi://h${root}/outside/evil.cgi`,
      '/bin/sh',
    ]) {
      await refuses({ SCRIPT_FILENAME: file }, outside);
    }
    await refuses({ DOCUMENT_ROOT: `${root}/cgi`, SCRIPT_NAME: '/out.cgi/x' }, outside);
    await refuses({ DOCUMENT_ROOT: root, SCRIPT_NAME: '/outside/evil.cgi/x' }, outside);
  });

  it('refuses dots and a NUL in SCRIPT_NAME, and a NUL in SCRIPT_FILENAME', async () => {
    for (const name of ['/../outside/evil.cgi', '/./a.cgi', '/a.cgi/..', '/a.cgi\0', '/sub/../a.cgi']) {
      await refuses({ DOCUMENT_ROOT: `${root}/cgi`, SCRIPT_NAME: name }, /^404 The path is not one/);
    }
    await refuses({ SCRIPT_FILENAME: `${root}/cgi/a.cgi\0.txt` }, /^404 .*NUL/);
  });

  it('answers 404 for what is not there, and for a file below a file', async () => {
    await refuses({ SCRIPT_FILENAME: `${root}/cgi/missing` }, missing);
    await refuses({ SCRIPT_FILENAME: `${root}/cgi/a.cgi/x` }, missing);
    await refuses({ SCRIPT_FILENAME: `${root}/cgi/a.cgi/` }, missing);
    await refuses({ DOCUMENT_ROOT: `${root}/cgi`, SCRIPT_NAME: '/missing/x/y' }, missing);
    await refuses({ DOCUMENT_ROOT: `${root}/cgi`, SCRIPT_NAME: `/${'x'.repeat(9000)}` }, missing);
  });

  it('answers 404 where the web server names no script, and says what it should have sent', async () => {
    for (const params of [
      {},
      { SCRIPT_NAME: '/a.cgi' },
      { DOCUMENT_ROOT: `${root}/cgi` },
      { SCRIPT_FILENAME: '' },
    ]) {
      await refuses(params, /^404 .*neither SCRIPT_FILENAME nor DOCUMENT_ROOT and SCRIPT_NAME/);
    }
  });

  it('answers 403 for a directory and for what is not executable, and tells the log how to mend it', async () => {
    await refuses({ SCRIPT_FILENAME: `${root}/cgi/sub` }, /^403 .*not a regular file/);
    await refuses({ SCRIPT_FILENAME: `${root}/cgi` }, /^403 .*not a regular file/);
    await refuses({ DOCUMENT_ROOT: `${root}/cgi`, SCRIPT_NAME: '/plain/x' }, /^403 .*not executable/);
    const plain = await resolved({ SCRIPT_FILENAME: `${root}/cgi/plain` });
    assert.match('detail' in plain ? plain.detail : '', /plain is not executable; try chmod \+x/);
  });

  it('can’t be made of what is no directory', async () => {
    for (const name of ['cgi/a.cgi', 'missing']) {
      const made = directorySite({
        roots: [`${root}/cgi`, `${root}/${name}`],
        base: new Map(),
        administrator: new Map(),
      });
      await assert.rejects(made, { code: 'ERR_START', message: /^--root .*: there is no such directory$/ });
    }
  });
});
