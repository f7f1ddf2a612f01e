import assert from 'node:assert/strict';
import { chmod, mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { closedTo } from '../../../src/cli/rc/rc.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

/** A program of ours with these permissions, and the way to it. */
async function program(modes: {
  readonly directory: number;
  readonly file: number;
}): Promise<{ directory: string; file: string; gid: number }> {
  const top = await temporaryDirectory();
  await chmod(top, 0o755);
  const directory = join(top, 'prefix');
  const file = join(directory, 'program');
  await mkdir(directory);
  await writeFile(file, '');
  await chmod(file, modes.file);
  await chmod(directory, modes.directory);
  const { gid } = await stat(file);
  return { directory, file, gid };
}

const stranger = { uid: 4_000_000, gids: [4_000_000] };

describe('Where a program is installed', () => {
  it('is open to everybody with the usual permissions', async () => {
    const { file } = await program({ directory: 0o755, file: 0o755 });
    assert.equal(closedTo(stranger, file), undefined);
  });

  it('is closed at the directory that was made with umask 077, also by a link', async () => {
    const { directory, file } = await program({ directory: 0o700, file: 0o700 });
    assert.equal(closedTo(stranger, file), directory);
    const link = join(await temporaryDirectory(), 'link');
    await symlink(file, link);
    assert.equal(closedTo(stranger, link), directory);
  });

  it('is closed at the file that nobody else may execute', async () => {
    const { file } = await program({ directory: 0o755, file: 0o744 });
    assert.equal(closedTo(stranger, file), file);
  });

  it('is open to members of its group alone, if the permissions say so', async () => {
    const { directory, file, gid } = await program({ directory: 0o750, file: 0o750 });
    assert.equal(closedTo({ ...stranger, gids: [1, gid] }, file), undefined);
    assert.equal(closedTo(stranger, file), directory);
  });

  it('is open to root', async () => {
    const { file } = await program({ directory: 0o700, file: 0o700 });
    assert.equal(closedTo({ uid: 0, gids: [0] }, file), undefined);
  });
});
