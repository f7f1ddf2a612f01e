import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { rm } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { beforeEach, describe, it, mock } from 'node:test';

import { fromText } from '../../../src/base/bytes.js';
import { realPath } from '../../../src/sites/contain.js';
import { GitRepositories } from '../../../src/sites/git/repository.js';
import { Trees } from '../../../src/sites/trees.js';
import { barred } from '../../helpers/barred.js';
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

async function gitDirectory(below: string, path: string, isListed = false): Promise<string | undefined> {
  const found = await lookUp(root, () => new GitRepositories(below, new Trees(below)).at(path, isListed));
  return found && 'path' in found ? found.path : undefined;
}

/** Why repos/a is not to be served. */
async function whyNot(): Promise<string | undefined> {
  const repos = `${root}/repos`;
  const at = await lookUp(root, () => new GitRepositories(repos, new Trees(repos)).at(`${repos}/a`, false));
  return at && 'why' in at ? at.why : undefined;
}

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

  it('has objects and refs that may be entered', async () => {
    await makeTree(root, bare('repos/a'));
    // Root may enter all.
    const refused = Object.assign(new Error('EACCES'), { code: 'EACCES' });
    const now = mock.method(fs, 'accessSync', () => {
      throw refused;
    });
    const late = mock.method(fs.promises, 'access', () => Promise.reject(refused));
    syncBuiltinESMExports();
    try {
      assert.equal(await found({}), undefined);
    } finally {
      now.mock.restore();
      late.mock.restore();
      syncBuiltinESMExports();
    }
    assert.equal(await found({}), 'repos/a');
  });

  it('may have closed directories, but none of refs, which git would leave out, or of objects', async () => {
    await makeTree(root, bare('repos/a'));
    for (const name of [
      'refs/heads/x',
      'objects/pack',
      'objects/0f',
      'objects/incoming-x',
      'worktrees/x',
      'logs',
    ]) {
      await makeTree(root, { [`repos/a/${name}`]: 'directory' });
      const at = await barred(`${root}/repos/a/${name}`, ['EACCES', 'EACCES'], () => found({}));
      assert.equal(at, /^refs|pack|0f/.test(name) ? undefined : 'repos/a', name);
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
      ['objects/00/1', '../../../../outside/config'],
      ['objects/info/commit-graphs/x', '../../../../../outside/config'],
      ['refs/heads/x', '../../../../outside/config'],
      ['refs/heads/deep/er', '../../../../../outside'],
      ['packed-refs', '../../outside/config'],
      ['logs/HEAD', '../../../outside/config'],
      ['info/attributes', '../../../outside/config'],
      ['info', '../../outside'],
      ['reftable/0x1.ref', '../../../outside/config'],
      ['worktrees/w/HEAD', '../../../../outside/config'],
    ] as const) {
      root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
      await makeTree(root, { 'outside/config': empty, ...bare('repos/a') });
      assert.equal(await found({ [`repos/a/${name}`]: { link } }), undefined, name);
    }
  });

  it('may have its hooks elsewhere, as many have the same', async () => {
    await makeTree(root, { 'outside/post-update': empty, ...bare('repos/a') });
    assert.equal(await found({ 'repos/a/hooks': { link: '../../outside' } }), 'repos/a');
    assert.equal(await found({ 'repos/a/info/hooks': { link: '../../../outside' } }), undefined);
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
    assert.equal(await found(alternates('repos/a', '/missing\n"\\057etc"\n')), undefined, 'quoted later');
    assert.equal(await found(alternates('repos/a', `${root}/outside/c/objects\0x\n`)), undefined, 'NUL');
    assert.equal(await found(alternates('repos/a', `#\n${root}/outside/c/objects`)), undefined, 'last line');
    assert.equal(await found(alternates('repos/a', `${root}/outside/c/objects\r\n`)), 'repos/a', 'CR');
    assert.equal(await found(alternates('repos/a', `${'/'.repeat(70_000)}\n`)), undefined, 'large');
  });

  it('borrows from 63 others at most', async () => {
    const others = Array.from({ length: 64 }, (_, index) => `repos/o/${String(index)}`);
    await makeTree(root, {
      ...bare('repos/a'),
      ...Object.fromEntries(others.map((name) => [name, 'directory'])),
    });
    const borrowing = (count: number): Promise<string | undefined> => {
      const content = others.slice(0, count).map((name) => `${root}/${name}\n`);
      return found({ 'repos/a/objects/info/alternates': { content: content.join('') } });
    };
    assert.equal(await borrowing(63), 'repos/a');
    assert.equal(await borrowing(64), undefined);
  });

  it('keeps inside with what it borrows however git reads a .. behind a link', async () => {
    await makeTree(root, {
      ...bare('repos/a'),
      ...bare('outside/x/c'),
      'outside/y/z': 'directory',
      'repos/a/objects/link': { link: '../../d/e' },
      'repos/d/e': 'directory',
    });
    const named = (content: string): Record<string, Entry> => ({
      'repos/a/objects/info/alternates': { content },
    });
    // By the system repos/d/c, by names alone repos/a/objects/c.
    await makeTree(root, { 'repos/d/c': { link: '../../outside/x/c/objects' } });
    assert.equal(await found(named('link/../c\n')), undefined);
    await makeTree(root, { 'repos/b/objects/c': 'directory' });
    assert.equal(await found(named('link/../missing\n')), 'repos/a');
    // By names alone repos/f, by the system nothing.
    await makeTree(root, { 'repos/f': { link: '../outside/x/c/objects' } });
    assert.equal(await found(named('link/../../../f\n')), undefined);
    await makeTree(root, { 'repos/a/objects/c': { link: '../../../outside/x/c/objects' } });
    assert.equal(await found(named('link/../c\n')), undefined);
  });

  it('keeps inside with all that it borrows, in however long a row, and however many ways', async () => {
    const names = Array.from({ length: 9 }, (_, index) => `repos/r${String(index)}`);
    for (const [index, name] of names.entries()) {
      const next = names.map((other) => `${root}/${other}/objects\n`).slice(index + 1);
      await makeTree(root, {
        ...bare(name),
        [`${name}/objects/info/alternates`]: { content: next.join('') || 'x\n' },
      });
    }
    const first = (): Promise<string | undefined> => gitDirectory(`${root}/repos`, `${root}/repos/r0`);
    assert.equal(await first(), `${root}/repos/r0`);
    const row = (index: number): string => `../../r${String(index + 1)}/objects\n`;
    for (const [index, name] of names.entries()) {
      const content = index === 8 ? `${root}/outside\n` : row(index);
      await makeTree(root, { [`${name}/objects/info/alternates`]: { content } });
    }
    assert.equal(await first(), undefined);
  });

  it('is refused where git would find another in it, or beside it', async () => {
    await makeTree(root, { ...bare('outside/c'), ...bare('repos/a'), ...bare('repos/a.git') });
    assert.equal(await found({}), 'repos/a');
    const late = `ref:${' '.repeat(251)}refs/heads/main`;
    for (const content of [
      'ref: heads/main\n',
      'ref:\xa0refs/heads/main',
      '1234',
      '',
      'x'.repeat(70_000),
      late,
    ]) {
      assert.equal(await found({ 'repos/a/HEAD': { content } }), undefined, content.slice(0, 20));
    }
    assert.equal(await found({ 'repos/a/HEAD': { content: 'a'.repeat(40) } }), 'repos/a');
    assert.equal(await found({ 'repos/a/HEAD': { content: 'ref:refs/x' } }), 'repos/a');
    assert.equal(await found({ 'repos/a/.git': { content: 'gitdir: ../../outside/c\n' } }), undefined);
    assert.equal(await whyNot(), `${root}/repos/a/.git leads out of --repos`);
    assert.equal(await found({ 'repos/a/.git': { content: 'no gitdir' } }), undefined);
    await makeTree(root, { 'repos/d/.git': { content: 'gitdir:\t../a.git\n' } });
    assert.equal(await gitDirectory(`${root}/repos`, `${root}/repos/d`), undefined, 'as git reads it');
    await rm(`${root}/repos/a/.git`);
    await makeTree(root, { ...bare('repos/a/.git'), 'repos/a/.git/.git': 'directory' });
    assert.equal(await found({}), undefined);
  });

  it('is refused where its HEAD is a link to what git does not take for a branch', async () => {
    await makeTree(root, { ...bare('repos/b'), 'repos/b/heads/main': { content: 'a'.repeat(40) } });
    for (const [name, link] of Object.entries({ c: 'heads/main', d: './refs/heads/main', e: '../b/HEAD' })) {
      await makeTree(root, { [`repos/${name}/objects`]: 'directory', [`repos/${name}/refs`]: 'directory' });
      await makeTree(root, { [`repos/${name}/HEAD`]: { link } });
      assert.equal(await gitDirectory(`${root}/repos`, `${root}/repos/${name}`), undefined, link);
    }
  });

  it('keeps inside with its common directory, read as git reads it', async () => {
    await makeTree(root, { ...bare('repos/b'), ...bare('outside/c'), 'repos/link': { link: 'deep/er' } });
    await makeTree(root, { 'repos/deep/er': 'directory', ...bare('repos/a') });
    const common = (content: string): Record<string, Entry> => ({ 'repos/a/commondir': { content } });
    assert.equal(await found(common('../b\r\n\n')), 'repos/a');
    for (const content of ['../../outside/c', `${root}/outside/c\n`, '../b\0', '../missing']) {
      assert.equal(await found(common(content)), undefined, content);
    }
    await makeTree(root, { 'repos/deep/b': { link: '../../outside/c' } });
    assert.equal(await found(common('../link/../b')), undefined);
    assert.equal(await found(common(`../b${'\n'.repeat(400_000)}x`)), undefined);
  });

  it('keeps inside with all that lies in its own directory and in the common one', async () => {
    const including = { content: '[include]\npath = ../../outside/config\n' };
    await makeTree(root, { ...bare('repos/b'), ...bare('repos/a'), 'outside/config': empty });
    assert.equal(await found({ 'repos/a/commondir': { content: '../b\n' } }), 'repos/a');
    for (const name of ['repos/a/config.worktree', 'repos/b/config']) {
      assert.equal(await found({ [name]: including }), undefined, name);
      await rm(`${root}/${name}`);
    }
    assert.equal(await found({}), 'repos/a');
  });

  it('keeps inside with the common directories of its linked working trees', async () => {
    await makeTree(root, { ...bare('outside/c'), ...bare('repos/b'), ...bare('repos/a') });
    const common = (content: string, tree = 'a/worktrees/w'): Record<string, Entry> => ({
      [`repos/${tree}/commondir`]: { content },
    });
    await makeTree(root, { 'repos/a/worktrees/old': 'directory' });
    assert.equal(await found(common('../..\n')), 'repos/a');
    assert.equal(await found(common('../../../b\n')), 'repos/a');
    for (const content of ['../../../../outside/c\n', `${root}/outside/c`, '../../missing', '../..\0']) {
      assert.equal(await found(common(content)), undefined, content);
    }
    assert.equal(await found(common('../..\n')), 'repos/a');
    await makeTree(root, { 'repos/trees/t': 'directory', ...common(`${root}/outside/c`, 'trees/t') });
    assert.equal(await found({ 'repos/a/worktrees/linked': { link: '../../trees/t' } }), undefined);
  });

  it('includes configurations from inside only, and such as can be told', async () => {
    await makeTree(root, { ...bare('repos/a'), 'outside/config': empty, 'repos/shared': empty });
    await makeTree(root, {
      'repos/a/nested': { content: '[includeIf "onbranch:x"]\n path = ../../outside/config\n' },
    });
    const including = (content: string): Promise<string | undefined> =>
      found({ 'repos/a/config': { content } });
    for (const content of [
      '[core]\nbare = true\n',
      '[include]\n\tpath = ../shared\n[a]\npath = /etc/passwd\n',
      '[include]\n\tPATH = ../shared\n; path = /etc/passwd\n# path = /etc/passwd\n',
      '[core]\n# [include]\n#\tpath = /etc/passwd\n\t;[include "x"] \\\npath = /etc/passwd\n',
    ]) {
      assert.equal(await including(content), 'repos/a', content);
    }
    for (const path of [
      '../../outside/config',
      `${root}/outside/config`,
      'nested',
      '~/x',
      '"../x"',
      '../x\\',
      '',
      '%(prefix)/x',
      '../../outside/config ; x',
      '../../outside/config # x',
      // Older gits take these for spaces, and `outside` may well have such a name.
      ...['\t', '\r', '\v', '\f'].map((space) => `../not${space}there`),
    ]) {
      assert.equal(await including(`[include]\npath = ${path}\n`), undefined, path);
    }
    // What git takes for a value that goes on in the next line is none for it after a comment.
    for (const before of [
      '# \\',
      '[core]\nx = y # \\',
      '[core]\nx = "\\\n# [include]"',
      '[core]\nx = "\\\n#" \\',
    ])
      assert.equal(await including(`${before}\n[include]\npath = ../../outside/config\n`), undefined, before);
    assert.equal(await including('[core] [INCLUDE]\npath = ../../outside/config\n'), undefined);
    assert.equal(await including('[Include] path = ../../outside/config\n'), undefined);
    assert.equal(
      await found({ 'repos/a/config': empty, 'repos/a/config.worktree': { content: '[include]path=x' } }),
      undefined,
    );
  });

  it('has a configuration of which the reason says what is wrong', async () => {
    const config = `${root}/repos/a/config`;
    await makeTree(root, {
      ...bare('repos/a'),
      'repos/a/config': { content: '[a]\n[include]\n\tpath = "b"\n' },
    });
    const line = `line 3 of ${config} includes others in a way that can’t be told; write a plain path without quotes or comment`;
    assert.equal(await whyNot(), line);
    await makeTree(root, { 'repos/a/config': { content: '#'.repeat(1_048_577) } });
    assert.equal(await whyNot(), `${config} has 1048577 bytes; make it at most 1048576`);
  });

  it('includes configurations as deep as git does, and none from outside', async () => {
    const including = (path: string): Entry => ({ content: `[include]\npath = ${path}\n` });
    await makeTree(root, { ...bare('repos/a'), 'outside/config': empty, 'repos/a/config': including('c1') });
    for (let depth = 1; depth < 9; depth++)
      await makeTree(root, { [`repos/a/c${String(depth)}`]: including(`c${String(depth + 1)}`) });
    assert.equal(await found({ 'repos/a/c9': including('config') }), 'repos/a', 'in circles');
    assert.equal(await found({ 'repos/a/c9': including('../../outside/config') }), undefined);
  });

  it('has tables of refs that lie beside their list', async () => {
    await makeTree(root, bare('repos/a'));
    assert.equal(await found({ 'repos/a/reftable/tables.list': { content: '0x1-0x2.ref\n' } }), 'repos/a');
    assert.equal(
      await found({ 'repos/a/reftable/tables.list': { content: '../../x/0x1.ref\n' } }),
      undefined,
    );
    const large = { content: '0x1-0x2.ref\n'.repeat(6_000) };
    assert.equal(await found({ 'repos/a/reftable/tables.list': large }), undefined, 'what is not read');
  });

  it('is looked at as deep as a list shows it, for a list', async () => {
    await makeTree(root, { ...bare('repos/a'), 'outside/file': empty });
    await makeTree(root, { 'repos/a/objects/00/1': { link: '../../../../outside/file' } });
    assert.equal(await gitDirectory(`${root}/repos`, `${root}/repos/a`, true), `${root}/repos/a`);
    for (const name of ['pack/x.pack', 'info/packs']) {
      await makeTree(root, { [`repos/a/objects/${name}`]: { link: '../../../../outside/file' } });
      assert.equal(await gitDirectory(`${root}/repos`, `${root}/repos/a`, true), undefined, name);
      await rm(`${root}/repos/a/objects/${name}`);
    }
  });

  it('is in no list where git would wait for a ref', async () => {
    await makeTree(root, { ...bare('repos/a'), 'repos/a/refs/heads': 'directory' });
    await makeTree(root, { 'repos/a/reftable': 'directory' });
    for (const name of ['refs/heads/x', 'reftable/x.ref']) {
      execFileSync('mkfifo', [`${root}/repos/a/${name}`]);
      assert.equal(await gitDirectory(`${root}/repos`, `${root}/repos/a`, true), undefined, name);
      await rm(`${root}/repos/a/${name}`);
    }
    assert.equal(await gitDirectory(`${root}/repos`, `${root}/repos/a`, true), `${root}/repos/a`);
  });

  it('is not waited for where a file is a named pipe', async () => {
    await makeTree(root, { ...bare('repos/a'), 'repos/a/objects/info': 'directory' });
    for (const name of [
      'objects/info/alternates',
      'commondir',
      '.git',
      'config',
      'objects/00',
      'refs/heads',
    ]) {
      execFileSync('mkfifo', [`${root}/repos/a/${name}`]);
      assert.equal(await found({}), undefined);
      await rm(`${root}/repos/a/${name}`);
    }
    await rm(`${root}/repos/a/HEAD`);
    execFileSync('mkfifo', [`${root}/repos/a/HEAD`]);
    assert.equal(await found({}), undefined);
  });
});
