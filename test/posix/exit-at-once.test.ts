import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';

import { temporaryDirectory } from '../helpers/temporary.js';

describe('A process', () => {
  it('ends with its status though a thread of it waits for ever', async () => {
    const pipe = `${await temporaryDirectory()}/pipe`;
    execFileSync('mkfifo', [pipe]);
    const module = new URL('../../src/posix/libc.js', import.meta.url).href;
    // To open a pipe that nobody writes to takes a thread for good.
    const script = `
      import { open } from 'node:fs/promises';
      import { exitAtOnce } from ${JSON.stringify(module)};
      void open(${JSON.stringify(pipe)});
      setTimeout(exitAtOnce, 100, 7);
    `;
    const { status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      timeout: 30_000,
    });
    assert.equal(status, 7);
  });
});
