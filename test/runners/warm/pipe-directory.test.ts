import assert from 'node:assert/strict';
import { rmdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, describe, it } from 'node:test';

import { makePipeDirectory } from '../../../src/runners/warm/forked-processes.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

describe('The directory of a fork server’s pipes', () => {
  const before = process.env['TMPDIR'];
  afterEach(() => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  });

  it('is where TMPDIR says', async () => {
    const directory = await temporaryDirectory();
    process.env['TMPDIR'] = directory;
    assert.equal(dirname(dirname(await makePipeDirectory())), directory);
  });

  it('is in memory where TMPDIR does not say, and nobody else’s', async () => {
    delete process.env['TMPDIR'];
    const made = await makePipeDirectory();
    try {
      assert.equal(dirname(dirname(made)), process.platform === 'linux' ? '/dev/shm' : '/tmp');
      assert.equal(statSync(made).mode & 0o777, 0o700);
    } finally {
      rmdirSync(made);
    }
  });
});
