import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, lutimes, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { beforeEach, describe, it } from 'node:test';

import {
  clearPidFiles,
  clearSockets,
  clearTemporary,
  someoneListens,
} from '../../../src/daemon/process/left-behind.js';
import type { Log } from '../../../src/observe/log.js';
import { ALIVE, makePrivateDirectory } from '../../../src/runners/private-directory.js';
import { runToEnd } from '../../helpers/command.js';
import { until } from '../../helpers/processes.js';
import { exists } from '../../../src/process/process-group.js';
import { temporaryDirectory, withTmpdir } from '../../helpers/temporary.js';

let base: string;
const removed: unknown[] = [];
const log = { info: (fields) => removed.push(fields['removed']) } as Partial<Log> as Log;

beforeEach(async () => {
  base = await temporaryDirectory();
  removed.length = 0;
});

/** A socket that a process has listened on which was killed. */
async function deadSocket(path: string): Promise<void> {
  const listen = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 9))`;
  await once(spawn(process.execPath, ['-e', listen, path], { stdio: 'ignore' }), 'exit');
}

async function makeOld(path: string): Promise<void> {
  const hoursAgo = new Date(Date.now() - 7_200_000);
  await lutimes(path, hoursAgo, hoursAgo);
}

/** What is left of it after a start. */
async function leftAfterStart(): Promise<string[]> {
  await withTmpdir(base, () => clearTemporary(log));
  return (await readdir(base)).sort();
}

describe('What a process leaves that is killed', () => {
  it('is gone after the next start, with all that is in it, and the log says so', async () => {
    const dead = join(base, 'fcgi2cgi-aaaaaa');
    await mkdir(join(dead, 'pipes'), { recursive: true });
    await symlink('/etc', join(dead, 'pipes/link'));
    await writeFile(join(dead, 'pipes/1.in'), '');
    await deadSocket(join(dead, ALIVE));
    assert.deepEqual(await leftAfterStart(), []);
    assert.ok((await readdir('/etc')).length > 0);
    assert.deepEqual(removed, [[dead]]);
  });

  it('is the file of a body or an empty directory, too, once nobody can still be making it', async () => {
    const body = (first: string): string => `fcgi2cgi-${first.repeat(8)}-0000-4000-8000-000000000000`;
    for (const first of ['a', 'b']) {
      await writeFile(join(base, body(first)), '');
      await mkdir(join(base, `fcgi2cgi-${first.repeat(6)}`));
    }
    for (const name of [body('a'), 'fcgi2cgi-aaaaaa']) await makeOld(join(base, name));
    assert.deepEqual(await leftAfterStart(), [body('b'), 'fcgi2cgi-bbbbbb'].sort());
  });

  it('is never what a process has that lives, nor what another program has made or a link leads to', async () => {
    const outside = await temporaryDirectory();
    await deadSocket(join(outside, ALIVE));
    await symlink(outside, join(base, 'fcgi2cgi-linked'));
    await mkdir(join(base, 'fcgi2cgi-filled'));
    await writeFile(join(base, 'fcgi2cgi-filled/of-somebody'), '');
    await mkdir(join(base, 'fcgi2cgi-notours1'));
    await writeFile(join(base, `fcgi2cgi-${'a'.repeat(36)}.of-somebody`), '');
    await writeFile(join(base, `of-somebody-fcgi2cgi-${'a'.repeat(36)}`), '');
    for (const name of await readdir(base)) await makeOld(join(base, name));
    const mine = await makePrivateDirectory(base);
    const before = (await readdir(base)).sort();
    assert.deepEqual(await leftAfterStart(), before);
    assert.ok((await readdir(dirname(mine))).includes(ALIVE));
    assert.deepEqual(await readdir(outside), [ALIVE]);
    assert.deepEqual(removed, []);
  });

  it('stays where others may put something else in its place', async () => {
    await mkdir(join(base, 'fcgi2cgi-aaaaaa'));
    await makeOld(join(base, 'fcgi2cgi-aaaaaa'));
    await chmod(base, 0o777);
    assert.deepEqual(await leftAfterStart(), ['fcgi2cgi-aaaaaa']);
    await chmod(base, 0o1777);
    assert.deepEqual(await leftAfterStart(), []);
  });

  it('stays where another machine may have the directory, too: that one’s processes can’t be asked', async () => {
    await mkdir(join(base, 'fcgi2cgi-aaaaaa'));
    await deadSocket(join(base, 'fcgi2cgi-aaaaaa', ALIVE));
    await withTmpdir(base, () => clearTemporary(log, () => Promise.resolve(false)));
    assert.deepEqual(await readdir(base), ['fcgi2cgi-aaaaaa']);
    assert.deepEqual(await leftAfterStart(), []);
  });

  it('stays where it is another user’s', { skip: process.getuid?.() !== 0 }, async () => {
    await mkdir(join(base, 'fcgi2cgi-aaaaaa'));
    await deadSocket(join(base, 'fcgi2cgi-aaaaaa', ALIVE));
    await chown(join(base, 'fcgi2cgi-aaaaaa'), 65_534, 65_534);
    assert.deepEqual(await leftAfterStart(), ['fcgi2cgi-aaaaaa']);
    await chown(join(base, 'fcgi2cgi-aaaaaa'), 0, 0);
    await chown(base, 65_534, 65_534);
    assert.deepEqual(await leftAfterStart(), ['fcgi2cgi-aaaaaa'], 'its owner may put another one there');
    await chown(base, 0, 0);
    assert.deepEqual(await leftAfterStart(), []);
  });
});

describe('What was to become a socket', () => {
  it('is gone with the next one of its directory, if it is old and nobody listens', async () => {
    for (const name of ['.f2c.12b', '.f2c.12c', 'other']) await deadSocket(join(base, name));
    await writeFile(join(base, '.f2c.1file'), '');
    // As others call files and directories of theirs.
    await deadSocket(join(base, '.foo.sock'));
    await mkdir(join(base, '.cache.d'), { mode: 0o755 });
    // One that others may read is none that was made so.
    await mkdir(join(base, '.f2c.12g'), { mode: 0o755 });
    await deadSocket(join(base, '.f2c.12g/.f2c.12g'));
    for (const name of ['.f2c.12e', '.f2c.12f']) {
      await mkdir(join(base, name), { mode: 0o700 });
      await deadSocket(join(base, name, name === '.f2c.12e' ? name : 'of-somebody'));
    }
    await mkdir(join(base, '.f2c.12h'), { mode: 0o700 });
    const outside = await temporaryDirectory();
    await deadSocket(join(outside, '.f2c.12i'));
    await symlink(outside, join(base, '.f2c.12i'));
    const living = ['.f2c.12d', '.f2c.12h/.f2c.12h'].map((name) => createServer().listen(join(base, name)));
    await Promise.all(living.map((server) => once(server, 'listening')));
    for (const name of [
      '.f2c.12b',
      '.f2c.12d',
      '.f2c.12e',
      '.f2c.12f',
      '.f2c.12g',
      '.f2c.12h',
      '.f2c.12i',
      '.f2c.1file',
      '.cache.d',
      '.foo.sock',
      'other',
    ])
      await makeOld(join(base, name));
    await clearSockets(join(base, 'sock'));
    assert.equal(await someoneListens(join(base, '.f2c.12b')), false);
    const kept = [
      '.cache.d',
      '.f2c.12c',
      '.f2c.12d',
      '.f2c.12f',
      '.f2c.12g',
      '.f2c.12h',
      '.f2c.12i',
      '.f2c.1file',
      '.foo.sock',
      'other',
    ];
    assert.deepEqual((await readdir(base)).sort(), kept);
    assert.deepEqual(await readdir(outside), ['.f2c.12i']);
    for (const server of living) server.close();
  });
});

describe('A socket that we may not write to', { skip: process.getuid?.() !== 0 }, () => {
  it('is taken for one on which somebody listens', async () => {
    const socket = join(base, 'sock');
    await deadSocket(socket);
    await chmod(socket, 0o600);
    await chown(socket, 65_534, 65_534);
    const module = new URL('../../../src/daemon/process/left-behind.js', import.meta.url).href;
    const asks = `import('${module}').then(async (all) => console.log(await all.someoneListens('${socket}')))`;
    const { stdout } = await runToEnd('setpriv', [
      ...['--bounding-set=-dac_override', process.execPath, '-e', asks],
    ]);
    assert.equal(stdout, 'true\n');
  });
});

describe('What was to become a pid file', () => {
  it('is gone when the next one is held, if it is old and its maker is', async () => {
    const { pid = 0 } = spawn('true', { stdio: 'ignore' }).on('exit', () => undefined);
    await until(() => !exists(pid));
    for (const name of ['pid.1', `pid.${String(pid)}.stale`, 'pid.upgrade', 'pid.bak', 'pidfile.1']) {
      await writeFile(join(base, name), `${String(pid)}\n`);
      await makeOld(join(base, name));
    }
    await writeFile(join(base, 'pid.2'), `${String(process.pid)}\n`);
    await writeFile(join(base, 'pid.3'), 'a rotated log\n');
    await writeFile(join(base, 'pid.4'), '');
    await writeFile(join(base, 'pid.5'), `${String(pid)}\n${' '.repeat(4_096)}`);
    for (const name of ['pid.2', 'pid.3', 'pid.4', 'pid.5']) await makeOld(join(base, name));
    await clearPidFiles(join(base, 'pid'));
    assert.deepEqual((await readdir(base)).sort(), ['pid.2', 'pid.3', 'pid.5', 'pid.bak', 'pidfile.1']);
  });
});
