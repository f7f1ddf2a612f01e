import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rm, truncate, writeFile } from 'node:fs/promises';
import { relative } from 'node:path';
import { beforeEach, describe, it } from 'node:test';

import { fromText } from '../../../src/base/bytes.js';
import { realPath } from '../../../src/sites/contain.js';
import { HgRepositories } from '../../../src/sites/hg/repository.js';
import { Trees } from '../../../src/sites/trees.js';
import { barred } from '../../helpers/barred.js';
import { empty, type Entry, makeTree } from '../../helpers/file-tree.js';
import { lookUp } from '../../helpers/look-up.js';
import { hg } from '../../helpers/mercurial.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

let root: string;

beforeEach(async () => {
  root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
});

async function isHgRepository(below: string, path: string, isListed = false): Promise<boolean> {
  const found = await lookUp(root, () => new HgRepositories(below, new Trees(below)).at(path, isListed));
  return found !== undefined && 'path' in found;
}

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
  const sharing = (content: string, requires = 'relshared\n'): Record<string, Entry> => ({
    ...outside,
    'repos/a/.hg/sharedpath': { content },
    'repos/a/.hg/requires': { content: requires },
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
    // Mercurial would open the directory that it lies in, for bookmarks.
    assert.equal(await isRepository({ 'repos/c/hg/store': 'directory', ...sharing('../../c/hg') }), false);
    assert.equal(await isHgRepository(`${root}/repos`, `${root}/repos/a`), false);
    await makeTree(root, { 'repos/b/.hg/sharedpath': { content: '/a\0b' } });
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
      'repos/deep/er/dot/requires': { content: 'relshared\n' },
      'repos/deep/outside/.hg': 'directory',
      'repos/outside/.hg': 'directory',
    });
    assert.equal(await isRepository({ ...outside, 'repos/a/.hg': { link: '../deep/er/dot' } }), false);
  });

  it('is none when its path is relative and not meant to be: Mercurial would begin at its working directory', async () => {
    const inside = { 'repos/b/.hg/store': 'directory' } as const;
    assert.equal(await isRepository({ ...inside, ...sharing('../../b/.hg') }), true);
    assert.equal(await isRepository(sharing('../../b/.hg', 'shared\n')), false);
    assert.equal(await isRepository(sharing('../../b/.hg', 'shared\nno-relshared\n')), false);
    const fromHere = relative(process.cwd(), `${root}/repos/b/.hg`);
    assert.equal(await isRepository(sharing(fromHere, 'shared\n')), false);
    assert.equal(await isRepository(sharing(`${root}/repos/b/.hg`, 'shared\n')), true);
  });

  it('is told with the names before a .. taken away, as Mercurial does, where they are links', async () => {
    const links = {
      'repos/deep/er/est': 'directory',
      'repos/a/.hg/link': { link: '../../deep/er/est' },
      'repos/a/b/.hg': 'directory',
      'repos/deep/b/.hg': { link: '../../../outside/.hg' },
    } as const;
    assert.equal(await isRepository({ ...links, ...sharing('link/../../b/.hg') }), true);
    await makeTree(root, {
      'repos/c/.hg/link': { link: '../../deep/er/est' },
      'repos/c/b': { link: '../deep/b' },
    });
    const content = { content: 'link/../../b/.hg' };
    await makeTree(root, {
      'repos/c/.hg/sharedpath': content,
      'repos/c/.hg/requires': { content: 'relshared' },
    });
    assert.equal(await isHgRepository(`${root}/repos`, `${root}/repos/c`), false);
  });

  it('is none when what it shares is itself shared from outside, which Mercurial opens for bookmarks', async () => {
    await makeTree(root, {
      'repos/b/.hg/sharedpath': { content: `${root}/outside/.hg` },
      'repos/b/.hg/requires': { content: 'shared' },
      'repos/b/dot': 'directory',
    });
    assert.equal(await isRepository(sharing('../../b/.hg')), false);
    assert.equal(await isRepository(sharing('../../b/dot')), false);
    await makeTree(root, { 'repos/d#x/.hg': 'directory' });
    assert.equal(await isRepository(sharing('../../d#x/.hg')), false);
  });

  it('may share from one that shares, in a row of five at most', async () => {
    await makeTree(root, { 'repos/s0/.hg': 'directory' });
    for (let index = 1; index <= 6; index++) {
      const content = `../../s${String(index - 1)}/.hg`;
      const requires = { content: 'relshared' };
      const [path, dotHg] = [`repos/s${String(index)}`, `repos/s${String(index)}/.hg`];
      await makeTree(root, { [`${dotHg}/sharedpath`]: { content }, [`${dotHg}/requires`]: requires });
      assert.equal(await isHgRepository(`${root}/repos`, `${root}/${path}`), index <= 5, path);
    }
  });

  it('is none when it shares from itself, in circles', async () => {
    assert.equal(await isRepository(sharing('.')), false);
  });

  it('is told as quickly from half a million newlines', async () => {
    assert.equal(await isRepository(sharing(`${'\n'.repeat(500_000)}x`)), false);
    assert.equal(await isRepository(sharing(`${'\n'.repeat(60_000)}x`)), false);
  });
});

describe('What Mercurial reads in a repository', () => {
  const outside = { 'outside/file': empty, 'outside/directory/file': empty } as const;
  const read = [
    ...[
      'requires',
      'hgrc',
      'bookmarks',
      'localtags',
      'cache/tags2',
      'largefiles/00/1',
      'largefiles',
      'cache',
    ],
    ...['store/00changelog.i', 'store/phaseroots', 'store/obsstore', 'store/data/a.i', 'store/dh/a/b.i'],
    ...['store/data', 'store/data/d', 'store/lfs/objects/00/1', 'store/lfs'],
  ];

  it('lies inside, wherever in it a symbolic link is', async () => {
    for (const name of read) {
      root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
      await makeTree(root, { ...outside, 'repos/a/.hg/store': 'directory', 'repos/b/file': empty });
      const up = '../'.repeat(name.split('/').length + 1);
      await makeTree(root, { [`repos/b/.hg/${name}`]: { link: `${up}b/file` } });
      assert.equal(await isHgRepository(`${root}/repos`, `${root}/repos/b`), true, `${name} inside`);
      for (const target of ['file', 'directory']) {
        await rm(`${root}/repos/a/.hg/${name}`, { force: true });
        const link = { [`repos/a/.hg/${name}`]: { link: `${up}../outside/${target}` } };
        assert.equal(await isRepository(link), false, `${name} to a ${target}`);
      }
    }
  });

  it('lies inside where a link inside leads to a directory that has another', async () => {
    await makeTree(root, { ...outside, 'repos/b/x/deep/y': { link: '../../../../outside/file' } });
    assert.equal(await isRepository({ 'repos/a/.hg/store/data': { link: '../../../b/x' } }), false);
  });

  it('has no named pipe, which would be waited for', async () => {
    await makeTree(root, { 'repos/a/.hg/store/data': 'directory' });
    execFileSync('mkfifo', [`${root}/repos/a/.hg/store/data/a.i`]);
    assert.equal(await isRepository({}), false);
  });

  it('may have directories that only their owner may enter, but not in its store', async () => {
    for (const name of ['strip-backup', 'upgradebackup.x', 'store/data/d', 'store', '']) {
      await makeTree(root, { [`repos/a/.hg/${name}`]: 'directory' });
      const closed = `${root}/repos/a/.hg/${name}`.replace(/\/$/, '');
      const is = await barred(closed, ['EACCES', 'EACCES'], () => isRepository({}));
      assert.equal(is, name.includes('backup'), name);
    }
  });

  it('has no requirements that are too large to be read whole', async () => {
    for (const name of ['requires', 'store/requires']) {
      await makeTree(root, { 'repos/a/.hg/store': 'directory', [`repos/a/.hg/${name}`]: empty });
      assert.equal(await isRepository({}), true, name);
      await truncate(`${root}/repos/a/.hg/${name}`, 2 ** 30);
      for (const isListed of [true, false])
        assert.equal(await isHgRepository(`${root}/repos`, `${root}/repos/a`, isListed), false, name);
      await rm(`${root}/repos/a/.hg/${name}`);
    }
  });

  it('has settings of a megabyte at most, and a reason that says so', async () => {
    const hgrc = `${root}/repos/a/.hg/hgrc`;
    assert.equal(await isRepository({ 'repos/a/.hg/hgrc': { content: '#'.repeat(1_048_576) } }), true);
    await truncate(hgrc, 1_048_577);
    const below = `${root}/repos`;
    const found = await lookUp(root, () =>
      new HgRepositories(below, new Trees(below)).at(`${below}/a`, false),
    );
    assert.deepEqual(found, { why: `${hgrc} has 1048577 bytes; make it at most 1048576` });
  });

  it('is looked at as deep as a list shows it, for a list', async () => {
    const deep = { 'repos/a/.hg/store/data/a.i': { link: '../../../../../outside/file' } } as const;
    await makeTree(root, { ...outside, ...deep });
    assert.equal(await isHgRepository(`${root}/repos`, `${root}/repos/a`, true), true);
    await makeTree(root, { 'repos/a/.hg/store/00changelog.i': { link: '../../../../outside/file' } });
    assert.equal(await isHgRepository(`${root}/repos`, `${root}/repos/a`, true), false);
  });

  it('includes nothing from outside in settings that it does not share, either', async () => {
    const content = '%include ../../../outside/file\n';
    const notShared = { 'repos/a/.hg/hgrc-not-shared': { content } };
    assert.equal(await isRepository({ ...outside, ...notShared }), false);
  });

  it('includes settings from inside only, and such as can be told', async () => {
    await makeTree(root, { 'repos/a/.hg': 'directory' });
    const including = async (line: string): Promise<boolean> => {
      await writeFile(`${root}/repos/a/.hg/hgrc`, `[web]\n${line}\n[ui]\n`, 'latin1');
      return isRepository({});
    };
    await makeTree(root, { ...outside, 'repos/shared.rc': empty, 'repos/x': 'directory' });
    await makeTree(root, { 'repos/a/.hg/nested.rc': { content: '%include ../../../outside/file\r\n' } });
    await makeTree(root, { 'repos/x/caf\xc3\xa0': { link: '../../outside/file' } });
    for (const line of [
      '%include ../../shared.rc',
      '%include missing',
      ' %include ../../../outside/file',
      '%included',
    ]) {
      assert.equal(await including(line), true, line);
    }
    for (const line of [
      '%include ../../../outside/file',
      '%include\t../../../outside/file  ',
      '%include nested.rc',
      '%include ../../x/caf\xc3\xa0',
    ]) {
      assert.equal(await including(line), false, line);
    }
    for (const line of [
      `%include ${root}/outside/file`,
      '%include $HOME/x',
      '%include ~/x',
      '%include ~',
      '%include a\0b',
    ]) {
      assert.equal(await including(line), false, line);
    }
    // What a share has of its own.
    assert.equal(await including(''), true);
    await writeFile(`${root}/repos/a/.hg/hgrc`, '\xef\xbb\xbf%include ../../../outside/file\n', 'latin1');
    assert.equal(await isRepository({}), false, 'behind the mark of UTF-8');
    const names = Array.from({ length: 64 }, (_, index) => `${String(index)}.rc`);
    await makeTree(root, Object.fromEntries(names.map((name) => [`repos/a/.hg/${name}`, empty])));
    const lines = names.map((name) => `%include ${name}\n`);
    // The two of its own count, too.
    assert.equal(await including(lines.slice(2).join('')), true);
    assert.equal(await including(lines.slice(1).join('')), false);
    assert.equal(await including(lines.join('')), false, 'more than 64');
    const unshared = { content: '%include ../../../outside/file\n' };
    assert.equal(await isRepository({ 'repos/a/.hg/hgrc-not-shared': unshared }), false);
  });
});
