import assert from 'node:assert/strict';
import { chmod, lstat, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { beforeEach, describe, it } from 'node:test';

import { makeLogFile } from '../../../src/daemon/process/logs.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const NOBODY = 65_534;
const nobody = { uid: NOBODY, gid: NOBODY, groups: [NOBODY], user: 'nobody' };

describe('The log file that root makes for a user', { skip: process.getuid?.() !== 0 }, () => {
  let directory: string;
  let path: string;

  beforeEach(async () => {
    directory = await temporaryDirectory();
    path = `${directory}/log`;
  });

  it('is an empty one of the user’s, which others can’t read', async () => {
    makeLogFile(nobody, path);
    const { uid, gid, mode, size } = await stat(path);
    assert.deepEqual([uid, gid, mode & 0o007, size], [NOBODY, NOBODY, 0, 0]);
  });

  it('is no file that is there already, nor what a link leads to', async () => {
    const victim = `${directory}/victim`;
    await writeFile(victim, 'as it was', { mode: 0o600 });
    await symlink('missing', `${directory}/dangling`);
    await symlink(victim, `${directory}/link`);
    for (const name of ['victim', 'link', 'dangling']) makeLogFile(nobody, `${directory}/${name}`);
    assert.deepEqual((await readdir(directory)).sort(), ['dangling', 'link', 'victim']);
    for (const name of await readdir(directory)) assert.equal((await lstat(`${directory}/${name}`)).uid, 0);
  });

  it('is left to the user where the user may make it', async () => {
    await chmod(directory, 0o777);
    makeLogFile(nobody, path);
    assert.deepEqual(await readdir(directory), []);
  });
});
