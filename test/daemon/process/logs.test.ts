import assert from 'node:assert/strict';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { beforeEach, describe, it } from 'node:test';

import { Logs, makeLogFile } from '../../../src/daemon/process/logs.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const NOBODY = 65_534;
const nobody = { uid: NOBODY, gid: NOBODY, groups: [NOBODY], user: 'nobody' };

describe('The logs of a daemon', () => {
  it('both go on as they were where the access log can’t be changed', async () => {
    const directory = await temporaryDirectory();
    const [log, other] = [`${directory}/log`, `${directory}/other`];
    const logs = new Logs({ log: { file: log, level: 'info', format: 'text' }, accessLog: undefined });
    const changed = { file: other, level: 'error', format: 'json' } as const;
    assert.throws(
      () => {
        logs.change({ log: changed, accessLog: `${directory}/missing/access` });
      },
      { code: 'ERR_LOG_FILE' },
    );
    logs.log.info({}, 'it goes on');
    assert.match(await readFile(log, 'utf8'), / info it goes on\n$/);
    assert.equal(await readFile(other, 'utf8'), '');
  });
});

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

  it('is left to the user where the user may make it, as its owner, by its group or as anybody', async () => {
    // In one of root’s, so that nobody else can put another in its place.
    const own = `${directory}/own`;
    await mkdir(own);
    for (const [uid, gid, mode] of [
      [NOBODY, 0, 0o755],
      [0, NOBODY, 0o775],
      [0, 0, 0o777],
    ] as const) {
      await chown(own, uid, gid);
      await chmod(own, mode);
      makeLogFile(nobody, `${own}/log`);
      assert.deepEqual(await readdir(own), [], mode.toString(8));
    }
    for (const [uid, gid, mode] of [
      [NOBODY, NOBODY, 0o577],
      [0, NOBODY, 0o757],
    ] as const) {
      await chown(own, uid, gid);
      await chmod(own, mode);
      makeLogFile(nobody, `${own}/log`);
      assert.deepEqual(await readdir(own), ['log'], mode.toString(8));
      await rm(`${own}/log`);
    }
  });
});
