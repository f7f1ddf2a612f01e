import assert from 'node:assert/strict';
import { chmod, copyFile, rename, stat, writeFile } from 'node:fs/promises';
import { beforeEach, describe, it } from 'node:test';

import { GitVersion } from '../../../src/sites/git/installation.js';
import { succeed } from '../../helpers/command.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const GIT = '/usr/bin/git';
const MINUTE = 60_000;

describe('The version of git', () => {
  let git: string;
  let clock: number;
  let version: GitVersion;

  beforeEach(async () => {
    git = `${await temporaryDirectory()}/git`;
    clock = Date.now() + MINUTE;
    version = new GitVersion(git, () => clock);
  });

  /** What is known once it was looked. */
  async function known(): Promise<string | undefined> {
    clock += MINUTE;
    void version.known();
    await version.looked;
    return version.known();
  }

  it('is known with what tells its file, after it was asked for once', async () => {
    await copyFile(GIT, git);
    assert.equal(version.known(), undefined);
    await version.looked;
    const [, told] = /^git version (.*)$/m.exec(await succeed(GIT, ['--version'])) ?? [];
    assert.equal(version.known()?.replace(/^\d+:\d+:\d+:\d+:\d+ /, ''), told);
  });

  it('is not known of a file that has just changed, nor of none, nor of a script', async () => {
    await copyFile(GIT, git);
    const { ctimeMs } = await stat(git);
    for (const [ageMs, isKnown] of [
      [1_999, false],
      [2_001, true],
    ] as const) {
      const soon = new GitVersion(git, () => ctimeMs + ageMs);
      assert.equal(soon.known(), undefined);
      await soon.looked;
      assert.equal(soon.known() !== undefined, isKnown, `${String(ageMs)} ms`);
    }
    assert.notEqual(await known(), undefined);
    await rename(git, `${git}.moved`);
    assert.equal(await known(), undefined);
    await writeFile(git, '#!/bin/sh\necho git version 1.2.3\n');
    await chmod(git, 0o755);
    assert.equal(await known(), undefined);
  });

  it('is asked for again of another file, and its file is that one', async () => {
    await copyFile(GIT, git);
    const before = await known();
    await copyFile(GIT, `${git}.new`);
    await rename(`${git}.new`, git);
    const after = await known();
    assert.ok(after !== undefined && before !== undefined && after !== before);
  });
});
