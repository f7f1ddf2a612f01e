/** --drain-delay: a daemon that is told to stop says so by its health, and answers until the others have seen it. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';

import { ask, connect } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { answered, serve, type Served } from '../helpers/served.js';
import { fifo } from '../helpers/temporary.js';

const draining = / info draining: it answers still, and its health is 503 drain_delay_ms=/;

async function start(delay: string, ...script: readonly string[]): Promise<Served> {
  return serve(['script', '--health-path', '/health', '--drain-delay', delay, ...script], {
    graces: ['--stop-grace', '10m'],
  });
}

describe('A daemon that is told to stop', { timeout: 300_000 }, () => {
  it('answers on new and on kept connections in --drain-delay, while its health is 503 on both', async () => {
    const served = await start('10m', fixture('cgi/prints-query.sh'));
    const kept = connect(served.socket);
    const onKept = async (params: Readonly<Record<string, string>>): Promise<string> => {
      const request = kept.send(Object.entries(params), { keepConn: true, bodyBytes: 0 });
      request.stdin.end();
      return text(request.stdout);
    };
    const onNew = async (params: Readonly<Record<string, string>>): Promise<string> =>
      (await ask(served.socket, params)).stdout;
    const health = { REQUEST_METHOD: 'GET', SCRIPT_NAME: '/health' };
    for (const on of [onKept, onNew]) assert.match(await on(health), /^Status: 200 .*\naccepting\n$/s);
    served.process.kill('SIGTERM');
    await served.logged(draining);
    for (const on of [onKept, onNew, onKept]) {
      assert.match(await on(health), /^Status: 503 .*\ndraining\n$/s);
      const params = { REQUEST_METHOD: 'GET', QUERY_STRING: 'A: b\n\nstill' };
      assert.equal(await on(params), 'A: b\n\nstill');
    }
    kept.close();
    served.process.kill('SIGTERM');
    assert.equal(await served.exited(), 0);
  });

  it('ends the delay when it is told again, and lets the requests that run end', async () => {
    const line = await fifo();
    const served = await start('10m', fixture('cgi/waits-for-line.sh'), line);
    const requester = connect(served.socket);
    const running = requester.send([], { bodyBytes: 0 });
    running.stdin.end();
    await answered(running, /\d+ /);
    served.process.kill('SIGINT');
    await served.logged(draining);
    assert.ok(existsSync(served.socket));
    served.process.kill('SIGTERM');
    await served.logged(/ info stopping: running requests may end/);
    await writeFile(line, 'to its end\n');
    await answered(running, /to its end\n/);
    assert.equal((await running.ended).appStatus, 0);
    requester.close();
    assert.equal(await served.exited(), 0);
    assert.ok(!existsSync(served.socket));
  });

  it('stops by itself after the delay', async () => {
    const served = await start('200ms', fixture('cgi/prints-query.sh'));
    served.process.kill('SIGTERM');
    await served.logged(draining);
    assert.equal(await served.exited(), 0);
    assert.match(served.log(), / info stopping: running requests may end/);
  });
});
