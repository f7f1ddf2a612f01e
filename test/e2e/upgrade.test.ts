/** A new process takes the place of a daemon that serves, behind real web servers under load. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readFile, stat, symlink, unlink, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, it } from 'node:test';

import { ask, connect } from '../helpers/ask.js';
import { fixture, main, startBridge } from '../helpers/bridge.js';
import { underLoad } from '../helpers/load.js';
import { childrenOf, isRunning, processesWith, until, vanished } from '../helpers/processes.js';
import { answered } from '../helpers/served.js';
import { Upgradable } from '../helpers/upgrade.js';
import { startPassing, startWebServerWith } from '../helpers/webserver.js';
import { isFull, keepingServer } from '../helpers/webserver-table.js';
import { fifo } from '../helpers/temporary.js';

const GET = { REQUEST_METHOD: 'GET' };

let daemon: Upgradable;
let directory: string;
let socket: string;

beforeEach(async () => {
  daemon = await Upgradable.make();
  ({ directory, socket } = daemon);
});

afterEach(() => daemon.destroy());

describe('An upgrade under load', { timeout: 300_000 }, () => {
  const [requests, restarts] = isFull ? [5_000, 20] : [400, 3];
  it(`loses none of ${String(requests)} requests over ${String(restarts)} restarts, with connections kept and not, GET and POST`, async () => {
    await writeFile(`${directory}/hello`, '#!/bin/sh\nprintf "A: b\\n\\nhello"\n', { mode: 0o755 });
    await daemon.start(['script', `${directory}/hello`, '--listen', socket]);
    const nginx = await startWebServerWith('nginx', keepingServer(socket));
    const lighttpd = await startPassing('lighttpd', socket);
    try {
      const urls = [`${nginx.url}/kept`, `${nginx.url}/new`, `${lighttpd.url}/`];
      const asked = urls.flatMap((url) => [['GET', url] as const, ['POST', url] as const]);
      await underLoad(asked, requests, async () => {
        for (let done = 0; done < restarts; done++) await vanished(await daemon.upgraded());
      });
    } finally {
      await Promise.all([nginx.stop(), lighttpd.stop()]);
    }
    await daemon.stop(['hello']);
  });
});

describe('An upgrade', { timeout: 300_000 }, () => {
  it('cuts no request that runs, and the old process ends with it', async () => {
    const line = await fifo();
    await daemon.start(['script', fixture('cgi/waits-for-line.sh'), line, '--listen', socket]);
    const requester = connect(socket);
    const running = requester.send(Object.entries(GET), { keepConn: true, bodyBytes: 0 });
    running.stdin.end();
    await answered(running, /\d+ /);
    const replaced = [await daemon.upgraded(), await daemon.upgraded()];
    assert.deepEqual(replaced.map(isRunning), [true, true]);
    await writeFile(line, 'to its end\n');
    await answered(running, /to its end\n/);
    await running.ended;
    for (const pid of replaced) await vanished(pid);
    requester.close();
    await daemon.stop([]);
  });

  it('has the new process answer on a connection that waits for its turn, with all that was sent on it', async () => {
    const line = await fifo();
    const script =
      '#!/bin/sh\n[ -z "$QUERY_STRING" ] || read -r line < "$QUERY_STRING"\nprintf "A: b\\n\\n$PPID"\n';
    await writeFile(`${directory}/parent`, script, { mode: 0o755 });
    await daemon.start(['script', `${directory}/parent`, '--listen', socket, '--max-connections', '1']);
    const running = ask(socket, { ...GET, QUERY_STRING: line });
    await until(async () => childrenOf(await daemon.pid()).length > 0);
    const waiting = ask(socket, GET);
    await until(async () =>
      (await readFile(daemon.log, 'utf8')).includes('connection waits: --max-connections'),
    );
    const old = await daemon.upgraded();
    assert.equal((await waiting).stdout, `A: b\n\n${String(await daemon.pid())}`);
    await writeFile(line, '\n');
    assert.equal((await running).stdout, `A: b\n\n${String(old)}`);
    await vanished(old);
    await daemon.stop(['parent']);
  });

  it('that is stopped ends also what still runs in the process before, after the grace', async () => {
    const line = await fifo();
    const site = ['script', fixture('cgi/waits-for-line.sh'), line, '--listen', socket];
    await daemon.start([...site, '--stop-grace', '200ms']);
    const requester = connect(socket);
    const running = requester.send(Object.entries(GET), { bodyBytes: 0 });
    running.stdin.end();
    running.ended.catch(() => undefined);
    await answered(running, /\d+ /);
    assert.equal(isRunning(await daemon.upgraded()), true);
    await daemon.stop([]);
    requester.close();
  });

  it('leaves the process before its grace where Ctrl-C reaches both of them', async () => {
    const line = await fifo();
    await daemon.start(['script', fixture('cgi/waits-for-line.sh'), line, '--listen', socket]);
    const requester = connect(socket);
    const running = requester.send(Object.entries(GET), { bodyBytes: 0 });
    running.stdin.end();
    await answered(running, /\d+ /);
    const old = await daemon.upgraded();
    for (const pid of [old, await daemon.pid()]) process.kill(pid, 'SIGINT');
    await until(async () => (await readFile(daemon.log, 'utf8')).split('info stopping').length === 3);
    await writeFile(line, 'to its end\n');
    await answered(running, /to its end\n/);
    await running.ended;
    requester.close();
    await vanished(old);
  });

  it('to a configuration with mistakes, or to a program that is broken or gone, leaves the old one serving', async () => {
    const file = `${directory}/sites.toml`;
    const good = `[site.a]\nkind = "script"\nfile = "${fixture('cgi/prints-query.sh')}"\nlisten = "${socket}"\n`;
    await writeFile(file, good);
    const program = `${directory}/bin/fcgi2cgi`;
    await mkdir(`${directory}/bin`);
    await symlink(main, program);
    await daemon.start(['serve', '--config', file], program);
    const pid = await daemon.pid();
    const fails = async (reason: RegExp): Promise<void> => {
      const { status, stdout, stderr } = await daemon.upgrade();
      assert.deepEqual([status, stdout], [1, '']);
      assert.match(stderr, reason);
      assert.equal(await daemon.pid(), pid);
      assert.equal((await ask(socket, { ...GET, QUERY_STRING: 'A: b\n\nold' })).stdout, 'A: b\n\nold');
      assert.deepEqual(processesWith(`${directory}/`), [pid]);
    };
    await writeFile(file, `${good}root = 1\n[site.b]\nkind = "dir"\n`);
    await fails(/^fcgi2cgi: .*sites\.toml:5:1: .*\nfcgi2cgi: .*\[site\.b\] .*missing/m);
    await writeFile(file, `${good}[site.b]\nkind = "dir"\nroot = "."\nlisten = "unix:missing/sock"\n`);
    await fails(/^fcgi2cgi: .*there is no directory .*missing$/m);
    await writeFile(file, good);
    await unlink(program);
    await fails(/^fcgi2cgi: the program is not there: .*bin\/fcgi2cgi/);
    await writeFile(program, 'throw new Error("broken");\n');
    await fails(/^fcgi2cgi: ended before it listened \(exit status 1\); see .*log$/m);
    await unlink(program);
    await symlink(main, program);
    await daemon.upgraded();
    await daemon.stop(['bin', 'sites.toml']);
  });

  it('to a program that does not listen within --upgrade-timeout leaves the old one serving, and nothing of the new', async () => {
    const program = `${directory}/bin/fcgi2cgi`;
    await mkdir(`${directory}/bin`);
    await symlink(main, program);
    const site = ['script', fixture('cgi/prints-query.sh'), '--listen', socket];
    await daemon.start([...site, '--upgrade-timeout', '500ms'], program);
    const pid = await daemon.pid();
    await unlink(program);
    await writeFile(program, 'setInterval(() => undefined, 1_000_000);\n');
    const { status, stderr } = await daemon.upgrade();
    const why = 'fcgi2cgi: the new process did not listen within 500 ms (--upgrade-timeout)\n';
    assert.deepEqual([status, stderr], [1, why]);
    assert.deepEqual(processesWith(`${directory}/`), [pid]);
    assert.equal((await ask(socket, { ...GET, QUERY_STRING: 'A: b\n\nold' })).stdout, 'A: b\n\nold');
    await daemon.stop(['bin']);
  });

  it('takes the listeners that the file still names, adds others, and lets go of the rest', async () => {
    const file = `${directory}/sites.toml`;
    const site = (name: string): string =>
      `[site.${name}]\nkind = "script"\nfile = "${fixture('cgi/prints-query.sh')}"\nlisten = "unix:${name}"\n`;
    await writeFile(file, site('a') + site('b'));
    await daemon.start(['serve', '--config', file]);
    const { ino } = await stat(`${directory}/a`);
    await writeFile(file, site('a') + site('c'));
    await vanished(await daemon.upgraded());
    assert.equal((await stat(`${directory}/a`)).ino, ino);
    assert.equal(existsSync(`${directory}/b`), false);
    for (const name of ['a', 'c']) assert.equal((await ask(`${directory}/${name}`, GET)).appStatus, 0);
    await daemon.stop(['sites.toml']);
  });

  it('is done in the foreground as well, and by SIGUSR2 alone', async () => {
    const bridge = await startBridge(['script', fixture('cgi/prints-query.sh'), '--listen', socket]);
    const kept = Array.from({ length: 5 }, () => connect(socket));
    const askKept = (): Promise<unknown> =>
      Promise.all(
        kept.map((requester) => {
          const params = { ...GET, QUERY_STRING: 'A: b\n\nkept' };
          const request = requester.send(Object.entries(params), { keepConn: true, bodyBytes: 0 });
          request.stdin.end();
          request.stdout.resume();
          return request.ended;
        }),
      );
    await askKept();
    bridge.process.kill('SIGUSR2');
    const pid = Number(/next_pid=(\d+)/.exec(await bridge.logged(/ info replaced: /))?.[1]);
    assert.equal(await bridge.exited(), 0);
    assert.equal((await ask(socket, { ...GET, QUERY_STRING: 'A: b\n\nnew' })).stdout, 'A: b\n\nnew');
    // All that the web server keeps have come along.
    await askKept();
    for (const requester of kept) requester.close();
    process.kill(pid, 'SIGTERM');
    await vanished(pid);
    await until(() => !existsSync(socket));
  });
});

describe('fcgi2cgi upgrade', { timeout: 300_000 }, () => {
  it('says that there is no daemon', async () => {
    for (const content of [undefined, '999999999\n', `${String(process.pid)}\n`]) {
      if (content !== undefined) await writeFile(daemon.pidFile, content);
      const { status, stderr } = await daemon.upgrade();
      assert.equal(status, 1);
      assert.match(stderr, /^fcgi2cgi: .*pid: (can't be read|no fcgi2cgi runs as process)/);
    }
  });
});
