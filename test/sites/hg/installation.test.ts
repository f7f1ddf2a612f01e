import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';

import { askMercurial, findMercurial } from '../../../src/sites/hg/installation.js';
import { succeed } from '../../helpers/command.js';
import { makeTree } from '../../helpers/file-tree.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

let directory: string;

before(async () => {
  directory = await temporaryDirectory();
});

/** A program of that name with these lines of shell. */
async function program(name: string, ...lines: readonly string[]): Promise<string> {
  await makeTree(directory, { [name]: { content: ['#!/bin/sh', ...lines, ''].join('\n'), mode: 0o755 } });
  return `${directory}/${name}`;
}

describe('Mercurial is found', () => {
  it('by its name, with a Python that has its modules', async () => {
    const { python, modules } = await findMercurial('hg');
    assert.ok(existsSync(`${modules}/__version__.py`) || existsSync(`${modules}/hgweb`), modules);
    await succeed(python, [
      '-c',
      `import sys; sys.path.insert(0, ${JSON.stringify(`${modules}/..`)}); import mercurial`,
    ]);
  });

  it('behind a script that calls it', async () => {
    assert.deepEqual(
      await findMercurial(await program('wrapper', 'exec hg "$@"')),
      await findMercurial('hg'),
    );
  });

  it('where it answers and then complains of what does not matter here', async () => {
    const hg = await program(
      'complains',
      'printf "/usr/bin/python3\\n/usr/lib/mercurial\\n"',
      'echo "no editor" >&2',
      'exit 1',
    );
    assert.deepEqual(await findMercurial(hg), { python: '/usr/bin/python3', modules: '/usr/lib/mercurial' });
  });

  it('from one answer where it was asked beforehand, and is asked anew the next time', async () => {
    const hg = await program('counts', 'echo asked >> "$0.calls"', 'printf "/p\\n/m\\n"');
    askMercurial(hg);
    for (const calls of ['asked\n', 'asked\nasked\n']) {
      assert.deepEqual(await findMercurial(hg), { python: '/p', modules: '/m' });
      assert.equal(readFileSync(`${hg}.calls`, 'utf8'), calls);
    }
  });

  it('whatever the settings of the one who starts the daemon say', async () => {
    const hg = await program(
      'asks',
      '[ "$HGRCPATH" = "" ] && [ "${HGRCPATH+set}" = set ] && [ "$HGPLAIN" = 1 ] && [ "$PWD" = / ] &&',
      'printf "/p\\n/m\\n"',
    );
    assert.deepEqual(await findMercurial(hg), { python: '/p', modules: '/m' });
  });
});

describe('Mercurial is not found, and the error says what to do,', () => {
  it('where there is no such program', async () => {
    for (const hg of [`${directory}/missing`, 'no-such-hg']) {
      await assert.rejects(findMercurial(hg), {
        code: 'ERR_MERCURIAL',
        message: `--hg ${hg}: there is no such program; install Mercurial or name it with --hg PATH`,
      });
    }
  });

  it('where the program says nonsense', async () => {
    for (const [name, output] of [
      ['nonsense', 'hello'],
      ['frozen', '/opt/hg/hg.exe\\n\\n'],
      ['relative', 'python3\\nmercurial\\n'],
    ] as const) {
      const hg = await program(name, `printf '${output}'`);
      await assert.rejects(findMercurial(hg), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ERR_MERCURIAL');
        assert.match(error.message, /names no Python .*\(it said ".*"\); name another hg with --hg PATH$/);
        assert.ok(error.message.startsWith(`--hg ${hg}: `) && !error.message.includes('\n'), error.message);
        return true;
      });
    }
  });

  it('where the program says nothing', async () => {
    await assert.rejects(findMercurial('true'), { code: 'ERR_MERCURIAL', message: /it said ""/ });
  });

  it('where the program fails, with the last thing that it complained of', async () => {
    const hg = await program(
      'fails',
      'echo "Traceback:" >&2',
      'echo "ImportError: no module mercurial" >&2',
      'exit 255',
    );
    await assert.rejects(findMercurial(hg), {
      code: 'ERR_MERCURIAL',
      message: `--hg ${hg}: ImportError: no module mercurial`,
    });
  });

  it('where the program may not be executed', async () => {
    await makeTree(directory, { plain: { content: 'x', mode: 0o644 } });
    await assert.rejects(findMercurial(`${directory}/plain`), { code: 'ERR_MERCURIAL', message: /EACCES/ });
  });
});
