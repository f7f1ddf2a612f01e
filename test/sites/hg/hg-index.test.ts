import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { beforeEach, describe, it } from 'node:test';

import { fromText } from '../../../src/base/bytes.js';
import { realPath } from '../../../src/sites/contain.js';
import type { HgSiteOptions } from '../../../src/sites/hg/hg-site.js';
import { empty, makeTree } from '../../helpers/file-tree.js';
import { askSite, type HgInvocation, makeSite } from '../../helpers/hg-invocation.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

let root: string;

beforeEach(async () => {
  root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
  await makeTree(root, {
    'repos/a/.hg': 'directory',
    'repos/group/b/.hg': 'directory',
    'repos/caf\xe9/.hg': 'directory',
    'repos/unmarked/.hg': 'directory',
    'www/a.hg': empty,
    'www/group/b.hg': empty,
    'www/caf\xe9.hg': empty,
    'www/none.hg': empty,
    'www/empty': 'directory',
    'www/index.fcgi': empty,
  });
});

async function ask(path: string, options: Partial<HgSiteOptions> = {}): Promise<HgInvocation | string> {
  return askSite({ repos: `${root}/repos`, markers: `${root}/www`, ...options }, { SCRIPT_NAME: path });
}

async function index(path: string, options: Partial<HgSiteOptions> = {}): Promise<HgInvocation> {
  const answer = await ask(path, options);
  if (typeof answer === 'string') assert.fail(`${path}: ${answer}`);
  assert.equal(answer.what, 'index');
  return answer;
}

async function refused(path: string): Promise<string> {
  const answer = await ask(path);
  return typeof answer === 'string' ? answer : `it runs hgweb for ${answer.what}`;
}

/** The index's input: pairs of a virtual name and a path below the repositories. */
const pairs = ({ input }: HgInvocation): readonly string[] => {
  const words = (input ?? '').split('\0').slice(0, -1);
  return words.map((word, position) => (position % 2 === 0 ? word : word.slice(`${root}/repos/`.length)));
};

const everything = ['a.hg', 'a', 'caf\xe9.hg', 'caf\xe9', 'group/b.hg', 'group/b'];

describe('The index of repositories', () => {
  it('lists exactly the published ones, by name and place, in the order of their names', async () => {
    assert.deepEqual(pairs(await index('/index.fcgi')), everything);
    assert.deepEqual(pairs(await index('/')), everything);
  });

  it('links to repositories at the root, and not below index.fcgi', async () => {
    for (const path of ['/', '/index.fcgi', '/index.fcgi/']) {
      const { scriptName, pathInfo } = await index(path);
      assert.deepEqual([scriptName, pathInfo], ['', '/'], path);
    }
    const { scriptName, pathInfo } = await index('/hg/index.fcgi', { urlPrefix: '/hg' });
    assert.deepEqual([scriptName, pathInfo], ['/hg', '/']);
  });

  it('finds its static files through index.fcgi, which every web server passes on', async () => {
    assert.deepEqual((await index('/index.fcgi')).args, ['/index.fcgi/static/']);
    assert.deepEqual((await index('/')).args, ['/index.fcgi/static/']);
    assert.deepEqual((await index('/group/index.fcgi')).args, ['/index.fcgi/static/']);
    assert.deepEqual((await index('/hg/index.fcgi', { urlPrefix: '/hg' })).args, ['/hg/index.fcgi/static/']);
    assert.deepEqual((await index('/hg', { urlPrefix: '/hg' })).args, ['/hg/index.fcgi/static/']);
  });

  it('has static files whose addresses any web server and browser can read', async () => {
    await makeTree(root, { 'repos/caf\xe9 "x"/c/.hg': 'directory', 'www/caf\xe9 "x"/c.hg': empty });
    await rm(`${root}/www/index.fcgi`);
    await makeTree(root, { 'www/caf\xe9 "x"/index.fcgi': empty });
    const [staticUrl] = (await index('/caf\xe9 "x"/index.fcgi')).args;
    assert.equal(staticUrl, '/caf%E9%20%22x%22/index.fcgi/static/');
  });

  it('gives hgweb static files by their path alone, without looking for repositories', async () => {
    for (const [path, pathInfo] of [
      ['/index.fcgi/static/style-paper.css', '/static/style-paper.css'],
      ['/static/hglogo.png', '/static/hglogo.png'],
      ['/group/index.fcgi/static/x', '/static/x'],
    ] as const) {
      const answer = await index(path);
      assert.deepEqual([answer.scriptName, answer.pathInfo, answer.input], ['', pathInfo, ''], path);
    }
  });

  it('of a subdirectory lists what is below it', async () => {
    for (const path of ['/group', '/group/', '/group/index.fcgi']) {
      const answer = await index(path);
      assert.deepEqual([pairs(answer), answer.pathInfo], [['group/b.hg', 'group/b'], '/group'], path);
    }
  });

  it('is there without a repository too, but not of a subdirectory that has none', async () => {
    for (const name of ['a.hg', 'group/b.hg', 'caf\xe9.hg']) {
      await rm(Buffer.from(`${root}/www/${name}`, 'latin1'));
    }
    assert.deepEqual(pairs(await index('/')), []);
    for (const path of ['/empty', '/group', '/group/index.fcgi', '/missing', '/a.hg/file']) {
      assert.match(await refused(path), /^404 /, path);
    }
  });

  it('is nothing but itself and its static files', async () => {
    for (const path of [
      '/index.fcgi/a.hg',
      '/index.fcgi/x',
      '/index.fcgi/index.fcgi',
      '/x/static/y',
      '/index.fcgi2',
    ]) {
      assert.match(await refused(path), /^404 /, path);
    }
  });

  it('has its static files also where only the list of a group is published', async () => {
    await rm(`${root}/www/index.fcgi`);
    await makeTree(root, { 'www/group/index.fcgi': empty });
    assert.deepEqual((await index('/group/')).args, ['/group/index.fcgi/static/']);
    assert.equal((await index('/group/index.fcgi/static/x')).pathInfo, '/static/x');
  });

  it('is published by index.fcgi alone, and withdrawn with it', async () => {
    await rm(`${root}/www/index.fcgi`);
    for (const path of ['/', '/index.fcgi', '/group', '/static/x', '/index.fcgi/static/x']) {
      const answer = await ask(path);
      assert.ok(typeof answer === 'string');
      assert.match(answer, /^404 .*index\.fcgi.* publishes (?:the|its) list$/, path);
    }
    await makeTree(root, { 'www/group/index.fcgi': empty });
    assert.deepEqual(pairs(await index('/group/index.fcgi')), ['group/b.hg', 'group/b']);
    assert.match(await refused('/'), /^404 /);
  });

  it('without markers needs no file and lists all repositories under their own names', async () => {
    const site = { repos: `${root}/repos` };
    const answer = await askSite(site, { SCRIPT_NAME: '/' });
    assert.ok(typeof answer !== 'string');
    assert.deepEqual(pairs(answer), [
      'a',
      'a',
      'caf\xe9',
      'caf\xe9',
      'group/b',
      'group/b',
      'unmarked',
      'unmarked',
    ]);
    const repository = await askSite(site, { SCRIPT_NAME: '/group/b/log' });
    assert.ok(typeof repository !== 'string');
    assert.deepEqual([repository.scriptName, repository.pathInfo], ['/group/b', '/log']);
  });
});

describe('A site of repositories', () => {
  it('can’t be made of what is no directory, and the error names the option', async () => {
    for (const [option, path] of [
      ['repos', `${root}/www/a.hg`],
      ['repos', `${root}/missing`],
      ['markers', `${root}/missing`],
    ] as const) {
      const made = askSite({ repos: `${root}/repos`, [option]: path }, {});
      await assert.rejects(made, {
        code: 'ERR_START',
        message: `--${option} ${path}: there is no such directory`,
      });
    }
  });

  it('works where its directories are named through symbolic links', async () => {
    await makeTree(root, { r: { link: 'repos' }, w: { link: 'www' } });
    const answer = await askSite({ repos: `${root}/r`, markers: `${root}/w` }, { SCRIPT_NAME: '/' });
    assert.ok(typeof answer !== 'string');
    assert.deepEqual(pairs(answer), everything);
  });
});

describe('The list of repositories', () => {
  it('is walked only for requests that may run a process, unlike pages of one and static files', async () => {
    const site = await makeSite({ repos: `${root}/repos`, markers: `${root}/www` });
    const kind = async (path: string): Promise<string> => (await site.resolve([['SCRIPT_NAME', path]])).kind;
    for (const path of ['/', '/group', '/index.fcgi']) assert.equal(await kind(path), 'defer', path);
    for (const path of ['/a.hg/', '/index.fcgi/static/x.css']) assert.equal(await kind(path), 'run', path);
  });
});
