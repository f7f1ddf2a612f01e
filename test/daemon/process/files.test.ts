/** What others can't change under root's hands: each directory on the way to a file, and the last one. */

import assert from 'node:assert/strict';
import { chmod, chown, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, it } from 'node:test';

import { rootsDirectoryOf } from '../../../src/daemon/process/files.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const NOBODY = 65_534;

let directory: string;
beforeEach(async () => {
  directory = await temporaryDirectory();
  for (const name of [
    'roots',
    'roots/in',
    'others',
    'others/roots',
    'sticky',
    'sticky/roots',
    'sticky/others',
  ])
    await mkdir(join(directory, name), { mode: 0o755 });
  for (const name of ['others', 'sticky/others']) await chown(join(directory, name), NOBODY, NOBODY);
  await chmod(join(directory, 'sticky'), 0o1777);
});

const isRootsAlone = (...path: readonly string[]): boolean | undefined =>
  rootsDirectoryOf(join(directory, ...path))?.isRootsAlone;

describe('A directory', { skip: process.getuid?.() !== 0 }, () => {
  it('is root’s alone where root owns it, and all that lead there', () => {
    assert.equal(isRootsAlone('roots/in/file'), true);
    assert.equal(isRootsAlone('roots/../roots/./in/file'), true);
    assert.equal(
      isRootsAlone('sticky/roots/file'),
      true,
      'in a directory like /tmp nobody else may rename it',
    );
  });

  it('is found, but is not root’s alone, where others may write to it', async () => {
    assert.equal(isRootsAlone('others/file'), false);
    assert.equal(isRootsAlone('sticky/file'), false);
    await chmod(join(directory, 'roots/in'), 0o775);
    assert.equal(isRootsAlone('roots/in/file'), false);
  });

  it('is not found by way of a directory that others may write to', async () => {
    assert.equal(isRootsAlone('others/roots/file'), undefined);
    assert.equal(isRootsAlone('sticky/others/file'), undefined, 'its owner may rename it');
    await chmod(join(directory, 'roots'), 0o777);
    assert.equal(isRootsAlone('roots/in/file'), undefined);
  });

  it('is found through links of root’s, and through no other', async () => {
    const link = async (target: string, ...name: readonly string[]): Promise<void> =>
      symlink(target, join(directory, ...name));
    await link('in', 'roots/relative');
    await link(join(directory, 'roots/in'), 'roots/absolute');
    await link('../others', 'roots/to-others');
    await link('../roots/in', 'others/link');
    await link('../roots/in', 'sticky/link');
    await link('loop', 'roots/loop');
    assert.equal(isRootsAlone('roots/relative/file'), true);
    assert.equal(isRootsAlone('roots/absolute/file'), true);
    assert.equal(isRootsAlone('roots/to-others/file'), false);
    for (const path of [
      'others/link/file',
      'sticky/link/file',
      'roots/loop/file',
      'roots/to-others/link/file',
    ])
      assert.equal(isRootsAlone(path), undefined, path);
  });

  it('has to be there', () => {
    assert.equal(isRootsAlone('roots/missing/file'), undefined);
  });
});
