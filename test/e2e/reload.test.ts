/** SIGHUP to `fcgi2cgi serve`: what has changed in the file is served, and nothing else is touched. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { copyFile, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, it } from 'node:test';

import type { Requester } from '../../src/fastcgi/requester.js';
import type { Status } from '../../src/observe/status/status.js';
import { ask, connect } from '../helpers/ask.js';
import { type Bridge, fixture, runBridge, startBridge } from '../helpers/bridge.js';
import { answered } from '../helpers/served.js';
import { childrenOf, until } from '../helpers/processes.js';
import { fifo, temporaryDirectory } from '../helpers/temporary.js';

const GET = { REQUEST_METHOD: 'GET' };

let directory: string;
let bridge: Bridge;
/** What the file says before the sites. */
let top: string;
/** The body of each site's section. */
let sites: Record<string, string>;
let reloads: number;
let kept: Requester[];

const at = (name: string): string => join(directory, name);

const script = (name: string, file: string, more = ''): string =>
  `kind = "script"\nfile = "${file}"\nlisten = "unix:${name}.sock"\n${more}\n`;

async function write(): Promise<void> {
  const sections = Object.entries(sites).map(([name, body]) => `[site.${name}]\n${body}`);
  await writeFile(at('sites.toml'), [top, ...sections].join('\n'));
}

/** Has the file read again; resolves when the log says how that went. */
async function reload(
  outcome: 'configuration read again' | 'the configuration stays as it was',
): Promise<string> {
  await write();
  bridge.process.kill('SIGHUP');
  reloads += 1;
  const verdicts = (): string[] => bridge.log().match(/^.*(?:read again|stays as it was).*$/gm) ?? [];
  await until(() => verdicts().length === reloads);
  const verdict = verdicts().at(-1) ?? '';
  assert.ok(verdict.includes(outcome), bridge.log());
  return verdict;
}

/** A connection that is kept, as nginx's are. */
function keep(name: string): { get: () => Promise<string>; requester: Requester } {
  const requester = connect(at(`${name}.sock`));
  kept.push(requester);
  return {
    requester,
    get: async () => {
      const request = requester.send(Object.entries(GET), { keepConn: true, bodyBytes: 0 });
      request.stdin.end();
      const [said] = await Promise.all([text(request.stdout), request.ended]);
      return said;
    },
  };
}

/** The sites whose requests the status shows. */
async function requestsOf(control: string): Promise<string[]> {
  const { stdout } = await runBridge(['status', control, '--json']);
  return (JSON.parse(stdout) as Status).requests.map(({ site }) => site);
}

beforeEach(async () => {
  directory = await temporaryDirectory();
  [top, reloads, kept] = ['log-level = "debug"', 0, []];
  await copyFile(fixture('fastcgi/does-as-asked.pl'), at('application'));
  await writeFile(at('one'), '#!/bin/sh\nprintf "A: b\\n\\none"\n', { mode: 0o755 });
  await writeFile(at('two'), '#!/bin/sh\nprintf "A: b\\n\\ntwo"\n', { mode: 0o755 });
  sites = { a: script('a', 'one') };
});
afterEach(async () => {
  for (const requester of kept) requester.close();
  await bridge.stop();
});

const start = async (): Promise<void> => {
  await write();
  bridge = await startBridge(['serve', '--config', at('sites.toml'), '--stop-grace', '1s']);
};

describe('SIGHUP', { timeout: 300_000 }, () => {
  it('serves a site that was added, and has one that was removed end with its last request', async () => {
    const line = await fifo();
    sites['b'] = script('b', fixture('cgi/waits-for-line.sh'), `argument = ["${line}"]`);
    top += '\ncontrol = "unix:control"';
    await start();
    const requester = connect(at('b.sock'));
    kept.push(requester);
    const running = requester.send(Object.entries(GET), { bodyBytes: 0 });
    running.stdin.end();
    await answered(running, /\d+ /);
    delete sites['b'];
    sites['c'] = script('c', 'two');
    assert.match(
      await reload('configuration read again'),
      /unchanged=\["a"\] started=\["c"\] ended=\["b"\]$/,
    );
    await until(() => !existsSync(at('b.sock')));
    assert.equal((await ask(at('c.sock'), GET)).stdout, 'A: b\n\ntwo');
    assert.doesNotMatch(bridge.log(), / ended: .*site=b/);
    assert.deepEqual(await requestsOf(at('control')), ['b']);
    await writeFile(line, 'to its end\n');
    await answered(running, /to its end\n/);
    assert.equal((await running.ended).appStatus, 0);
    await bridge.logged(/ info ended: its last request has site=b$/);
    assert.deepEqual(await requestsOf(at('control')), []);
  });

  it('that comes before the daemon listens is heeded as soon as it does', async () => {
    const line = await fifo();
    const held = `[ -e '${at('held')}' ] || { echo > '${at('held')}'; read -r line < '${line}'; }`;
    await writeFile(at('git'), `#!/bin/sh\n${held}\nexec git "$@"\n`, { mode: 0o755 });
    sites['b'] = 'kind = "git"\nrepos = "."\ngit = "./git"\nlisten = "unix:b.sock"\n';
    top += '\npid-file = "pid"';
    const starting = start();
    await until(() => existsSync(at('held')));
    delete sites['b'];
    await write();
    process.kill(Number(await readFile(at('pid'), 'utf8')), 'SIGHUP');
    await writeFile(line, '\n');
    await starting;
    await bridge.logged(/ info configuration read again .* ended=\["b"\]$/);
  });

  it('leaves a site alone that has not changed: its listener, its connections and its processes', async () => {
    const command = 'kind = "worker"\ncommand = ["./application"]\nworkers = 1\nlisten = "unix:w.sock"\n';
    sites['w'] = command;
    await start();
    const connection = keep('w');
    await connection.get();
    const processes = (): number[] => childrenOf(bridge.process.pid ?? 0);
    const before = processes();
    const { ino } = await stat(at('w.sock'));
    sites = { first: script('first', 'one'), a: script('a', 'two'), w: `# As before\n${command}` };
    assert.match(await reload('configuration read again'), /unchanged=\["w"\]/);
    assert.match(await connection.get(), /\d+\n$/);
    assert.deepEqual(processes(), before);
    assert.equal((await stat(at('w.sock'))).ino, ino);
  });

  it('listens again where somebody has removed a socket’s file, and leaves other sites alone', async () => {
    top += `\ncontrol = "unix:${at('control.sock')}"`;
    sites['b'] = script('b', 'two');
    await start();
    for (const name of ['a.sock', 'control.sock']) await rm(at(name));
    assert.match(await reload('configuration read again'), /unchanged=\["b"\] started=\["a"\] ended=\["a"\]/);
    assert.equal((await ask(at('a.sock'), GET)).stdout, 'A: b\n\none');
    assert.deepEqual(await requestsOf(at('control.sock')), []);
    assert.equal((await ask(at('b.sock'), GET)).stdout, 'A: b\n\ntwo');
    await until(() => bridge.log().includes('ended: its last request has'));
    assert.ok(existsSync(at('a.sock')));
  });

  it('changes a site behind a listener and connections that stay', async () => {
    await start();
    const connection = keep('a');
    assert.equal(await connection.get(), 'A: b\n\none');
    const { ino } = await stat(at('a.sock'));
    sites['a'] = script('a', 'two', 'socket-mode = "0600"');
    await reload('configuration read again');
    assert.equal(await connection.get(), 'A: b\n\ntwo');
    const now = await stat(at('a.sock'));
    assert.deepEqual([now.ino, now.mode & 0o777], [ino, 0o600]);
    await bridge.logged(/ended: its last request has site=a/);
  });

  it('gives a listener to another site, and with it a connection once its request has ended', async () => {
    const line = await fifo();
    sites['a'] = script('a', fixture('cgi/waits-for-line.sh'), `argument = ["${line}"]`);
    await start();
    const { requester, get } = keep('a');
    const running = requester.send(Object.entries(GET), { keepConn: true, bodyBytes: 0 });
    running.stdin.end();
    await answered(running, /\d+ /);
    sites = { b: script('a', 'two') };
    await reload('configuration read again');
    assert.equal((await ask(at('a.sock'), GET)).stdout, 'A: b\n\ntwo');
    await writeFile(line, 'done\n');
    await answered(running, /done\n/);
    await running.ended;
    assert.equal(await get(), 'A: b\n\ntwo');
  });

  it('loses no request of many while the sites change again and again', async () => {
    sites['b'] = script('b', 'one');
    await start();
    let isOver = false;
    const answers: Record<string, number> = {};
    const load = async (next: () => Promise<string>): Promise<void> => {
      while (!isOver) {
        const said = await next();
        answers[said] = (answers[said] ?? 0) + 1;
      }
    };
    const [first, second] = [keep('a'), keep('b')];
    const loads = [
      load(() => first.get()),
      load(() => second.get()),
      load(async () => (await ask(at('a.sock'), GET)).stdout),
      load(async () => (await ask(at('b.sock'), GET)).stdout),
    ];
    for (let count = 0; count < 20; count++) {
      sites['a'] = script('a', count % 2 === 0 ? 'two' : 'one');
      sites['b'] = script('b', 'one', `max-processes = ${String(20 + count)}`);
      await reload('configuration read again');
    }
    isOver = true;
    await Promise.all(loads);
    assert.deepEqual(Object.keys(answers).sort(), ['A: b\n\none', 'A: b\n\ntwo']);
  });

  it('refuses a file with mistakes, tells all of them, and goes on as before', async () => {
    await start();
    const old = sites;
    sites = {
      a: `${script('a', 'one')}max-proceses = 3\n`,
      b: `kind = "dir"\nlisten = "9000"\n`,
    };
    await reload('the configuration stays as it was');
    for (const mistake of [
      / error .*sites\.toml:\d+:1: \[site\.a\] max-proceses = 3: there is no such key; did you mean max-processes\? code=ERR_USAGE$/m,
      / error .*\[site\.b\] root is missing.* code=ERR_USAGE$/m,
      / error .*\[site\.b\] listen = "9000": this is no address.* code=ERR_USAGE$/m,
    ]) {
      assert.match(bridge.log(), mistake);
    }
    assert.equal((await ask(at('a.sock'), GET)).stdout, 'A: b\n\none');
    sites = { ...old, b: script('b', 'two') };
    await reload('configuration read again');
    assert.equal((await ask(at('b.sock'), GET)).stdout, 'A: b\n\ntwo');
  });

  it('changes nothing where one site can’t start, or one listener can’t be', async () => {
    await start();
    const { ino } = await stat(at('a.sock'));
    for (const impossible of [
      `kind = "dir"\nroot = "missing"\nlisten = "unix:b.sock"\n`,
      `kind = "dir"\nroot = "."\nlisten = "unix:missing/b.sock"\n`,
    ]) {
      sites = { a: script('a', 'two', 'socket-mode = "0600"'), b: impossible };
      await reload('the configuration stays as it was');
      assert.match(bridge.log(), / error .*sites\.toml:\d+:\d+: \[site\.b\] .*missing/);
      assert.equal((await ask(at('a.sock'), GET)).stdout, 'A: b\n\none');
      const now = await stat(at('a.sock'));
      assert.deepEqual([now.ino, now.mode & 0o777], [ino, 0o660]);
      assert.equal(existsSync(at('b.sock')), false);
    }
  });

  it('changes the logs, and says what waits for the next start', async () => {
    await start();
    top = 'log-level = "info"\naccess-log = "access.log"\npid-file = "pid"';
    await reload('configuration read again');
    await bridge.logged(/ warn these wait for the next start options=\["pidFile"\]$/);
    const before = bridge.log().length;
    await ask(at('a.sock'), GET);
    await until(async () => (await readFile(at('access.log'), 'utf8')).endsWith(' completed "a"\n'));
    assert.doesNotMatch(bridge.log().slice(before), / debug /);
    top = 'access-log = "missing/access.log"';
    await reload('the configuration stays as it was');
    await ask(at('a.sock'), GET);
    await until(async () => (await readFile(at('access.log'), 'utf8')).split('\n').length === 3);
    assert.equal(existsSync(at('pid')), false);
  });
});
