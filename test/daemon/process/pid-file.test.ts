import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { dirname, join } from 'node:path';
import { beforeEach, describe, it } from 'node:test';

import { PidFile, runningDaemon } from '../../../src/daemon/process/pid-file.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const mine = `${String(process.pid)}\n`;

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await temporaryDirectory();
  path = `${directory}/pid`;
});

/** Runs `work` while a program of that path runs with that argument, which is what ps shows. */
async function whileRunning(
  program: string,
  argument: string,
  work: (pid: number) => Promise<void>,
): Promise<void> {
  const file = join(await temporaryDirectory(), program);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, 'process.stdin.resume()');
  const other = spawn(process.execPath, [file, argument], { stdio: ['pipe', 'ignore', 'ignore'] });
  const exited = once(other, 'exit');
  await once(other, 'spawn');
  try {
    await work(other.pid ?? 0);
  } finally {
    other.stdin.end();
    await exited;
  }
}

describe('The pid file', () => {
  it('holds this process’s id, nobody else may write to it, and nothing lies beside it', async () => {
    const umask = process.umask(0);
    const file = await PidFile.hold(path).finally(() => process.umask(umask));
    assert.equal(await readFile(path, 'utf8'), mine);
    assert.equal((await stat(path)).mode & 0o777, 0o644);
    assert.deepEqual(await readdir(directory), ['pid']);
    await file.remove();
    assert.deepEqual(await readdir(directory), []);
  });

  it('is held where another has died as it made one, of which nothing is left', async () => {
    await writeFile(`${path}.999999999`, '');
    await utimes(`${path}.999999999`, 1, 1);
    const file = await PidFile.hold(path);
    assert.deepEqual(await readdir(directory), ['pid']);
    await file.remove();
  });

  it('is written to no file that a symbolic link in its directory leads to', async () => {
    const victim = `${await temporaryDirectory()}/victim`;
    await writeFile(victim, 'as it was');
    await symlink(victim, `${path}.${String(process.pid)}`);
    const file = await PidFile.hold(path, { isKept: true });
    assert.equal(await readFile(path, 'utf8'), mine);
    assert.equal(await readFile(victim, 'utf8'), 'as it was');
    await file.remove();
    assert.deepEqual(await readdir(directory), []);
  });

  it('is written to no file that such a link leads to which somebody puts there at the last moment', async (t) => {
    const victim = `${await temporaryDirectory()}/victim`;
    await writeFile(victim, 'as it was');
    const { unlink } = fs.promises;
    let count = 0;
    t.mock.method(fs.promises, 'unlink', async (name: string) => {
      await unlink(name).catch(() => undefined);
      if (++count === 1) await symlink(victim, name);
    });
    syncBuiltinESMExports();
    try {
      await assert.rejects(PidFile.hold(path), { code: 'ERR_PID_FILE', message: /EEXIST/ });
    } finally {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    }
    assert.equal(await readFile(victim, 'utf8'), 'as it was');
    assert.deepEqual(await readdir(directory), []);
  });

  it('is refused while a daemon runs that holds it, and stays as it is', async () => {
    await whileRunning('bin/fcgi2cgi', 'hg', async (pid) => {
      await writeFile(path, `${String(pid)}\n`);
      await assert.rejects(PidFile.hold(path), {
        code: 'ERR_PID_FILE',
        message: `--pid-file ${path}: already running as process ${String(pid)}`,
      });
      assert.equal(await readFile(path, 'utf8'), `${String(pid)}\n`);
    });
    assert.deepEqual(await readdir(directory), ['pid']);
  });

  it('is taken over from a process that has ended', async () => {
    let ended = 0;
    await whileRunning('bin/fcgi2cgi', 'hg', (pid) => {
      ended = pid;
      return Promise.resolve();
    });
    await writeFile(path, `${String(ended)}\n`);
    await PidFile.hold(path);
    assert.equal(await readFile(path, 'utf8'), mine);
  });

  it('is taken over where the number has become that of another program', async () => {
    await whileRunning('tail', '/var/log/fcgi2cgi.log', async (pid) => {
      await writeFile(path, `${String(pid)}\n`);
      await PidFile.hold(path);
      assert.equal(await readFile(path, 'utf8'), mine);
    });
  });

  it('is taken over where it has this very process’s number, as after a restart of the machine', async () => {
    await writeFile(path, mine);
    await PidFile.hold(path);
    assert.equal(await readFile(path, 'utf8'), mine);
  });

  for (const content of ['', 'garbage\n', '-1\n', '0\n', '99999999999999\n', '4194305\n', '\0\0\0']) {
    it(`is taken over where it holds no process id but ${JSON.stringify(content)}`, async () => {
      await writeFile(path, content);
      await PidFile.hold(path);
      assert.equal(await readFile(path, 'utf8'), mine);
      assert.deepEqual(await readdir(directory), ['pid']);
    });
  }

  it('is taken over from the previous process, and again by that when the next one has ended', async () => {
    const file = PidFile.held(path, undefined);
    await whileRunning('bin/fcgi2cgi', 'hg', async (pid) => {
      await writeFile(path, `${String(pid)}\n`);
      const previous = { pid, descriptor: undefined };
      await PidFile.takeOver(path, previous);
      assert.equal(await readFile(path, 'utf8'), mine);
      await assert.rejects(PidFile.takeOver(path, previous), {
        code: 'ERR_PID_FILE',
        message: /already running/,
      });
      await file.restore();
      assert.equal(await readFile(path, 'utf8'), mine);
      await writeFile(path, `${String(pid)}\n`);
      await file.restore();
      assert.equal(await readFile(path, 'utf8'), `${String(pid)}\n`);
    });
    await file.restore();
    assert.equal(await readFile(path, 'utf8'), mine);
    assert.deepEqual(await readdir(directory), ['pid']);
  });

  it('is never this process’s own already, and a daemon’s where ps(1) is missing', async () => {
    const programs = await temporaryDirectory();
    const before = process.env['PATH'];
    process.env['PATH'] = programs;
    try {
      await writeFile(path, `${String(process.ppid)}\n`);
      await assert.rejects(PidFile.hold(path), { message: /already running as process \d+$/ });
      await writeFile(`${programs}/ps`, '#!/bin/sh\necho node /usr/bin/fcgi2cgi hg\n', { mode: 0o755 });
      await writeFile(path, mine);
      await PidFile.hold(path);
    } finally {
      process.env['PATH'] = before;
    }
  });

  it('is given back where another daemon has put its own there before the stale one was removed', async (t) => {
    await writeFile(path, '0\n');
    const { rename } = fs.promises;
    t.mock.method(fs.promises, 'rename', async (from: string, to: string) => {
      await writeFile(from, '1\n');
      await rename(from, to);
    });
    syncBuiltinESMExports();
    try {
      await assert.rejects(PidFile.hold(path), { message: /already running as process 1$/ });
    } finally {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    }
    assert.equal(await readFile(path, 'utf8'), '1\n');
    assert.deepEqual(await readdir(directory), ['pid']);
  });

  it('names no daemon where it holds no process id', async () => {
    for (const content of ['', 'none\n', '0\n', '-1\n']) {
      await writeFile(path, content);
      await assert.rejects(runningDaemon(path), { code: 'ERR_PID_FILE', message: /: it names no process; / });
    }
  });

  it('is left alone at the end where somebody else’s has taken its place', async () => {
    const file = await PidFile.hold(path);
    await writeFile(path, '1\n');
    await file.remove();
    assert.equal(await readFile(path, 'utf8'), '1\n');
  });

  it('may be gone already at the end', async () => {
    const file = await PidFile.hold(path);
    await file.remove();
    await file.remove();
  });

  it('is refused at once where a link to nothing has its path', async () => {
    await symlink(`${directory}/missing`, path);
    await assert.rejects(PidFile.hold(path), {
      code: 'ERR_PID_FILE',
      message: /is a link to a missing file/,
    });
    assert.deepEqual(await readdir(directory), ['pid']);
  });

  it('is refused at once where what has its path would have to be waited for, or is no end of', async () => {
    execFileSync('mkfifo', [path]);
    await symlink('/dev/zero', `${directory}/zero`);
    await writeFile(`${directory}/large`, `1\n${'0'.repeat(4_096)}`);
    for (const name of ['pid', 'zero']) {
      const why = /: it is no regular file$/;
      await assert.rejects(PidFile.hold(`${directory}/${name}`), { code: 'ERR_PID_FILE', message: why });
      await assert.rejects(runningDaemon(`${directory}/${name}`), { code: 'ERR_PID_FILE' });
    }
    const large = { code: 'ERR_PID_FILE', message: /it has more than 4096 bytes$/ };
    await assert.rejects(PidFile.hold(`${directory}/large`), large);
    assert.deepEqual((await readdir(directory)).sort(), ['large', 'pid', 'zero']);
  });

  it('that can’t be written is an error that says why', async () => {
    await mkdir(`${directory}/taken`);
    for (const [name, why] of [
      ['missing/pid', /ENOENT/],
      ['taken', /it is no regular file/],
    ] as const) {
      await assert.rejects(PidFile.hold(`${directory}/${name}`), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ERR_PID_FILE');
        assert.ok(
          error.message.startsWith(`--pid-file ${directory}/${name} can't be written: `),
          error.message,
        );
        assert.match(error.message, why);
        return true;
      });
    }
    assert.deepEqual(await readdir(directory), ['taken']);
  });
});
