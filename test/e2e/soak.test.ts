import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Random } from '../fuzz/random.js';
import { ask } from '../helpers/ask.js';
import { runToEnd } from '../helpers/command.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { isFull } from '../helpers/webserver-table.js';
import { Ledger } from '../soak/ledger.js';
import { Turn } from '../soak/load.js';
import type { Stage } from '../soak/stage.js';
import { Watched } from '../soak/watched.js';

const soak = fileURLToPath(new URL('../soak/soak.js', import.meta.url));
const faults = new URL('../soak/faults.js', import.meta.url).href;
const PATIENCE_MS = 60_000;

/** The environment in which a daemon has this fault. */
function faulty(FAULT: string): NodeJS.ProcessEnv {
  const NODE_OPTIONS = `${process.env['NODE_OPTIONS'] ?? ''} --import ${faults}`;
  return { ...process.env, NODE_OPTIONS, FAULT };
}

describe('The soak command', { timeout: 600_000 }, () => {
  const loads = isFull ? 60 : 20;
  it(`finds nothing unexpected in ${String(loads)} loads, after four of each kind`, async () => {
    const { status, stdout, stderr } = await runToEnd(process.execPath, [
      soak,
      ...['--loads', String(loads), '--seed', '20061106'],
    ]);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' }, stdout);
    assert.match(stdout, /^all +\d+ +\d+ +\d+ +0$/m);
    assert.match(stdout, /^seed 20061106: \d+ tagged requests in [\d.]+ s, 0 unexpected\n$/m);
  });

  it('explains itself', async () => {
    const { status, stdout } = await runToEnd(process.execPath, [soak, '--seconds', 'ten']);
    assert.equal(status, 2);
    assert.match(stdout, /^usage: npm run soak -- /);
  });

  it('refuses a kind of load that there is not', async () => {
    const { status, stderr } = await runToEnd(process.execPath, [soak, '--kind', 'nonsense']);
    assert.equal(status, 1);
    assert.match(stderr, /no kind of load is named like nonsense/);
  });

  it('ends with status 1 when something was unexpected, and says how to repeat it', async () => {
    const only = ['--settle', '3', '--kind', 'killed before an answer'];
    const { status, stdout, stderr } = await runToEnd(
      process.execPath,
      [soak, '--loads', '4', '--seed', '1', ...only],
      { env: faulty('temporary-files') },
    );
    assert.equal(status, 1, stdout + stderr);
    assert.match(stdout, /UNEXPECTED the dir daemon: temporary files are left: left-/);
    assert.match(stderr, /^repeat: npm run soak -- --seed 1 /m);
  });
});

describe('What a soak looks at', { timeout: 300_000 }, () => {
  for (const [fault, found] of [
    ['none', []],
    ['descriptors', [/^\d+ descriptors, at its start \d+$/]],
    ['memory', [/^its memory has grown by \d+ MiB$/]],
    ['processes', [/^processes \d+ are left$/]],
    ['temporary-files', [/^temporary files are left: left-/]],
    ['log-lines', [/^request \d+ has 2 lines in the access log$/]],
    ['crash', [/^it has ended: \d+$/]],
  ] as const) {
    it(`tells what is wrong with a daemon: ${fault}`, async () => {
      const directory = await temporaryDirectory();
      const args = ['script', '/bin/sh', '--', '-c', "printf 'A: b\\n\\n'"];
      const daemon = await Watched.start({ directory, args, env: faulty(fault) });
      try {
        daemon.warmedUp();
        for (let requests = 0; requests < 40; requests++) await ask(daemon.socket).catch(() => undefined);
        const settled = await daemon.settle(fault === 'none' ? PATIENCE_MS : 200);
        const problems = [...settled, ...(await daemon.stop()).problems];
        if (fault === 'none') assert.deepEqual(problems, []);
        for (const problem of found) {
          assert.ok(
            problems.some((each) => problem.test(each)),
            problems.join('\n'),
          );
        }
      } finally {
        daemon.kill();
      }
    });
  }

  it('tells an answer that is wrong from one whose process was killed', async () => {
    const web = createServer((_, response) => response.end('ALL OF IT\n')).listen(0, '127.0.0.1');
    await once(web, 'listening');
    const url = `http://127.0.0.1:${String((web.address() as AddressInfo).port)}`;
    const ledger = new Ledger();
    try {
      for (const number of [1, 2, 3]) {
        const body = number === 3 ? 'ALL OF IT\n' : 'all of it\n';
        const turn = new Turn({
          // Nothing of the stage is used.
          stage: {} as Stage,
          ...{ ledger, random: new Random(1, number), load: 'scripts', number },
          signal: AbortSignal.timeout(PATIENCE_MS),
        });
        await turn.get({ url }, (tag) => `/?soak=${tag}`, { status: 200, body, end: 'completed' });
      }
    } finally {
      web.close();
    }
    ledger.killedPids.add(12);
    const line = { id: 'x-1', uri: '/?soak=1.1', pid: 11, end: 'completed' };
    ledger.reckon([
      line,
      { ...line, uri: '/?soak=2.1', pid: 12 },
      { ...line, uri: '/?soak=3.1', pid: 13, end: 'cut-short' },
      { ...line, uri: '/?soak=4.1' },
    ]);
    const [wrong = '', ...others] = ledger.unexpected;
    assert.match(wrong, /^scripts: 1\.1: http:.*: expected 200 "all of it.*had 200 "ALL OF IT/);
    assert.deepEqual(others, [
      'scripts: 3.1: ended as cut-short, expected completed',
      'unknown: 4.1 was logged and never asked',
    ]);
  });
});
