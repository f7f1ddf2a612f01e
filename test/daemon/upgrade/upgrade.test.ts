import assert from 'node:assert/strict';
import { execFileSync, spawn, type StdioOptions } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { chown, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { AllowFrom } from '../../../src/daemon/listening/address.js';
import { Listener } from '../../../src/daemon/listening/listener.js';
import type { Logs } from '../../../src/daemon/process/logs.js';
import { PidFile } from '../../../src/daemon/process/pid-file.js';
import { answerRequest, requestUpgrade } from '../../../src/daemon/upgrade/upgrade-request.js';
import { NextProcess, upgrade } from '../../../src/daemon/upgrade/next-process.js';
import { startAgain } from '../../../src/daemon/upgrade/start-again.js';
import { until } from '../../helpers/processes.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const ignore = (): void => undefined;
const isRoot = process.getuid?.() === 0;

/** Runs `work` with the text of a program that is this one's next process. */
async function withNext<T>(text: string, work: () => Promise<T>): Promise<T> {
  const program = `${await temporaryDirectory()}/next.mjs`;
  await writeFile(program, text);
  const { argv } = process;
  process.argv = [argv[0] ?? '', program];
  return work().finally(() => (process.argv = argv));
}

/** Has an upgrade of this process fail, whose pid file somebody has written to; resolves to what is said of it. */
async function failedUpgrade(
  path: string,
  listeners: readonly Listener[] | undefined,
  signal = new AbortController().signal,
): Promise<unknown[]> {
  const pidFile = await PidFile.hold(path);
  await writeFile(path, '4711\n');
  await writeFile(`${path}.upgrade`, 'asked\n');
  const said: unknown[] = [];
  const log = { info: () => undefined, error: (_fields: unknown, message: string) => said.push(message) };
  await upgrade({
    listeners,
    configuration: {
      log: { file: undefined, format: 'text', level: 'info' },
      background: false,
      pidFile: path,
      upgradeTimeoutMs: 0,
    },
    pidFile,
    logs: { log, report: (error: unknown) => said.push(error) } as unknown as Logs,
    env: {},
    signal,
    orders: { onReopen: ignore, onStop: ignore },
    onReplaced: () => assert.fail('nothing has taken its place'),
  });
  return said;
}

describe('An upgrade that fails', () => {
  it('leaves the pid file with the process that goes on, and says so', async () => {
    const path = `${await temporaryDirectory()}/pid`;
    const handover = (): never => assert.fail('no descriptor');
    const noteRights = (): Promise<() => void> => Promise.resolve(() => undefined);
    const said = await failedUpgrade(path, [{ handover, noteRights } as unknown as Listener]);
    assert.equal(await readFile(path, 'utf8'), `${String(process.pid)}\n`);
    assert.deepEqual(said.slice(1), ['the upgrade has failed: this process goes on serving']);
    assert.match(
      await readFile(`${path}.upgrade`, 'utf8'),
      /^asked\n\{"withinMs":0\}\n\{"failed":\[".*"\]\}\n$/,
    );
  });

  it('does not say that this process goes on where that was told to stop, and starts nothing then', async () => {
    const why = new Error('SIGTERM came first');
    const directory = await temporaryDirectory();
    const next = `import fs from 'node:fs'; fs.writeFileSync('${directory}/started', '');`;
    const said = await withNext(next, () => failedUpgrade(`${directory}/pid`, [], AbortSignal.abort(why)));
    assert.match(String(said), /SIGTERM came first$/);
    assert.equal(said.length, 1);
    assert.equal(existsSync(`${directory}/started`), false);
  });

  it('leaves each socket to whom it was for, also where the next process was killed', async () => {
    const directory = await temporaryDirectory();
    const path = `${directory}/sock`;
    const listener = await Listener.bind(
      { kind: 'unix', path },
      {
        socket: { mode: 0o640, owner: undefined, group: undefined },
        backlog: 1,
        allowFrom: new AllowFrom([]),
        onProblem: ignore,
        onStranger: ignore,
      },
    );
    // As an administrator may have it.
    const gid = isRoot ? 12_345 : process.getgid?.();
    await chown(path, -1, gid ?? -1);
    const { ctimeMs: before } = statSync(path);
    const changes = `fs.chmodSync('${path}', 0o606); fs.chownSync('${path}', -1, ${String(process.getgid?.())});`;
    const next = `import fs from 'node:fs'; ${changes} process.kill(process.pid, 'SIGKILL');`;
    try {
      await withNext(next, () => failedUpgrade(`${directory}/pid`, [listener]));
      const { mode, gid: now, ctimeMs } = statSync(path);
      assert.deepEqual([mode & 0o7777, now], [0o640, gid]);
      assert.notEqual(ctimeMs, before, 'it was another’s meanwhile');
    } finally {
      await listener.close();
    }
  });

  it('leaves the pid file alone where this process was replaced already, and answers', async () => {
    const path = `${await temporaryDirectory()}/pid`;
    const said = await failedUpgrade(path, undefined);
    assert.equal(await readFile(path, 'utf8'), '4711\n');
    assert.equal(said.length, 1);
    assert.match(await readFile(`${path}.upgrade`, 'utf8'), /^asked\n\{"failed":\["no upgrade: .*"\]\}\n$/);
  });
});

/** The next process, as we see it, with the channel to it. */
function makeNext(listeners: readonly Listener[] = []): {
  readonly next: NextProcess;
  readonly child: EventEmitter & { connected: boolean };
} {
  const child = Object.assign(new EventEmitter(), {
    connected: true,
    send: () => true,
    disconnect: () => {
      child.connected = false;
      child.emit('disconnect');
    },
  });
  const taken = new Map(listeners.map((listener, index) => [listener, index]));
  const onStop = (): void => assert.fail('it has not ended');
  return { child, next: Reflect.construct(NextProcess, [child, taken, { onStop }]) as NextProcess };
}

describe('The process that takes our place', () => {
  it('has us open our logs again and end when it says so, before it listens, too, or has ended', async () => {
    const heard: string[] = [];
    // One tick of ours may bring them all.
    const text = `for (const kind of ['reopen', 'other', 'listening', 'reopen', 'stop']) process.send({ kind, taken: [] });
process.disconnect();`;
    const started = withNext(text, () =>
      NextProcess.start({
        ...{
          listeners: [],
          pidFile: undefined,
          logFile: undefined,
          background: false,
          timeoutMs: 0,
          env: {},
        },
        signal: new AbortController().signal,
        orders: { onReopen: () => heard.push('reopen'), onStop: () => heard.push('stop') },
      }),
    );
    await started;
    await until(() => heard.length === 4);
    assert.deepEqual(heard, ['reopen', 'reopen', 'stop', 'stop']);
  });

  it('is none where it was to be killed just when it listens', async () => {
    const late = new AbortController();
    const reason = new Error('too late');
    const text = `process.send({ kind: 'reopen' }); process.send({ kind: 'listening', taken: [] });`;
    const stdio: StdioOptions = ['ignore', 'inherit', 'inherit', 'ipc'];
    const onMessage = (): void => {
      late.abort(reason);
    };
    const options = { stdio, detached: false, advice: 'standard error', onMessage };
    await assert.rejects(
      withNext(text, () => startAgain(options, late.signal)),
      reason,
    );
  });

  it('has said that it has all connections that it was given before it is told that we have ended', async () => {
    const listener = Object.create(Listener.prototype) as Listener;
    const { next, child } = makeNext([listener]);
    next.sendConnection(new Socket(), listener);
    next.sendConnection(new Socket(), listener);
    const closed = next.close();
    for (let left = 2; left > 0; left -= 1) {
      await setImmediate();
      assert.equal(child.connected, true);
      next.arrived();
    }
    await closed;
    assert.equal(child.connected, false);
  });
});

describe('The file in which an upgrade is asked for', () => {
  it('is one that nobody else may write to, whatever the umask, and not what a killed command has left', async () => {
    const path = `${await temporaryDirectory()}/pid`;
    await writeFile(`${path}.upgrade`, '999999999\n');
    const daemon = spawn('sh', ['-c', `trap '' USR2; echo; exec sleep 100`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(daemon.stdout, 'data');
    const umask = process.umask(0);
    const asked = assert.rejects(requestUpgrade(path, daemon.pid ?? 0), { code: 'ERR_UPGRADE' });
    // For a moment nothing is there.
    const isOurs = async (): Promise<boolean> =>
      (await readFile(`${path}.upgrade`, 'utf8').catch(() => '')) === `${String(process.pid)}\n`;
    await until(isOurs).finally(() => process.umask(umask));
    assert.equal(statSync(`${path}.upgrade`).mode & 0o777, 0o600);
    daemon.kill();
    await asked;
  });

  it('is answered neither through a link nor in a named pipe, for which nobody waits', async () => {
    const directory = await temporaryDirectory();
    await writeFile(`${directory}/victim`, 'as it was');
    await symlink(`${directory}/victim`, `${directory}/link.upgrade`);
    execFileSync('mkfifo', [`${directory}/pipe.upgrade`]);
    for (const name of ['link', 'pipe', 'missing']) await answerRequest(`${directory}/${name}`, { pid: 1 });
    assert.equal(await readFile(`${directory}/victim`, 'utf8'), 'as it was');
  });

  it('is not left behind where the daemon has just ended, or the command is interrupted', async () => {
    const directory = await temporaryDirectory();
    const daemon = spawn('sh', ['-c', `trap '' USR2; exec sleep 100`]);
    const module = new URL('../../../src/daemon/upgrade/upgrade-request.js', import.meta.url).href;
    const program = `import { requestUpgrade } from '${module}'; await requestUpgrade('${directory}/pid', ${String(daemon.pid)});`;
    const command = spawn(process.execPath, ['--input-type=module', '-e', program]);
    await until(() => existsSync(`${directory}/pid.upgrade`));
    await assert.rejects(requestUpgrade(`${directory}/pid`, daemon.pid ?? 0), {
      message: `process ${String(command.pid)} has asked for an upgrade already; wait for it`,
    });
    command.kill('SIGINT');
    assert.deepEqual(await once(command, 'exit'), [null, 'SIGINT']);
    assert.deepEqual(readdirSync(directory), []);
    daemon.kill();
    await once(daemon, 'exit');
    await assert.rejects(requestUpgrade(`${directory}/pid`, daemon.pid ?? 0), { code: 'ERR_UPGRADE' });
    assert.deepEqual(readdirSync(directory), []);
  });

  it('that can’t be made since something else has its name is an error that says so', async () => {
    const path = `${await temporaryDirectory()}/pid`;
    await mkdir(`${path}.upgrade`);
    await assert.rejects(requestUpgrade(path, process.pid), {
      code: 'ERR_UPGRADE',
      message: /pid\.upgrade can't be removed: /,
    });
  });
});
