import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { runToEnd } from '../helpers/command.js';

const soak = fileURLToPath(new URL('../soak/soak.js', import.meta.url));
const faults = new URL('../soak/faults.js', import.meta.url).href;

describe('The soak command', { timeout: 600_000 }, () => {
  it('finds nothing unexpected in 150 loads of all kinds', async () => {
    const { status, stdout, stderr } = await runToEnd(process.execPath, [
      soak,
      ...['--loads', '150', '--seed', '20061106'],
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

  for (const [fault, found] of [
    ['wrong-answers', /UNEXPECTED scripts, good and bad: .*expected 200 "all of it.*had 200 "ALL OF IT/],
    ['descriptors', /UNEXPECTED the dir daemon: \d+ descriptors, at its start \d+/],
    ['memory', /UNEXPECTED the dir daemon: its memory has grown by \d+ MiB/],
    ['processes', /UNEXPECTED the dir daemon: processes \d+ are left/],
    ['temporary-files', /UNEXPECTED the dir daemon: temporary files are left: left-/],
    ['log-lines', /UNEXPECTED the dir daemon: request \d+ has 2 lines in the access log/],
    ['crash', /UNEXPECTED the dir daemon: it has ended: \d+/],
  ] as const) {
    it(`notices a daemon that is faulty: ${fault}`, async () => {
      const NODE_OPTIONS = `${process.env['NODE_OPTIONS'] ?? ''} --import ${faults}`;
      const { status, stdout, stderr } = await runToEnd(
        process.execPath,
        [soak, '--loads', '60', '--seed', '1', '--settle', '3', '--kind', 'scripts, good and bad'],
        { env: { ...process.env, NODE_OPTIONS, FAULT: fault } },
      );
      assert.equal(status, 1, stdout + stderr);
      assert.match(stdout, found);
      assert.match(stderr, /^repeat: npm run soak -- --seed 1 /m);
    });
  }
});
