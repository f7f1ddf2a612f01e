import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { AllowFrom } from '../../../src/daemon/listening/address.js';
import { Listener } from '../../../src/daemon/listening/listener.js';
import { until } from '../../helpers/processes.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const LIMIT = 120;
const CLIENTS = 40;

/** Connects so often, and prints a line for each connection that is closed on it. */
const client = `const { connect } = require('node:net');
let connected = 0;
for (let i = 0; i < ${String(CLIENTS)}; i++) connect(process.argv[1]).on('error', () => undefined)
  .on('connect', () => { if (++connected === ${String(CLIENTS)}) console.log('connected'); })
  .on('close', () => console.log('closed')).resume();
process.stdin.resume().on('end', () => process.exit());`;

describe('A listening socket', { timeout: 30_000 }, () => {
  it('lets who connects wait where hardly a descriptor is left, and serves all when there are some', async () => {
    const path = join(await temporaryDirectory(), 'sock');
    const accepted: Socket[] = [];
    const problems: string[] = [];
    // First all that takes descriptors itself.
    const other = spawn(process.execPath, ['-e', client, path], { stdio: ['pipe', 'pipe', 'inherit'] });
    other.kill('SIGSTOP');
    const lines: string[] = [];
    createInterface({ input: other.stdout }).on('line', (line) => lines.push(line));
    execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${String(LIMIT)}:`]);
    const listener = await Listener.bind(
      { kind: 'unix', path },
      {
        socket: { mode: 0o600, owner: undefined, group: undefined },
        backlog: 511,
        allowFrom: new AllowFrom([]),
        onProblem: (why) => problems.push(why),
        onStranger: (why) => problems.push(why),
      },
    );
    await listener.ready();
    listener.accept((socket) => accepted.push(socket.on('error', () => undefined)));
    const filling: number[] = [];
    while ((filling.at(-1) ?? 0) < LIMIT - 25) filling.push(openSync('/dev/null', 'r'));

    other.kill('SIGCONT');
    await until(() => lines.includes('connected'));
    await until(() => problems.length > 0);
    assert.match(problems[0] ?? '', /who connects waits.*ulimit -n/);
    assert.ok(accepted.length < CLIENTS, String(accepted.length));
    assert.deepEqual(lines, ['connected']);

    // Descriptors alone are no reason to accept again while it is held.
    const { length } = accepted;
    assert.equal(listener.server.hold(), true);
    for (const descriptor of filling) closeSync(descriptor);
    await until(() => problems.some((problem) => problem.includes('descriptors again')));
    for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(accepted.length, length);
    listener.server.resume();
    await until(() => accepted.length === CLIENTS);
    assert.deepEqual(lines, ['connected']);
    assert.equal(problems.length % 2, 0, 'it serves again whenever it has made who connects wait');
    for (const socket of accepted) socket.destroy();
    other.stdin.end();
    await once(other, 'exit');

    // One that is closed while descriptors are few looks for no more.
    const { length: told } = problems;
    filling.splice(0);
    while ((filling.at(-1) ?? 0) < LIMIT - 14) filling.push(openSync('/dev/null', 'r'));
    const late = connect(path).on('error', () => undefined);
    await until(() => problems.length > told);
    await listener.close();
    for (const descriptor of filling) closeSync(descriptor);
    await delay(250);
    for (const socket of [late, ...accepted]) socket.destroy();
    assert.match(problems.slice(told).join('\n'), /^who connects waits.*$/);
  });
});
