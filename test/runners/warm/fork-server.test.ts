import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { mkdir, open, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';

import { fromText } from '../../../src/base/bytes.js';
import { shippedFile } from '../../../src/daemon/package.js';
import type { ExitStatus } from '../../../src/process/exit-status.js';
import type { OwnedProcess } from '../../../src/process/owned-process.js';
import { ForkServer } from '../../../src/runners/warm/fork-server.js';
import { encodeMessage } from '../../../src/runners/warm/messages.js';
import { fixture } from '../../helpers/bridge.js';
import { until, vanished } from '../../helpers/processes.js';
import { startProcess } from '../../helpers/spawn-method.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const run = promisify(execFile);
const variables = new Map([['PATH', '/usr/bin:/bin']]);

for (const [script, program] of [
  ['ends-as-asked.py', ['/usr/bin/python3', `${shippedFile('scripts/warm')}/python/fork_server.py`]],
  ['ends-as-asked.pl', ['/usr/bin/perl', `-I${shippedFile('scripts/warm')}/perl`, '-MFcgi2cgi::ForkServer']],
] as const) {
  describe(`A fork server of ${script}`, { timeout: 300_000 }, () => {
    const file = fromText(fixture(`cgi/${script}`));
    const directory = dirname(file);
    const start = async (lookMs?: number): Promise<ForkServer> => {
      const [interpreter, ...args] = program;
      const server = new ForkServer({
        start: () => startProcess({ file: interpreter, args: [...args, file], directory, variables }),
        load: { start: variables, variables, modules: new Map(), limits: new Map(), programs: [] },
        loadTimeoutMs: 30_000,
        ...(lookMs !== undefined && { lookMs }),
        onLearned: () => undefined,
        onUnprepared: () => undefined,
      });
      await server.ready;
      return server;
    };
    const fork = (server: ForkServer, way = ''): Promise<OwnedProcess> =>
      server.fork(
        { file, args: [], directory, variables: new Map([...variables, ['QUERY_STRING', way]]) },
        [],
        true,
      );

    it('that takes no more requests still makes the processes that it was asked for before', async () => {
      const server = await start();
      const forks = Array.from({ length: 8 }, () => fork(server));
      server.close();
      for (const forked of await Promise.all(forks)) assert.deepEqual(await toItsEnd(forked), succeeded);
      assert.equal(await server.gone, undefined);
    });

    it('has the next request’s process waiting, and makes another one where that was killed', async () => {
      const server = await start();
      const pids: (number | undefined)[] = [];
      const waiting = await theOnlyChild(server.pid);
      const first = await fork(server);
      pids.push(first.pid);
      assert.deepEqual(await toItsEnd(first), succeeded);
      const killed = await theOnlyChild(server.pid);
      process.kill(killed, 'SIGKILL');
      await until(async () => (await childrenOf(server.pid)).length === 0);
      const second = await fork(server);
      pids.push(second.pid);
      assert.deepEqual(await toItsEnd(second), succeeded);
      assert.equal(pids[0], waiting);
      assert.notEqual(pids[1], killed);
      // Of those that have ended nothing is left, and of the one that waits its three pipes.
      const last = await theOnlyChild(server.pid);
      const isLeft = async (): Promise<boolean> => {
        const pipe = await openPipe(last);
        return pipe !== undefined && (await readdir(dirname(pipe))).length === 3;
      };
      await until(isLeft);
      server.close();
      assert.equal(await server.gone, undefined);
    });

    it('is ended if it no longer answers, as when it was stopped: once it is to end, or a process of it has ended', async () => {
      const [idle, busy] = [await start(200), await start(200)];
      // It reads a body that does not come.
      const forked = await fork(busy, 'half');
      for (const { pid = 0 } of [idle, busy]) process.kill(pid, 'SIGSTOP');
      idle.close();
      await forked.terminate(0);
      assert.deepEqual(await forked.exited, { kind: 'exited', code: 1 });
      assert.deepEqual([await idle.gone, await busy.gone], [undefined, 'it no longer answers']);
    });

    it('leaves no process behind when the bridge is killed while it opens the pipes of one', async () => {
      const [interpreter, ...args] = program;
      const pipes = await temporaryDirectory();
      const server = spawn(interpreter, [...args, file], {
        cwd: directory,
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      const load = { directory: fromText(pipes), start: variables, variables, modules: new Map() };
      server.stdin.write(encodeMessage({ kind: 'load', ...load, limits: new Map(), programs: [] }));
      const run = { id: '1', learn: false, directory, args: [], variables };
      server.stdin.write(encodeMessage({ kind: 'run', ...run }));
      let pid = 0;
      for await (const line of createInterface({ input: server.stdout })) {
        const [, told, name = ''] = /^forked 1 (\d+) (\S+)$/.exec(line) ?? [];
        if (told === undefined) continue;
        pid = Number(told);
        const stdin = await open(join(pipes, `${name}.in`), constants.O_WRONLY | constants.O_NONBLOCK);
        await rm(join(pipes, `${name}.in`));
        await stdin.close();
        break;
      }
      server.stdin.destroy();
      server.stdout.destroy();
      await vanished(pid);
      await vanished(server.pid ?? 0);
    });
  });
}

/** The path of the named pipe that a process which waits has opened. */
async function openPipe(pid: number): Promise<string | undefined> {
  const descriptors = `/proc/${String(pid)}/fd`;
  const paths = (await readdir(descriptors)).map((each) => readlink(join(descriptors, each)).catch(() => ''));
  return (await Promise.all(paths)).find((path) => path.endsWith('.in'));
}

/** A fork server of which only the answers are there; `forked` answers with a process that is there, and with its pipes if it has any. */
async function pretended(): Promise<{
  readonly server: ForkServer;
  readonly directory: string;
  readonly forked: (id: string, hasPipes: boolean) => Promise<ChildProcess>;
  readonly say: (line: string) => void;
}> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  let exit: (status: ExitStatus) => void = () => undefined;
  const exited = new Promise<ExitStatus>((resolve) => (exit = resolve));
  const terminate = (): Promise<void> => {
    exit({ kind: 'exited', code: 0 });
    for (const stream of [stdin, stdout, stderr]) stream.destroy();
    return Promise.resolve();
  };
  stdin.once('finish', () => void terminate());
  const server = new ForkServer({
    start: () => Promise.resolve({ pid: 0, stdin, stdout, stderr, exited, hasEnded: false, terminate }),
    load: { start: variables, variables, modules: new Map(), limits: new Map(), programs: [] },
    loadTimeoutMs: 0,
    onLearned: () => undefined,
    onUnprepared: () => undefined,
  });
  const [load] = (await once(stdin, 'data')) as [Buffer];
  const [, directory = ''] = load.subarray(4).toString('utf8').split('\0');
  stdout.write('ready\n');
  await server.ready;
  return {
    server,
    directory,
    forked: async (id, hasPipes) => {
      const child = spawn('/bin/sleep', ['1000'], { detached: true, stdio: 'ignore' });
      if (hasPipes) {
        const pipes = ['in', 'out', 'err'].map((end) => join(directory, `name.${end}`));
        await run('mkfifo', pipes);
        // Else nothing could be opened to be written to.
        const reader = await open(pipes[0] ?? '', 'r+');
        child.once('exit', () => void reader.close());
      }
      stdout.write(`forked ${id} ${String(child.pid)} name\n`);
      return child;
    },
    say: (line) => stdout.write(`${line}\n`),
  };
}

describe('A process that was forked', { timeout: 300_000 }, () => {
  it('is killed if nobody waits for it any more', async () => {
    const { server, forked } = await pretended();
    const [, signal] = (await once(await forked('0-1', true), 'exit')) as [number | null, string];
    assert.equal(signal, 'SIGKILL');
    server.close();
    await server.gone;
  });

  it('has ended also if it was killed before it opened its pipes', async () => {
    const { server, forked, say } = await pretended();
    const asked = server.fork({ file: '/bin/true', args: [], directory: '/', variables }, [], false);
    const child = await forked(`${String(server.pid)}-1`, true);
    const found = await asked;
    child.kill('SIGKILL');
    say(`ended ${String(child.pid)} 9`);
    assert.deepEqual(await toItsEnd(found), { kind: 'signaled', signal: 'SIGKILL' });
    server.close();
    await server.gone;
  });

  it('leaves no pipe if it was killed before it opened them, and nobody reads them any more', async () => {
    const { server, directory, forked, say } = await pretended();
    const asked = server.fork({ file: '/bin/true', args: [], directory: '/', variables }, [], false);
    const child = await forked(`${String(server.pid)}-1`, true);
    const found = await asked;
    await Promise.all([found.stdout, found.stderr].map((each) => once(each.destroy(), 'close')));
    child.kill('SIGKILL');
    say(`ended ${String(child.pid)} 9`);
    await found.exited;
    await until(async () => (await readdir(directory)).length === 0);
    server.close();
    await server.gone;
  });

  it('has ended also if its pipes can’t be opened once more, as without descriptors', async () => {
    const { server, directory, forked, say } = await pretended();
    const asked = server.fork({ file: '/bin/true', args: [], directory: '/', variables }, [], false);
    const child = await forked(`${String(server.pid)}-1`, true);
    const found = await asked;
    const closed = Promise.all([found.stdout, found.stderr].map((each) => once(each.resume(), 'close')));
    for (const end of ['out', 'err']) {
      await rm(join(directory, `name.${end}`));
      await mkdir(join(directory, `name.${end}`));
    }
    child.kill('SIGKILL');
    say(`ended ${String(child.pid)} 9`);
    assert.deepEqual(await found.exited, { kind: 'signaled', signal: 'SIGKILL' });
    await closed;
    server.close();
    await server.gone;
  });

  it('is killed if its pipes can’t be opened, and its request is run otherwise', async () => {
    const { server, forked } = await pretended();
    const asked = server.fork({ file: '/bin/true', args: [], directory: '/', variables }, [], false);
    const refused = assert.rejects(asked, {
      why: 'refused',
      message: /^the pipes .* can't be opened: .*ENOENT/,
    });
    const [, signal] = (await once(await forked('0-1', false), 'exit')) as [number | null, string];
    assert.equal(signal, 'SIGKILL');
    await refused;
    server.close();
    await server.gone;
  });
});

describe('A fork server that names no process', { timeout: 300_000 }, () => {
  for (const line of [
    'forked 0-1 0 name',
    'forked 0-1 1 name',
    'forked 0-1 -1 name',
    'forked 0-1 x name',
    'ended 1 0',
    'ended 7 x',
  ])
    it(`is of no use: ${line}`, async () => {
      const { server, say } = await pretended();
      const asked = server.fork({ file: '/bin/true', args: [], directory: '/', variables }, [], false);
      const refused = assert.rejects(asked, { why: 'gone', message: 'it sent a line that is no answer' });
      say(line);
      await refused;
      assert.equal(await server.gone, 'it sent a line that is no answer');
    });
});

const succeeded = { kind: 'exited', code: 0 };

async function toItsEnd(forked: OwnedProcess): Promise<unknown> {
  forked.stdin.end();
  forked.stderr.resume();
  const [, exit] = await Promise.all([text(forked.stdout), forked.exited]);
  return exit;
}

/** The process that it has, once the one that has answered was reaped. */
async function theOnlyChild(pid: number | undefined): Promise<number> {
  let children: readonly number[] = [];
  await until(async () => {
    children = await childrenOf(pid);
    return children.length === 1;
  });
  return children[0] ?? 0;
}

async function childrenOf(pid = 0): Promise<readonly number[]> {
  const children = await readFile(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8');
  return children.split(' ').filter(Boolean).map(Number);
}
