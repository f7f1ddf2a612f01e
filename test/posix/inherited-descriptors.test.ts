import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';

const url = new URL('../../src/posix/descriptors.js', import.meta.url).href;
const libc = new URL('../../src/posix/libc.js', import.meta.url).href;

/** What a Node that was started with descriptor 20 prints, and then a program that it starts. */
async function printed(program: string): Promise<string[]> {
  const open =
    'import os, sys; os.dup2(os.open("/dev/null", os.O_RDONLY), 20); os.execvp(sys.argv[1], sys.argv[1:])';
  const source = `const { keepFromPrograms } = await import(${JSON.stringify(url)});
    const { spawnSync } = await import('node:child_process');
    ${program}
    const listed = spawnSync('ls', ['/dev/fd/'], { encoding: 'latin1' });
    console.log(listed.stdout.split('\\n').includes('20'));`;
  const node = [process.execPath, '--input-type=module', '-e', source];
  const { stdout } = await promisify(execFile)('/usr/bin/python3', ['-c', open, ...node]);
  return stdout.trimEnd().split('\n');
}

describe('A descriptor that we were started with', { timeout: 300_000 }, () => {
  it('is inherited by programs, if nobody sees to it', async () => {
    assert.deepEqual(await printed(''), ['true']);
  });

  it('is kept from programs, and stays open for us', async () => {
    const program = `console.log(JSON.stringify(keepFromPrograms()));
      console.log((await import('node:fs')).fstatSync(20).isCharacterDevice());`;
    assert.deepEqual(await printed(program), ['[]', 'true', 'false']);
  });

  it('is named where nothing can be done, since koffi is not installed', async () => {
    const program = `const left = keepFromPrograms(() => ({ kind: 'missing', reason: 'not installed' }));
      console.log(left.includes(20));`;
    assert.deepEqual(await printed(program), ['true', 'true']);
  });

  it('is not named when it was closed meanwhile: it was a file that a thread of Node had read', async () => {
    for (const then of ['loadLibC()', `{ kind: 'missing', reason: 'not installed' }`]) {
      const program = `const { loadLibC } = await import(${JSON.stringify(libc)});
        const { closeSync } = await import('node:fs');
        const left = keepFromPrograms(() => { closeSync(20); return ${then}; });
        console.log(left.includes(20));`;
      assert.deepEqual(await printed(program), ['false', 'false']);
    }
  });
});
