import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chown } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, describe, it } from 'node:test';

import { type Answer, ask, connect } from '../helpers/ask.js';
import { fixture, main } from '../helpers/bridge.js';
import { startThrough } from '../helpers/descriptors.js';
import { childrenOf, descriptorsOf, until } from '../helpers/processes.js';
import { page } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';

/** An id that nobody has, so that no other process counts against its limits; root has none. */
const NOBODY = 54_321;
const isRoot = process.getuid?.() === 0;
const asNobody = isRoot
  ? ['setpriv', `--reuid=${String(NOBODY)}`, `--regid=${String(NOBODY)}`, '--clear-groups']
  : ['env'];

type Started = Awaited<ReturnType<typeof startThrough>> & { readonly socket: string; readonly pid: number };

const started: Started[] = [];
after(async () => {
  for (const { process: bridge, stop } of started) {
    if (bridge.exitCode === null) await stop();
  }
});

/** Starts the bridge as somebody whose processes the system counts. */
async function start(args: readonly string[], prefix: readonly string[] = []): Promise<Started> {
  const directory = await temporaryDirectory();
  if (isRoot) await chown(directory, NOBODY, NOBODY);
  const socket = join(directory, 'sock');
  const command = [process.execPath, main, 'dir', '--root', fixture('cgi'), '--listen', socket, ...args];
  const bridge = await startThrough([...prefix, ...asNobody, ...command]);
  const one = { ...bridge, socket, pid: bridge.process.pid ?? 0 };
  started.push(one);
  return one;
}

const limit = (pid: number, resource: string, value: number | string): void => {
  // The soft limit only: that one may be raised again.
  const [file, ...args] = [...asNobody, 'prlimit', '--pid', String(pid)];
  execFileSync(file, [...args, `--${resource}=${String(value)}:`]);
};

const answer = (socket: string): Promise<Answer> =>
  ask(socket, { SCRIPT_FILENAME: fixture('cgi/prints-query.sh'), QUERY_STRING: 'A: b\n\nhello' });

for (const way of ['posix', 'node']) {
  describe(`A daemon that can have no more processes (${way})`, { timeout: 300_000 }, () => {
    it('has requests wait, and answers them when it can', async () => {
      const { socket, pid, log, stop } = await start(['--spawn-method', way]);
      // Threads count, too, and have to be there.
      assert.ok((await answer(socket)).stdout.endsWith('hello'));
      limit(pid, 'nproc', 1);
      const all = [answer(socket), answer(socket), answer(socket)];
      await until(() => / warn requests wait until programs can be started again: .*EAGAIN/.test(log()));
      limit(pid, 'nproc', 10_000);
      for (const { stdout } of await Promise.all(all)) assert.ok(stdout.endsWith('hello'), stdout);
      await until(() => log().includes(' info programs can be started again'));
      assert.equal(log().split('requests wait until').length, 2, 'one line for all of them');
      assert.deepEqual(childrenOf(pid), []);
      assert.equal(await stop(), 0);
    });

    it('refuses what has waited for --queue-timeout', async () => {
      const { socket, pid, log } = await start(['--spawn-method', way, '--queue-timeout', '100ms']);
      await answer(socket);
      limit(pid, 'nproc', 1);
      for (let count = 0; count < 2; count++) {
        const { stdout, appStatus } = await answer(socket);
        assert.deepEqual([page(stdout).status, appStatus], [503, 0]);
        assert.match(stdout, /\r\nRetry-After: 5\r\n/);
      }
      assert.match(
        log(),
        / warn the system has let no program be started for 100 ms .* code=ERR_SYSTEM_LIMIT/,
      );
      assert.equal(log().split('requests wait until').length, 2);
    });
  });

  describe(`A daemon that can have no more descriptors (${way})`, { timeout: 300_000 }, () => {
    it('has requests wait, closes none of them, and answers when it can', async () => {
      const { socket, pid, log } = await start(['--spawn-method', way]);
      assert.ok((await answer(socket)).stdout.endsWith('hello'));
      const requester = connect(socket);
      const params = {
        SCRIPT_FILENAME: fixture('cgi/prints-query.sh'),
        QUERY_STRING: 'A: b\n\nhello',
        REQUEST_METHOD: 'GET',
      };
      try {
        const first = requester.send(Object.entries(params), { keepConn: true });
        first.stdin.end();
        await buffer(first.stdout);
        await first.ended;
        limit(pid, 'nofile', 16);
        const second = requester.send(Object.entries(params));
        second.stdin.end();
        await until(() => / warn requests wait .*EMFILE/.test(log()));
        limit(pid, 'nofile', 1_000);
        assert.ok((await buffer(second.stdout)).toString().endsWith('hello'));
      } finally {
        requester.close();
      }
    });
  });
}

describe('A daemon with few descriptors', { timeout: 300_000 }, () => {
  it('takes only as many connections as it can serve, and serves all of them', async () => {
    const few = ['--max-processes', '4', '--max-connections', '500'];
    const { socket, pid, log } = await start(few, ['prlimit', '--nofile=140:140']);
    // 64 of its own, one listening socket, 4 processes with 6 each: 51 are left, 2 for each connection.
    assert.match(log(), / warn --max-connections 500 is lowered to 25: .* 140 descriptors \(ulimit -n\)/);
    // One place more than is needed at a time: that of an answered request may still be closing.
    const idle = Array.from({ length: 23 }, () => createConnection(socket));
    try {
      await Promise.all(idle.map((connection) => once(connection, 'connect')));
      for (let count = 0; count < 5; count++) {
        assert.ok((await answer(socket)).stdout.endsWith('hello'));
      }
      assert.ok(descriptorsOf(pid) < 140 - 51 + 25);
      const beyond = createConnection(socket);
      const another = createConnection(socket);
      await Promise.all([once(beyond, 'connect'), once(another, 'connect')]);
      // Until one of them has idled long enough.
      assert.ok((await answer(socket)).stdout.endsWith('hello'));
      assert.ok(descriptorsOf(pid) < 140 - 51 + 27);
      for (const connection of [beyond, another]) connection.destroy();
    } finally {
      for (const connection of idle) connection.destroy();
    }
  });

  it('does not start where its processes alone would need more, and says which option', async () => {
    await assert.rejects(start(['--max-processes', '40'], ['prlimit', '--nofile=140:140']), {
      message: /40 processes \(--max-processes\) need 305 .*, and this process may have 140 descriptors/,
    });
  });
});
