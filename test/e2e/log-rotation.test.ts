import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readlinkSync } from 'node:fs';
import { mkdir, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { ask } from '../helpers/ask.js';
import { fixture, runBridge } from '../helpers/bridge.js';
import { until, vanished } from '../helpers/processes.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { Upgradable } from '../helpers/upgrade.js';

describe('The log file', () => {
  for (const signal of ['SIGHUP', 'SIGUSR1'] as const) {
    it(`is opened anew at ${signal}, as standard error too, and the daemon goes on`, async () => {
      const directory = await temporaryDirectory();
      const [log, pidFile] = [join(directory, 'log'), join(directory, 'pid')];
      const options = [
        '--listen',
        join(directory, 'sock'),
        '--daemon',
        '--log-file',
        log,
        '--pid-file',
        pidFile,
      ];
      const started = await runBridge(['script', fixture('cgi/writes-stderr.sh'), ...options]);
      assert.deepEqual(started, { status: 0, stdout: '', stderr: '' });
      const pid = Number(await readFile(pidFile, 'utf8'));
      try {
        await rename(log, `${log}.1`);
        process.kill(pid, signal);
        await until(async () => (await readFile(log, 'utf8').catch(() => '')).includes('log opened again'));
        if (process.platform === 'linux') assert.equal(readlinkSync(`/proc/${String(pid)}/fd/2`), log);
      } finally {
        process.kill(pid, 'SIGTERM');
        await vanished(pid);
      }
      assert.match(await readFile(log, 'utf8'), /stopped\n$/);
      assert.match(
        await readFile(`${log}.1`, 'utf8'),
        /^\S+ info listening [^\n]*\n(\S+ info removed what [^\n]*\n)?$/,
      );
    });
  }

  it('that can’t be opened anew goes on where it was, says so, and the daemon with it', async () => {
    const directory = join(await temporaryDirectory(), 'logs');
    await mkdir(directory);
    const log = join(directory, 'log');
    const socket = join(await temporaryDirectory(), 'sock');
    const pidFile = `${socket}.pid`;
    const options = ['--listen', socket, '--daemon', '--log-file', log, '--pid-file', pidFile];
    await runBridge(['script', fixture('cgi/writes-stderr.sh'), ...options]);
    const pid = Number(await readFile(pidFile, 'utf8'));
    try {
      await rename(directory, `${directory}.1`);
      process.kill(pid, 'SIGHUP');
      await until(async () => (await readFile(`${directory}.1/log`, 'utf8')).includes(' error '));
      assert.equal((await ask(socket)).appStatus, 0);
    } finally {
      process.kill(pid, 'SIGTERM');
      await vanished(pid);
    }
    assert.match(
      await readFile(`${directory}.1/log`, 'utf8'),
      / error --log-file \/\S+\/log can't be opened: ENOENT.* code=ERR_LOG_FILE\n[^]*stopped\n$/,
    );
  });

  it('that is moved away while an upgrade starts is left by both processes, whichever of them is told', async () => {
    const daemon = await Upgradable.make();
    const { directory, log, socket } = daemon;
    const held = `#!/bin/sh
[ ! -e '${directory}/hold' ] || { echo > '${directory}/held'; read -r line < '${directory}/line'; }
exec git "$@"
`;
    await writeFile(`${directory}/git`, held, { mode: 0o755 });
    await mkdir(`${directory}/repos`);
    execFileSync('mkfifo', [`${directory}/line`]);
    const site = ['git', '--repos', `${directory}/repos`, '--git', `${directory}/git`];
    try {
      await daemon.start([...site, '--listen', socket]);
      const old = await daemon.pid();
      await writeFile(`${directory}/hold`, '');
      const upgrading = daemon.upgrade();
      await until(() => existsSync(`${directory}/held`));
      await rename(log, `${log}.1`);
      process.kill(old, 'SIGUSR1');
      await until(async () => (await readFile(log, 'utf8').catch(() => '')).includes('log opened again'));
      await unlink(`${directory}/hold`);
      await writeFile(`${directory}/line`, '\n');
      assert.equal((await upgrading).status, 0);
      await vanished(old);
      await daemon.stop(['git', 'held', 'line', 'log.1', 'repos']);
      assert.match(
        await readFile(log, 'utf8'),
        / info stopping: [^\n]* signal=SIGTERM\n[^\n]* info stopped\n$/,
      );
    } finally {
      await daemon.destroy();
    }
  });
});
