import assert from 'node:assert/strict';
import { chmod, lchown, rm } from 'node:fs/promises';
import { beforeEach, describe, it } from 'node:test';

import { fromText } from '../../../src/base/bytes.js';
import { realPath } from '../../../src/sites/contain.js';
import { HgRepositories } from '../../../src/sites/hg/repository.js';
import { Trees } from '../../../src/sites/trees.js';
import { empty, type Entry, makeTree } from '../../helpers/file-tree.js';
import { lookUp } from '../../helpers/look-up.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const [us, alice, bob] = [0, 65_534, 65_533];
const notRoot = process.getuid?.() !== 0 && 'nobody else can own a file';

let root: string;

beforeEach(async () => {
  root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
});

/** Why the repository `a` is not published, of which these are parts and have an owner. */
async function why(
  owner: number,
  entries: Readonly<Record<string, Entry>>,
  named = 'a',
): Promise<string | undefined> {
  await rm(`${root}/a`, { recursive: true, force: true });
  await makeTree(root, entries);
  if (!('a/.hg' in entries)) await makeTree(root, { 'a/.hg/store/data': 'directory' });
  for (const path of ['a', 'a/.hg', ...Object.keys(entries)]) await lchown(`${root}/${path}`, owner, owner);
  const repositories = new HgRepositories(root, new Trees(root));
  const at = (await realPath(`${root}/${named}`)) ?? assert.fail();
  const found = await lookUp(root, () => repositories.at(at, false, `${root}/${named}`));
  return found !== undefined && 'why' in found ? found.why.replaceAll(`${root}/`, '') : undefined;
}

async function makeOther(owner: number): Promise<void> {
  const settings = { content: '[web]\n' };
  await makeTree(root, { 'b/.hg/store/data': 'directory', 'b/.hg/hgrc': settings, 'b/.hg/store/f': empty });
  for (const path of ['b', 'b/.hg', 'b/.hg/store']) await lchown(`${root}/${path}`, owner, owner);
  await chmod(`${root}/b`, 0o750);
}

/** What leads from `a` to `b`, and what is said about it. */
const ways: readonly (readonly [Readonly<Record<string, Entry>>, string])[] = [
  [{ 'a/.hg': { link: '../b/.hg' } }, 'a leads to b/.hg, which'],
  [{ 'a/.hg/data': { link: '../../b/.hg/store' } }, 'a/.hg/data is a link to b/.hg/store, which'],
  [{ 'a/.hg/f': { link: '../../b/.hg/store/f' } }, 'a/.hg/f is a link to b/.hg/store/f, which'],
  [{ 'a/.hg/hgrc': { content: '%include ../../b/.hg/hgrc\n' } }, 'a/.hg/hgrc includes b/.hg/hgrc, which'],
  [
    { 'a/.hg/requires': { content: 'relshared\n' }, 'a/.hg/sharedpath': { content: '../../b/.hg' } },
    'a/.hg/sharedpath names b/.hg, which',
  ],
];

describe('What a repository uses of another one', { skip: notRoot }, () => {
  it('belongs to its owner, and not to another or the daemon', async () => {
    for (const [entries, said] of ways) {
      await makeOther(alice);
      assert.equal(await why(alice, entries), undefined);
      for (const owner of [bob, us]) {
        await makeOther(owner);
        assert.equal(await why(alice, entries), `${said} has another owner`);
      }
    }
  });

  it('belongs to anybody, where root or the daemon’s user has made the repository', async () => {
    await makeOther(bob);
    for (const [entries] of ways) assert.equal(await why(us, entries), undefined);
  });

  it('may be a file of another owner that everybody may read', async () => {
    await makeOther(bob);
    await chmod(`${root}/b`, 0o755);
    const said = [];
    for (const [entries] of ways) said.push((await why(alice, entries)) === undefined);
    assert.deepEqual(said, [false, false, true, true, false]);
  });

  it('is not published at the name of a link that another user has put there', async () => {
    await makeOther(bob);
    const named = { 'a/x': { link: '../b' } } as const;
    assert.equal(await why(alice, named, 'a/x'), 'a/x leads to b/.hg, which has another owner');
    assert.equal(await why(us, named, 'a/x'), undefined);
    // Also where it is the owner of all that lies there.
    await lchown(root, alice, alice);
    assert.equal(await why(alice, named, 'a/x'), 'a/x leads to b/.hg, which has another owner');
    await makeOther(alice);
    assert.equal(await why(alice, named, 'a/x'), undefined);
  });
});
