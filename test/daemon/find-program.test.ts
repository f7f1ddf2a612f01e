import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { findProgram } from '../../src/daemon/make-site.js';
import { makeTree } from '../helpers/file-tree.js';
import { temporaryDirectory } from '../helpers/temporary.js';

describe('A program', () => {
  it('is found by its path, or by its name in the first directory of PATH that has it', async () => {
    const root = await temporaryDirectory();
    await makeTree(root, {
      'a/app': { content: '', mode: 0o644 },
      'b/app': { content: '', mode: 0o755 },
      'c/app': { content: '', mode: 0o755 },
      'd/app': 'directory',
    });
    const find = (name: string, ...directories: string[]): Promise<string> =>
      findProgram(name, new Map([['PATH', directories.map((each) => `${root}/${each}`).join(':')]]));
    assert.equal(await find(`${root}/c/app`), `${root}/c/app`);
    assert.equal(await find('app', 'd', 'a', 'b', 'c'), `${root}/b/app`);
    await assert.rejects(find('app', 'a', 'd'), {
      code: 'ERR_START',
      message: /app: .*no such program in PATH/,
    });
    await assert.rejects(find(`${root}/a/app`), {
      code: 'ERR_START',
      message: /is not executable; try chmod/,
    });
    await assert.rejects(find(`${root}/d/app`), { code: 'ERR_START' });
  });
});
