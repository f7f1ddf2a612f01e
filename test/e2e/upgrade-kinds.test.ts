/** A new process takes the place of a daemon that has more than a site of scripts behind a Unix socket. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, it } from 'node:test';

import type { Status } from '../../src/observe/status/status.js';
import { ask } from '../helpers/ask.js';
import { commandLine, fixture } from '../helpers/bridge.js';
import { underLoad } from '../helpers/load.js';
import { receive } from '../helpers/notified.js';
import { runHere } from '../helpers/run-here.js';
import { childrenOf, isRunning, until, vanished } from '../helpers/processes.js';
import { activated, startActivated } from '../helpers/socket-activation.js';
import { Upgradable } from '../helpers/upgrade.js';
import { freePort, startWebServerWith } from '../helpers/webserver.js';
import { nginxServer } from '../helpers/webserver-table.js';
import { makeApplication } from '../helpers/worker.js';
import { fifo } from '../helpers/temporary.js';

let daemon: Upgradable;
let directory: string;
let socket: string;

beforeEach(async () => {
  daemon = await Upgradable.make();
  ({ directory, socket } = daemon);
});

afterEach(() => daemon.destroy());

/** The process that answers scripts which print the id of the process that they are, or that has started them. */
async function answering(query = ''): Promise<number> {
  const { stdout, appStatus } = await ask(socket, { QUERY_STRING: query });
  assert.equal(appStatus, 0);
  return Number(/\n\r?\n(\d+)\n/.exec(stdout)?.[1]);
}

describe('An upgrade', { timeout: 300_000 }, () => {
  it('hands the control socket over: the new process says what it does there', async () => {
    const control = `${directory}/control`;
    const shown = async (): Promise<Status> => {
      const { stdout, stderr } = await runHere(['status', control, '--json']);
      assert.equal(stderr, '');
      return JSON.parse(stdout) as Status;
    };
    const line = await fifo();
    const site = ['script', fixture('cgi/waits-for-line.sh'), line, '--listen', socket];
    await daemon.start([...site, '--control', control]);
    const running = ask(socket);
    await until(async () => (await shown()).requests.some(({ state }) => state === 'running'));
    const old = await daemon.pid();
    assert.equal((await shown()).pid, old);
    assert.equal(await daemon.upgraded(), old);
    assert.equal(isRunning(old), true);
    assert.equal((await shown()).pid, await daemon.pid());
    await writeFile(line, 'to its end\n');
    assert.match((await running).stdout, /to its end\n$/);
    await vanished(old);
    assert.equal((await shown()).pid, await daemon.pid());
    await daemon.stop([]);
  });

  it('hands a TCP listener over, and no request is lost', async () => {
    await writeFile(`${directory}/hello`, '#!/bin/sh\nprintf "A: b\\n\\nhello"\n', { mode: 0o755 });
    const address = `127.0.0.1:${String(await freePort())}`;
    await daemon.start(['script', `${directory}/hello`, '--listen', address]);
    const nginx = await startWebServerWith(
      'nginx',
      nginxServer(`location / { include fastcgi_params; fastcgi_pass ${address}; }`),
    );
    try {
      const asked = [['GET', nginx.url] as const, ['POST', nginx.url] as const];
      await underLoad(asked, 50, async () => vanished(await daemon.upgraded()));
    } finally {
      await nginx.stop();
    }
    await daemon.stop(['hello']);
  });

  it('leaves each process its workers: those of the old one end when its last request has', async () => {
    const application = await makeApplication();
    const line = await fifo();
    await daemon.start(['worker', '--workers', '2', '--listen', socket, '--', ...application.command]);
    const running = answering(`waits=${line}`);
    await until(() => application.begun().length === 1);
    const old = await daemon.pid();
    const workers = childrenOf(old);
    await daemon.upgraded();
    for (let requests = 0; requests < 4; requests++) {
      assert.ok(childrenOf(await daemon.pid()).includes(await answering()));
    }
    assert.equal(isRunning(old), true);
    await writeFile(line, '\n');
    assert.ok(workers.includes(await running));
    for (const pid of [old, ...workers]) await vanished(pid);
    await daemon.stop([]);
  });

  it('leaves each process its fork servers: those of the old one end when its last request has', async () => {
    const script = `${directory}/waits.py`;
    await writeFile(
      script,
      `#!/usr/bin/python3
import os
print('Content-Type: text/plain\\n\\n%d' % os.getppid(), flush=True)
if os.environ['QUERY_STRING']: open(os.environ['QUERY_STRING']).readline()
`,
      { mode: 0o755 },
    );
    const line = await fifo();
    await daemon.start(['script', script, '--runner', 'warm', '--listen', socket]);
    /** A fork server of the daemon, once one answers; before that, scripts are started by the daemon itself. */
    const forkServer = async (): Promise<number> => {
      const pid = await daemon.pid();
      for (;;) {
        const parent = await answering();
        if (parent !== pid) {
          assert.ok(childrenOf(pid).includes(parent));
          return parent;
        }
      }
    };
    const server = await forkServer();
    const running = answering(line);
    await until(() => childrenOf(server).length > 0);
    const old = await daemon.upgraded();
    assert.notEqual(await forkServer(), server);
    assert.deepEqual([old, server].map(isRunning), [true, true]);
    await writeFile(line, '\n');
    assert.equal(await running, server);
    for (const pid of [old, server]) await vanished(pid);
    await daemon.stop(['waits.py']);
  });

  it('hands systemd’s sockets over, and tells systemd which its main process is', async () => {
    const notify = `${directory}/notify`;
    const messages = await receive(notify);
    const told = (name: string, value: string): Promise<void> =>
      until(() => messages.some((message) => message[name] === value));
    const options = ['--listen', 'systemd:web', '--pid-file', daemon.pidFile];
    const command = commandLine(['script', ...options, fixture('cgi/prints-environment.sh')]);
    const sockets = { web: socket, other: `${directory}/other` };
    const bridge = await startActivated(
      activated(sockets, command, [`NOTIFY_SOCKET=${notify}`, 'WATCHDOG_USEC=60000000']),
      socket,
    );
    assert.match((await ask(socket)).stdout, /^GATEWAY_INTERFACE=/m);
    for (let upgrades = 0; upgrades < 2; upgrades++) {
      const old = await daemon.upgraded();
      const pid = String(await daemon.pid());
      await told('MAINPID', pid);
      // Else systemd would count from the last sign of life of the previous process.
      assert.equal(messages.find(({ MAINPID }) => MAINPID === pid)?.['WATCHDOG'], '1');
      await vanished(old);
      assert.match((await ask(socket)).stdout, /^GATEWAY_INTERFACE=/m);
    }
    assert.equal(await bridge.exited(), 0);
    assert.equal(messages.filter((message) => message['READY'] === '1').length, 3);
    assert.ok(!messages.some((message) => 'STOPPING' in message), 'the service goes on');
    const last = await daemon.pid();
    process.kill(last, 'SIGTERM');
    await told('STOPPING', '1');
    await vanished(last);
    assert.ok(existsSync(socket), 'the socket is systemd’s');
    assert.equal(existsSync(daemon.pidFile), false);
  });
});
