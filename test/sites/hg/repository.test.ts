import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { beforeEach, describe, it } from 'node:test';

import { fromText } from '../../../src/bytes.js';
import { realPath } from '../../../src/sites/contain.js';
import { isHgRepository as isHgRepositoryIn } from '../../../src/sites/hg/repository.js';
import { empty, type Entry, makeTree } from '../../helpers/file-tree.js';
import { lookUp } from '../../helpers/look-up.js';
import { hg } from '../../helpers/mercurial.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

let root: string;

beforeEach(async () => {
  root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
});

const isHgRepository = (below: string, path: string): Promise<boolean> =>
  lookUp(root, () => isHgRepositoryIn(below, path));

async function isRepository(entries: Readonly<Record<string, Entry>>): Promise<boolean> {
  await makeTree(root, entries);
  return isHgRepository(`${root}/repos`, `${root}/repos/a`);
}

describe('A directory is a repository', () => {
  it('when Mercurial has made it', async () => {
    await hg(['init', `${root}/repos/a`]);
    assert.equal(await isRepository({}), true);
  });

  it('when it has a directory .hg, and not a file of that name', async () => {
    assert.equal(await isRepository({ 'repos/a/.hg': empty }), false);
    assert.equal(await isHgRepository(root, `${root}/nowhere`), false);
  });

  it('unless .hg leads out of the directory of repositories', async () => {
    assert.equal(
      await isRepository({ 'outside/.hg': 'directory', 'repos/a/.hg': { link: '../../outside/.hg' } }),
      false,
    );
  });

  it('unless its store leads out', async () => {
    const out = {
      'outside/store': 'directory',
      'repos/a/.hg/store': { link: '../../../outside/store' },
    } as const;
    assert.equal(await isRepository(out), false);
  });

  it('when its store lies elsewhere inside', async () => {
    const inside = {
      'repos/stores/a': 'directory',
      'repos/a/.hg/store': { link: '../../stores/a' },
    } as const;
    assert.equal(await isRepository(inside), true);
  });
});

describe('A shared repository', () => {
  it('is one when Mercurial shares it from inside, by an absolute or a relative path', async () => {
    await hg(['init', `${root}/repos/source`]);
    const share = ['--config', 'extensions.share=', 'share', '-q'];
    await hg([...share, `${root}/repos/source`, `${root}/repos/absolute`]);
    await hg([...share, '--relative', `${root}/repos/source`, `${root}/repos/relative`]);
    assert.equal(await isHgRepository(`${root}/repos`, `${root}/repos/absolute`), true);
    assert.equal(await isHgRepository(`${root}/repos`, `${root}/repos/relative`), true);
  });

  it('is none when Mercurial shares it from outside', async () => {
    await hg(['init', `${root}/source`]);
    await hg(['--config', 'extensions.share=', 'share', '-q', `${root}/source`, `${root}/repos/a`]);
    assert.equal(await isRepository({}), false);
  });

  const outside = { 'outside/.hg/store': 'directory' } as const;
  const sharing = (content: string): Record<string, Entry> => ({
    ...outside,
    'repos/a/.hg/sharedpath': { content },
  });

  it('is none when only a decoy inside has the newlines in its name that Mercurial takes away', async () => {
    await makeTree(root, { 'repos/link': { link: '../outside/.hg' }, 'repos/link\n': 'directory' });
    assert.equal(await isRepository(sharing(`${root}/repos/link\n\n`)), false);
  });

  it('is none when what it shares has its own store outside', async () => {
    await makeTree(root, { 'repos/b/.hg/store': { link: '../../../outside/.hg/store' } });
    assert.equal(await isRepository(sharing('../../b/.hg')), false);
  });

  it('is none when what it shares is not there, or is no path', async () => {
    assert.equal(await isRepository(sharing('../../missing/.hg')), false);
    assert.equal(await isHgRepository(`${root}/repos`, `${root}/repos/a`), false);
    await makeTree(root, { 'repos/b/.hg/sharedpath': { content: 'a\0b' } });
    assert.equal(await isHgRepository(`${root}/repos`, `${root}/repos/b`), false);
  });

  it('is none when the file that names what it shares is itself outside, and that file is not opened', async () => {
    // Opening a FIFO that nobody writes to would never end.
    await makeTree(root, { outside: 'directory', 'repos/b/.hg': 'directory' });
    execFileSync('mkfifo', [`${root}/outside/fifo`, `${root}/repos/b/.hg/sharedpath`]);
    assert.equal(await isRepository({ 'repos/a/.hg/sharedpath': { link: '../../../outside/fifo' } }), false);
    assert.equal(await isHgRepository(`${root}/repos`, `${root}/repos/b`), false);
  });

  it('is told by names, as Mercurial does, where .hg itself is a symbolic link', async () => {
    await makeTree(root, {
      'repos/deep/er/dot': 'directory',
      'repos/deep/er/dot/sharedpath': { content: '../../../outside/.hg\n' },
      'repos/deep/outside/.hg': 'directory',
      'repos/outside/.hg': 'directory',
    });
    assert.equal(await isRepository({ ...outside, 'repos/a/.hg': { link: '../deep/er/dot' } }), false);
  });
});
