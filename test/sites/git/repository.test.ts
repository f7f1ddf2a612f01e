import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { beforeEach, describe, it } from 'node:test';

import { fromText } from '../../../src/bytes.js';
import { realPath } from '../../../src/sites/contain.js';
import { gitDirectory as gitDirectoryIn } from '../../../src/sites/git/repository.js';
import { empty, type Entry, makeTree } from '../../helpers/file-tree.js';
import { git, makeBareRepository, makeWorkTree } from '../../helpers/git.js';
import { bare } from '../../helpers/git-invocation.js';
import { lookUp } from '../../helpers/look-up.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

let root: string;

beforeEach(async () => {
  root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
  await makeTree(root, { repos: 'directory', outside: 'directory' });
});

const gitDirectory = (below: string, path: string): Promise<string | undefined> =>
  lookUp(root, () => gitDirectoryIn(below, path));

/** The git directory of repos/a, relative to the root. */
async function found(entries: Readonly<Record<string, Entry>>): Promise<string | undefined> {
  await makeTree(root, entries);
  return (await gitDirectory(`${root}/repos`, `${root}/repos/a`))?.slice(`${root}/`.length);
}

describe('A git repository', () => {
  it('is one that git has made, bare or with a working tree', async () => {
    await makeBareRepository(`${root}/repos/a`, { x: 'x' });
    await makeWorkTree(`${root}/repos/b`, { x: 'x' });
    assert.equal(await gitDirectory(`${root}/repos`, `${root}/repos/a`), `${root}/repos/a`);
    assert.equal(await gitDirectory(`${root}/repos`, `${root}/repos/b`), `${root}/repos/b/.git`);
  });

  it('may be a linked working tree, a clone that borrows objects, or have its directory elsewhere, inside', async () => {
    const repos = `${root}/repos`;
    await makeWorkTree(`${repos}/main`, { x: 'x' });
    await git(['worktree', 'add', '-q', `${repos}/linked`, '-b', 'linked'], `${repos}/main`);
    await git(['clone', '-q', '--shared', `${repos}/main`, `${repos}/shared`]);
    await git([
      'clone',
      '-q',
      '--separate-git-dir',
      `${repos}/elsewhere`,
      `${repos}/main`,
      `${repos}/separate`,
    ]);
    const directories = ['linked', 'shared', 'separate'].map((name) =>
      gitDirectory(repos, `${repos}/${name}`),
    );
    assert.deepEqual(await Promise.all(directories), [
      `${repos}/main/.git/worktrees/linked`,
      `${repos}/shared/.git`,
      `${repos}/elsewhere`,
    ]);
    for (const name of ['linked', 'shared', 'separate']) {
      const moved = `${root}/moved-${name}`;
      await makeTree(moved, { repos: 'directory' });
      execFileSync('cp', ['-a', `${repos}/${name}`, `${moved}/repos/`]);
      assert.equal(await gitDirectory(`${moved}/repos`, `${moved}/repos/${name}`), undefined, name);
    }
  });

  it('has a HEAD, objects and refs', async () => {
    assert.equal(await found({ 'repos/a': 'directory' }), undefined);
    await makeTree(root, bare('repos/a'));
    assert.equal(await found({}), 'repos/a');
    for (const missing of ['HEAD', 'objects', 'refs']) {
      const all = Object.entries(bare(`repos/b-${missing}`));
      await makeTree(root, Object.fromEntries(all.filter(([name]) => !name.endsWith(missing))));
      assert.equal(await gitDirectory(`${root}/repos`, `${root}/repos/b-${missing}`), undefined, missing);
    }
  });

  it('may have a HEAD that is a symbolic link to a branch which is packed, as in old times', async () => {
    const link = { 'repos/a/HEAD': { link: 'refs/heads/main' } };
    assert.equal(await found({ ...bare('repos/a'), ...link }), 'repos/a');
  });

  it('keeps inside with all links of its own', async () => {
    for (const [name, link] of [
      ['config', '../../outside/config'],
      ['description', '../../../../../../etc/passwd'],
      ['objects/pack', '../../../outside'],
      ['objects/pack/pack-1.pack', '../../../../outside/config'],
      ['objects/info/alternates', '../../../../outside/config'],
      ['objects/00', '../../../outside'],
    ] as const) {
      root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
      await makeTree(root, { 'outside/config': empty, ...bare('repos/a') });
      assert.equal(await found({ [`repos/a/${name}`]: { link } }), undefined, name);
    }
  });

  it('keeps inside with the objects that it borrows, also those that these borrow', async () => {
    const alternates = (path: string, content: string): Record<string, Entry> => ({
      [`${path}/objects/info/alternates`]: { content },
    });
    await makeTree(root, { ...bare('repos/a'), ...bare('repos/b'), ...bare('outside/c') });
    await makeTree(root, alternates('repos/a', `# comment\n../../b/objects\n\n/missing\n`));
    assert.equal(await found({}), 'repos/a');
    assert.equal(await found(alternates('repos/b', `${root}/outside/c/objects\n`)), undefined);
    assert.equal(await found(alternates('repos/b', `${root}/repos/a/objects\n`)), 'repos/a', 'in circles');
    assert.equal(await found(alternates('repos/a', '"\\057etc"\n')), undefined, 'quoted');
  });

  it('is not waited for where a file is a named pipe', async () => {
    await makeTree(root, { ...bare('repos/a'), 'repos/a/objects/info': 'directory' });
    for (const name of ['objects/info/alternates', 'commondir', '.git']) {
      execFileSync('mkfifo', [`${root}/repos/a/${name}`]);
    }
    assert.equal(await found({}), undefined);
  });
});
