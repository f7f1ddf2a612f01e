/** A FastCGI application whose processes accept by themselves, on the socket that the bridge was started with. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readlinkSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { ask } from '../helpers/ask.js';
import { type Bridge, commandLine, fixture, runBridge } from '../helpers/bridge.js';
import { commandWithDescriptor, startThrough } from '../helpers/descriptors.js';
import { childrenOf, until, vanished } from '../helpers/processes.js';
import { fifo, temporaryDirectory } from '../helpers/temporary.js';
import { type Application, makeApplication } from '../helpers/worker.js';

interface Started extends Pick<Bridge, 'process' | 'log' | 'stop'> {
  readonly application: Application;
  readonly socket: string;
}

const started: Started[] = [];
after(async () => {
  for (const { stop } of started) await stop();
});

/** The application on a socket that listens as descriptor 0. */
async function start(workers: number, ...options: readonly string[]): Promise<Started> {
  const application = await makeApplication();
  const socket = join(await temporaryDirectory(), 'sock');
  const own = ['--workers', String(workers), '--kill-grace', '200ms', ...options];
  const args = ['worker', ...own, '--', ...application.command];
  const bridge = await startThrough(commandWithDescriptor(socket, 0, args));
  const all = { ...bridge, application, socket };
  started.push(all);
  return all;
}

/** Runs a shell script as the application, until the command gives up. */
async function giveUp(
  script: string,
): Promise<{ status: number | null; signal: string | null; log: string }> {
  const socket = join(await temporaryDirectory(), 'sock');
  const args = ['worker', '--workers', '1', '--max-crashes', '2', '--', '/bin/sh', '-c', script];
  const [file = '', ...rest] = commandWithDescriptor(socket, 0, args);
  const child = spawn(file, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
  const log = text(child.stderr);
  const [status, signal] = (await once(child, 'exit')) as [number | null, string | null];
  return { status, signal, log: await log };
}

describe('worker on descriptor 0', { timeout: 300_000 }, () => {
  it('answers every request of an application that ends after each', async () => {
    const { socket, application, log } = await start(2);
    const one = async (): Promise<void> => {
      for (let count = 0; count < 6; count++) {
        const { stdout } = await ask(socket, { QUERY_STRING: 'exits' });
        assert.match(stdout, /\r\n\r\n\d+\n$/);
      }
    };
    await Promise.all(Array.from({ length: 4 }, one));
    assert.equal(application.begun().length, 24);
    assert.doesNotMatch(log(), / crashed/);
  });

  it('has several bridges share a socket, and loses no request as each is replaced', async () => {
    const socket = join(await temporaryDirectory(), 'sock');
    const script = commandLine(['script', fixture('cgi/prints-parent.sh')]);
    const args = ['worker', '--workers', '2', '--kill-grace', '5s', '--', ...script];
    const outer = await startThrough(commandWithDescriptor(socket, 0, args));
    try {
      const bridges = (): number[] => childrenOf(outer.process.pid ?? 0);
      await until(() => bridges().length === 2);
      const [first, second] = bridges();
      const answered = new Set<number>();
      const hasEach = (pids: readonly (number | undefined)[]): boolean =>
        pids.every((pid) => answered.has(pid ?? 0));
      let isWanted = true;
      const asks = async (): Promise<void> => {
        while (isWanted) {
          answered.add(Number(/\n(\d+)\n$/.exec((await ask(socket)).stdout)?.[1]));
          await delay(20);
        }
      };
      const all = Promise.all(Array.from({ length: 4 }, asks));
      await until(() => hasEach([first, second]));
      for (const bridge of [first, second]) {
        process.kill(bridge ?? 0, 'SIGTERM');
        await until(() => !bridges().includes(bridge ?? 0) && bridges().length === 2);
      }
      await until(() => hasEach(bridges()));
      isWanted = false;
      await all;
      assert.ok(!answered.has(NaN), 'each request has its answer');
      assert.doesNotMatch(outer.log(), / (error|warn) /);
    } finally {
      await outer.stop();
    }
  });

  it('keeps what waits while a worker is killed, for the next one', async () => {
    const { socket, process: bridge, application } = await start(1);
    const goOn = await fifo();
    const lost = ask(socket, { QUERY_STRING: `waits=${goOn}` }).catch((error: unknown) => error);
    await until(() => application.begun().length === 1);
    const waiting = [ask(socket), ask(socket)];
    const [worker = 0] = childrenOf(bridge.pid ?? 0);
    process.kill(worker, 'SIGKILL');
    assert.ok((await lost) instanceof Error, 'what the worker had begun is the web server’s to see');
    for (const { stdout } of await Promise.all(waiting)) assert.match(stdout, /\r\n\r\n\d+\n$/);
  });

  it('gives the application the environment and descriptors that it was given, but what systemd says', async () => {
    process.env['NOTIFY_SOCKET'] = '/missing/notify';
    const starting = start(1, '--env', 'OURS=1');
    const { socket, process: bridge } = await starting.finally(() => delete process.env['NOTIFY_SOCKET']);
    await ask(socket);
    const [worker = 0] = childrenOf(bridge.pid ?? 0);
    const environment = readFileSync(`/proc/${String(worker)}/environ`, 'utf8').split('\0');
    assert.ok(environment.includes('OURS=1'));
    assert.ok(!environment.some((variable) => variable.startsWith('NOTIFY_SOCKET=')));
    assert.ok(environment.includes(`HOME=${process.env['HOME'] ?? ''}`));
    assert.match(readlinkSync(`/proc/${String(worker)}/fd/0`), /^socket:/);
    assert.equal(
      readlinkSync(`/proc/${String(worker)}/fd/0`),
      readlinkSync(`/proc/${String(bridge.pid)}/fd/0`),
    );
  });

  it('gives up with the exit status of the last crash, so that the web server sees it', async () => {
    const crashed = await giveUp('echo the reason >&2; exit 7');
    assert.equal(crashed.status, 7);
    assert.match(crashed.log, /^the reason$/m);
    assert.match(crashed.log, /^fcgi2cgi: gave up after 2 workers failed in a row .*: exit status 7$/m);
    const killed = await giveUp('kill -KILL $$');
    assert.equal(killed.status, 137);
  });

  it('gives up on a program that is no FastCGI application, and says so', async () => {
    const { status, log } = await giveUp("printf 'Content-Type: text/plain\\n\\n'");
    assert.equal(status, 1);
    assert.match(log, / error worker ended before it has answered a request; starting another in 100 ms/);
    assert.match(log, / warn worker writes to its standard output; .* as gitweb\.cgi --fcgi\?/);
  });

  it('complains of a program that ends at once with status 0, again and again', async () => {
    const socket = join(await temporaryDirectory(), 'sock');
    const bridge = await startThrough(commandWithDescriptor(socket, 0, ['worker', '--', 'true']));
    try {
      await until(() => bridge.log().includes(' warn 20 workers in a row have ended in less than 250 ms; '));
    } finally {
      assert.equal(await bridge.stop(), 0);
    }
    assert.doesNotMatch(bridge.log(), / error |Warning/);
  });

  it('ends its workers at SIGTERM and waits for them, also for one that will not', async () => {
    const { socket, application, process: bridge, stop } = await start(2);
    void ask(socket, { QUERY_STRING: 'hangs' }).catch(() => undefined);
    await until(() => application.begun().length === 1);
    const workers = childrenOf(bridge.pid ?? 0);
    assert.equal(workers.length, 2);
    assert.equal(await stop(), 0);
    for (const pid of workers) await vanished(pid);
  });

  it('passes SIGUSR1 on, at which workers end after the request that runs', async () => {
    const { socket, application, process: bridge, log } = await start(1, '--stop-grace', '30s');
    const goOn = await fifo();
    const running = ask(socket, { QUERY_STRING: `waits=${goOn}` });
    await until(() => application.begun().length === 1);
    const exited = once(bridge, 'exit');
    bridge.kill('SIGUSR1');
    // A further one changes nothing.
    bridge.kill('SIGUSR1');
    await writeFile(goOn, '\n');
    assert.match((await running).stdout, /\r\n\r\n\d+\n$/);
    assert.deepEqual(await exited, [0, null]);
    assert.match(log(), / info stopped signal=SIGUSR1/);
  });

  it('says what it needs', async () => {
    for (const [args, expected] of [
      [['--', 'sh'], /^fcgi2cgi: nowhere to listen: .* say for example --listen/],
      [[], /^fcgi2cgi: worker: the command to run is missing; say for example fcgi2cgi worker -- /],
      [['--max-requests', '1', '--', 'sh'], /^fcgi2cgi: worker --max-requests needs --listen/],
      [['--access-log', 'x', '--', 'sh'], /^fcgi2cgi: worker --access-log needs --listen/],
      [['--workers', '0', '--', 'sh'], /^fcgi2cgi: --workers 0: expected a whole number, 1 or more/],
    ] as const) {
      const { status, stderr } = await runBridge(['worker', ...args]);
      assert.match(stderr, expected);
      assert.equal(status, 2);
    }
    const missing = await runBridge([
      'worker',
      '--listen',
      join(await temporaryDirectory(), 'sock'),
      '--',
      'no-such-program',
    ]);
    assert.equal(missing.stderr, 'fcgi2cgi: worker no-such-program: there is no such program in PATH\n');
    assert.equal(missing.status, 1);
  });
});
