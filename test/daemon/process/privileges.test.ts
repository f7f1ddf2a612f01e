/** Whose work root leaves to its owner: what is done with a pid file that others may put in its place. */

import assert from 'node:assert/strict';
import { chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, it } from 'node:test';

import { ownerToBe } from '../../../src/daemon/process/privileges.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const NOBODY = 65_534;

let directory: string;
beforeEach(async () => {
  directory = await temporaryDirectory();
  await writeFile(join(directory, 'roots'), '1\n');
  await mkdir(join(directory, 'of-nobody'));
  for (const name of ['own', 'roots']) await writeFile(join(directory, 'of-nobody', name), '1\n');
  for (const name of ['of-nobody', 'of-nobody/own']) await chown(join(directory, name), NOBODY, NOBODY);
});

describe('The owner of a pid file', { skip: process.getuid?.() !== 0 }, () => {
  it('is nobody to become where only root may write, whether the file is there or not', () => {
    for (const name of ['roots', 'missing']) assert.equal(ownerToBe(join(directory, name)), undefined);
  });

  it('does what is to be done with a file in a directory where others may write', () => {
    const { uid, gid } = ownerToBe(join(directory, 'of-nobody/own')) ?? {};
    assert.deepEqual([uid, gid], [NOBODY, NOBODY]);
  });

  it('is never root there, nor unknown: others decide what the name leads to', () => {
    for (const [name, why] of [
      ['roots', /roots: it is root’s, in a directory that others may change; /],
      ['missing', /missing: no file is there; /],
    ] as const) {
      const refused = { code: 'ERR_PID_FILE', message: why };
      assert.throws(() => ownerToBe(join(directory, 'of-nobody', name)), refused);
    }
  });
});
