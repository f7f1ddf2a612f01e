import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { describe, it } from 'node:test';

import { fromText } from '../../../src/base/bytes.js';
import type { Invocation } from '../../../src/cgi/invocation.js';
import { makeTree } from '../../helpers/file-tree.js';
import { temporaryDirectory } from '../../helpers/temporary.js';
import { fixture } from '../../helpers/bridge.js';
import { spawnScript } from '../../../src/runners/start-queue.js';
import { isRunning, until } from '../../helpers/processes.js';
import { startProcess } from '../../helpers/spawn-method.js';
import { runBy, spawned, Warm } from '../../helpers/warm.js';
import { isFull } from '../../helpers/webserver-table.js';

/** What adds up in a fork server, one more each time, shows long before a thousand. */
const REQUESTS = isFull ? 1_000 : 80;
/** As many at once. */
const CONCURRENCY = 4;

const variables = new Map([
  ['PATH', '/usr/bin:/bin'],
  ['ODD', 'lat\xefn\n=\x01'],
  ['EMPTY', ''],
  ['a.b c', 'no shell can name it'],
]);

function invocationOf(name: string, more: Partial<Invocation> = {}): Invocation {
  const file = fixture(`cgi/${name}`);
  return {
    file: fromText(file),
    args: ['-a', 'b \xff'],
    directory: fromText(dirname(file)),
    variables,
    ...more,
  };
}

/** What is the same in every process, and what is not the same in any two. */
function facts(stdout: string): { same: string[]; varies: string } {
  const lines = stdout.split('\n');
  const varies = lines.filter((line) => line.startsWith('varies'));
  return { same: lines.filter((line) => !/^(varies|parent)/.test(line)), varies: varies.join('\n') };
}

for (const [script, code] of [
  ['changes-all-it-can.py', 0],
  ['changes-all-it-can.pl', 3],
] as const) {
  describe(`A warm process of ${script}`, { timeout: 300_000 }, () => {
    it('finds everything as a new one does, the last like the first, but for what is random', async () => {
      const warm = new Warm();
      const invocation = invocationOf(script);
      const expected = facts((await runBy(spawned, invocation, 'the body')).stdout).same;
      assert.ok(expected.length > 10);
      await warm.warmUp(invocation);
      const seen = new Set<string>();
      let begun = 0;
      const runAll = async (): Promise<void> => {
        while (begun < REQUESTS) {
          const request = `request ${String(++begun)}`;
          const { stdout, stderr, outcome, isWarm } = await warm.run(invocation, 'the body');
          const { same, varies } = facts(stdout);
          assert.deepEqual(same, expected, request);
          assert.deepEqual([stderr, outcome.exit], ['', { kind: 'exited', code }], request);
          assert.ok(isWarm, request);
          for (const random of varies.split(/[ ,]+/)) if (random.length > 8) seen.add(random);
        }
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, runAll));
      assert.ok(seen.size >= 3 * REQUESTS, `${String(seen.size)} different values`);
    });
  });
}

const perl = `#!/usr/bin/perl
print "Content-Type: text/plain\\n\\n", join("\\n", '', '', $^T, 1);`;
const python = `#!/usr/bin/python3
import sys
ahead = sorted(sys.modules.keys() & {'logging', 'multiprocessing.process'})
import logging, multiprocessing.process, threading
key = multiprocessing.process.current_process().authkey.hex()
start = logging._startTime / (1 if type(logging._startTime) is float else 1e9)
print('Content-Type: text/plain\\n')
print(*ahead)
print(key, start, int(threading.main_thread().native_id == threading.get_native_id()), sep='\\n')`;

describe('What is set while an interpreter starts, or a module is loaded,', { timeout: 300_000 }, () => {
  for (const [name, content, modules] of [
    ['perl', perl, ''],
    ['python', python, 'logging multiprocessing.process'],
  ] as const) {
    it(`is a warm process’s own in ${name}: time, key and thread`, async () => {
      const directory = await temporaryDirectory();
      await makeTree(directory, { script: { content, mode: 0o755 } });
      const invocation = { file: fromText(`${directory}/script`), args: [], directory: '/', variables };
      const warm = new Warm();
      await warm.warmUp(invocation, { learned: modules !== '' });
      // A second later, so that it can be told from what the fork server has.
      const since = Date.now();
      await until(() => Date.now() > since + 1_000);
      const keys = new Set<string>();
      for (let count = 1; count <= 2; count += 1) {
        const asked = Math.floor(Date.now() / 1_000);
        const { stdout, isWarm } = await warm.run(invocation);
        const [, , ahead, key = '', time, isOwnThread] = stdout.split('\n');
        assert.deepEqual([isWarm, ahead, isOwnThread], [true, modules, '1'], stdout);
        assert.ok(Number(time) >= asked, stdout);
        keys.add(key);
        assert.equal(keys.size, name === 'perl' ? 1 : count);
      }
    });
  }
});

describe('A warm process of Python', { timeout: 300_000 }, () => {
  it('has its own time zone, and the environment that what stands before its interpreter has made', async () => {
    const directory = await temporaryDirectory();
    // As pyenv has it.
    const shim = `#!/bin/sh\nunset PYENV_VERSION\nexport PYENV_DIR=/\nexec /usr/bin/python3 "$@"\n`;
    const content = `#!${directory}/python3
import os, sys, time
print('A: b\\n')
print(sys.dont_write_bytecode, *time.tzname, *(os.environ.get('PYENV_' + name) for name in ('VERSION', 'DIR')))\n`;
    const tree = { python3: { content: shim, mode: 0o755 }, script: { content, mode: 0o755 } };
    await makeTree(directory, tree);
    const warm = new Warm();
    for (const zone of ['ONE', 'TWO']) {
      const more = [
        ['TZ', `${zone}-1`],
        ['PYENV_VERSION', '3'],
      ] as const;
      const invocation = {
        ...{ file: fromText(`${directory}/script`), args: [], directory: '/' },
        variables: new Map([...variables, ...more]),
      };
      const { stdout } = await warm.compared(invocation, zone);
      assert.equal(stdout, `A: b\n\nFalse ${zone} ${zone} None /\n`);
    }
  });
});

describe('A fork server that does not start', { timeout: 300_000 }, () => {
  it('is given up after a time and ended should it start, while requests are served without it', async () => {
    let pid = 0;
    let tell: () => void = () => undefined;
    const late = new Promise<void>((resolve) => (tell = resolve));
    const startServer = spawnScript(async (command) => {
      const started = await startProcess(command);
      pid = started.pid;
      await late;
      return started;
    }, 50);
    const warm = new Warm({ startServer });
    const invocation = invocationOf('ends-as-asked.py');
    assert.ok(!(await warm.run(invocation)).isWarm);
    const { level, fields, message } = await warm.event(/for a while/);
    assert.deepEqual([level, message], ['warn', 'a script is run by spawn for a while']);
    assert.match(
      String(fields['reason']),
      /^no file system has let the program start within 50 ms \(--look-up-timeout\)$/,
    );
    assert.ok(!(await warm.run(invocation)).isWarm);
    assert.equal(warm.events.length, 1);
    await until(() => pid > 0 && isRunning(pid));
    tell();
    await until(() => !isRunning(pid));
  });

  it('keeps nobody from ending all', async () => {
    const warm = new Warm({ startServer: spawnScript(() => new Promise(() => undefined), 0) });
    assert.ok(!(await warm.run(invocationOf('ends-as-asked.py'))).isWarm);
    await warm.scripts.close();
  });

  it('starts no program for a value with a NUL, which the other way refuses', async () => {
    const warm = new Warm();
    const invocation = invocationOf('ends-as-asked.py');
    await warm.warmUp(invocation, { learned: false });
    const asked = [
      { args: ['a\0b'] },
      { directory: `${invocation.directory}\0` },
      { variables: new Map([...variables, ['X', 'a\0b']]) },
    ];
    for (const each of asked) {
      const { outcome, isWarm } = await warm.run({ ...invocation, ...each });
      assert.ok(!isWarm);
      assert.match(outcome.startError?.message ?? '', /NUL/);
    }
    assert.ok((await warm.run(invocation)).isWarm);
  });
});
