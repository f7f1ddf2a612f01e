import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { temporaryDirectory } from './helpers/temporary.js';

describe('Importing the library', () => {
  it('sets no flag of V8 and asks for no working directory', async () => {
    const directory = await temporaryDirectory();
    const program = join(directory, 'program.mjs');
    const library = new URL('../src/index.js', import.meta.url).href;
    await writeFile(
      program,
      `import { runInNewContext } from 'node:vm';
      let asked = 0;
      process.cwd = () => String(asked++);
      await import('${library}');
      console.log(asked, runInNewContext('typeof gc'));`,
    );
    assert.equal(execFileSync(process.execPath, [program], { encoding: 'utf8' }), '0 undefined\n');
  });
});
