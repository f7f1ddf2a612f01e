import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { text } from 'node:stream/consumers';

import { BridgeError, systemCodeOf } from '../../src/base/errors.js';
import { setLimits, startLimited } from '../../src/process/limits.js';
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

  for (const name of ['with-a-relative-one', 'without-first-line']) {
    it(`is run as one without: ${name}`, async () => {
      assert.equal(await outcome(plain, name), 'ran\n');
      assert.equal(await outcome(bound, name), 'ran\n');
    });
  }
});
