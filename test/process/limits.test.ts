import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { utimes, writeFile } from 'node:fs/promises';
import { getPriority } from 'node:os';
import { text } from 'node:stream/consumers';
import { before, describe, it } from 'node:test';

import { BridgeError, systemCodeOf } from '../../src/base/errors.js';
import { interpreterFault } from '../../src/base/executable.js';
import { FirstLines, setLimits, startLimited } from '../../src/process/limits.js';
import { chooseStart, type StartProcess } from '../../src/process/start-process.js';
import { makeTree } from '../helpers/file-tree.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const limits = await setLimits({ memoryBytes: undefined, cpuSeconds: 600, niceness: 1 }, () =>
  Promise.resolve('/usr/bin/prlimit'),
);
const plain = chooseStart('posix').start;
const bound = startLimited(plain, limits);

let directory: string;
before(async () => {
  directory = await temporaryDirectory();
  const program = (content: string): { content: string; mode: number } => ({ content, mode: 0o755 });
  await makeTree(directory, {
    'not-executable': { content: '#!/bin/sh\n' },
    'without-interpreter': program('#!/nonexistent -x\n'),
    'with-carriage-return': program('#!/bin/sh\r\necho\r\n'),
    'with-such-an-interpreter': program(`#!${directory}/without-interpreter\n`),
    'with-one-that-is-no-program': program(`#! ${directory}/not-executable\n`),
    'with-a-relative-one': program('#!below/runs\n'),
    'below/runs': program('#!/bin/sh\necho ran\n'),
    'without-first-line': program('echo ran\n'),
    'its-own-interpreter': program(`#!${directory}/its-own-interpreter\n`),
    'how-nice': program('#!/bin/sh\nsleep 0.3\nnice\n'),
  });
});

/** What a program prints, or why it can't be started. */
async function outcome(start: StartProcess, name: string, from = directory): Promise<unknown> {
  const variables = new Map([['PATH', '/usr/bin:/bin']]);
  try {
    const started = await start({ file: `${directory}/${name}`, args: [], directory: from, variables });
    const [stdout] = await Promise.all([text(started.stdout), text(started.stderr), started.exited]);
    return stdout;
  } catch (error) {
    assert.ok(error instanceof BridgeError);
    return [error.code, error.message, systemCodeOf(error.cause)];
  }
}

describe('A program with limits', () => {
  for (const name of [
    'absent',
    'not-executable',
    'without-interpreter',
    'with-carriage-return',
    'with-such-an-interpreter',
    'with-one-that-is-no-program',
    'with\0nul',
  ]) {
    it(`is refused as one without: ${JSON.stringify(name)}`, async () => {
      const refused = await outcome(plain, name);
      assert.ok(Array.isArray(refused), String(refused));
      const [, , code] = refused as unknown[];
      const [, message, boundCode] = (await outcome(bound, name)) as string[];
      assert.equal(boundCode, code);
      assert.equal(message?.split(': ')[0], (refused as string[])[1]?.split(': ')[0]);
    });
  }

  it('is refused with the same words where its directory is not there', async () => {
    const refused = await outcome(plain, 'without-first-line', `${directory}/gone`);
    assert.match(String(refused), /without-first-line could not be started: there is no directory/);
    assert.deepEqual(await outcome(bound, 'without-first-line', `${directory}/gone`), refused);
  });

  it('is not looked through for ever where it is its own interpreter', { timeout: 30_000 }, async () => {
    await outcome(bound, 'its-own-interpreter');
  });

  it('is as nice as it is told to be, however it is started', async () => {
    const { niceness, ...others } = limits;
    const own = getPriority();
    for (const way of ['posix', 'node'] as const) {
      const nice = startLimited(chooseStart(way).start, { ...others, launcher: [], niceness });
      assert.equal(await outcome(nice, 'how-nice'), `${String(own + 1)}\n`, way);
    }
  });

  it('has a second to end in after its processor time', () => {
    assert.equal(limits.values.get('cpu'), '600:601');
  });

  for (const name of ['with-a-relative-one', 'without-first-line']) {
    it(`is run as one without: ${name}`, async () => {
      assert.equal(await outcome(plain, name), 'ran\n');
      assert.equal(await outcome(bound, name), 'ran\n');
    });
  }
});

describe('The first line of a program', { timeout: 30_000 }, () => {
  it('is read again where the file has changed, though it is as long and says the same time', async () => {
    const [path, lines] = [`${directory}/changed`, new FirstLines(10)];
    await writeFile(path, '#!/one\n', { mode: 0o755 });
    await utimes(path, 1, 1);
    assert.equal(await lines.of(path), '#!/one');
    await writeFile(path, '#!/two\n');
    await utimes(path, 1, 1);
    assert.equal(await lines.of(path), '#!/two');
  });

  it('is not waited for where a named pipe has come in the place of the program', async () => {
    const path = `${directory}/pipe`;
    execFileSync('mkfifo', ['-m', '755', path]);
    assert.equal(await new FirstLines(10).of(path), undefined);
    assert.equal(await interpreterFault(path), undefined);
  });
});
