import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rmdir,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { createConnection, createServer, type Server } from 'node:net';
import { afterEach, beforeEach, describe, it, type TestContext } from 'node:test';

import { permit, socketPlaceAt, type UnixSocketOptions } from '../../../src/daemon/listening/socket-file.js';
import { bindUnixSocket, takeAway } from '../../../src/daemon/listening/unix-socket.js';
import { makeTree } from '../../helpers/file-tree.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const plain: UnixSocketOptions & { backlog: number } = {
  backlog: 511,
  mode: 0o660,
  owner: undefined,
  group: undefined,
};
const isRoot = process.getuid?.() === 0;

let directory: string;
let path: string;
const servers: Server[] = [];

beforeEach(async () => {
  directory = await temporaryDirectory();
  path = `${directory}/sock`;
});

afterEach(async () => {
  for (const server of servers.splice(0)) {
    if (!server.listening) continue;
    server.close();
    await once(server, 'close');
  }
});

function newServer(): Server {
  const server = createServer((socket) => socket.end());
  servers.push(server);
  return server;
}

/** Resolves to what removes the file. */
const bind = async (options: Partial<UnixSocketOptions> = {}, where = path): Promise<() => Promise<void>> => {
  const file = await bindUnixSocket(newServer(), where, { ...plain, ...options });
  return () => file.remove((why) => assert.fail(why));
};

async function connects(where = path): Promise<boolean> {
  const socket = createConnection(where);
  return new Promise((resolve) => {
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}

/** A socket's file that nobody listens on any more, as after kill -9. */
function leaveStaleSocket(where = path): void {
  execFileSync('/usr/bin/python3', [
    '-c',
    'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])',
    where,
  ]);
}

async function refuses(binding: Promise<unknown>, why: RegExp, where = path): Promise<void> {
  await assert.rejects(binding, (error: Error & { code?: string }) => {
    assert.equal(error.code, 'ERR_LISTEN');
    assert.ok(error.message.startsWith(`unix:${where}: `), error.message);
    assert.match(error.message, why);
    assert.ok(!error.message.includes('\n'), `more than one line: ${error.message}`);
    return true;
  });
}

describe('The file of a Unix socket', () => {
  it('is for its owner and group alone, whatever the umask, and nothing lies beside it', async () => {
    for (const [mode, umask] of [
      [0o660, 0o777],
      [0o606, 0],
      [0o600, 0o022],
    ] as const) {
      const before = process.umask(umask);
      let remove;
      try {
        remove = await bind({ mode });
        assert.equal(process.umask(umask), umask, 'the umask was left changed');
      } finally {
        process.umask(before);
      }
      assert.equal((await lstat(path)).mode & 0o777, mode);
      assert.deepEqual(await readdir(directory), ['sock']);
      assert.equal(await connects(), true);
      await remove();
    }
  });

  it('lets nobody connect before it has its owner and permissions', async () => {
    const path0 = process.env['PATH'];
    const chown = `#!/bin/sh\nls -lL "$3" > '${directory}/seen'\n`;
    await makeTree(directory, { 'bin/chown': { content: chown, mode: 0o755 } });
    process.env['PATH'] = `${directory}/bin:${String(path0)}`;
    const before = process.umask(0);
    try {
      await bind({ owner: 'somebody', mode: 0o666 });
    } finally {
      process.umask(before);
      process.env['PATH'] = path0;
    }
    assert.match(await readFile(`${directory}/seen`, 'utf8'), /^srw-------/);
    assert.equal((await lstat(path)).mode & 0o777, 0o666);
  });

  it('gets the owner and group that it is to have, by name or number', { skip: !isRoot }, async () => {
    await bind({ owner: 'nobody', group: '12345' });
    const { uid, gid } = await lstat(path);
    assert.equal(uid, Number(execFileSync('id', ['-u', 'nobody'])));
    assert.equal(gid, 12345);
  });

  it(
    'is all that is given to somebody, and not what a symbolic link leads to, nor the link',
    { skip: !isRoot },
    async () => {
      const [victim, link] = [`${directory}/victim`, `${directory}/link`];
      const server = newServer().listen(victim);
      await once(server, 'listening');
      await symlink(victim, link);
      const before = await lstat(victim);
      await assert.rejects(permit(link, { mode: 0o666, owner: 'nobody', group: '12345' }), /no socket/);
      const [kept, given] = [await lstat(victim), await lstat(link)];
      assert.deepEqual(
        [kept.uid, kept.gid, kept.mode, given.gid],
        [0, process.getgid?.(), before.mode, process.getgid?.()],
      );
    },
  );

  it('is made by root where nobody else can put another file in its place', { skip: !isRoot }, async () => {
    await chown(directory, 65_534, 65_534);
    const path0 = process.env['PATH'];
    const bin = await temporaryDirectory();
    // The directory's owner would do so while root gives the socket away: he sees nothing that he could rename in time.
    const look = `#!/bin/sh\nfind '${directory}' -mindepth 1 -maxdepth 1 -printf '%M %U\\n' > '${bin}/seen'\n`;
    await makeTree(bin, { chown: { content: look, mode: 0o755 } });
    process.env['PATH'] = `${bin}:${String(path0)}`;
    try {
      await bind({ owner: 'somebody', group: '12345' });
    } finally {
      process.env['PATH'] = path0;
    }
    assert.equal(await readFile(`${bin}/seen`, 'utf8'), 'drwx------ 0\n', 'it is in a directory of root’s');
    assert.deepEqual(await readdir(directory), ['sock']);
    assert.equal((await lstat(path)).gid, 12_345);
    assert.equal(await connects(), true);
  });

  it('is given to others again only while it is the one that was made', { skip: !isRoot }, async () => {
    const file = await bindUnixSocket(newServer(), path, plain);
    const others = { mode: 0o666, owner: 'nobody', group: undefined };
    await rename(path, `${directory}/aside`);
    leaveStaleSocket();
    await assert.rejects(file.change(plain, others), /is no socket any more/);
    assert.equal((await lstat(path)).uid, 0);
    await rename(`${directory}/aside`, path);
    await file.change(plain, others);
    const { uid, mode } = await lstat(path);
    assert.deepEqual([uid, mode & 0o777], [65_534, 0o666]);
  });

  it('is not made for an owner or group that there is not, and the error says so in one line', async () => {
    await refuses(bind({ owner: 'no-such-user' }), /can't listen: chown: .*no-such-user/);
    await refuses(bind({ group: 'no-such-group' }), /can't listen: chgrp: .*no-such-group/);
    await refuses(bind({ owner: '--reference=/' }), /can't listen: chown: /);
    assert.deepEqual(await readdir(directory), []);
  });

  it('replaces one that nobody listens on', async () => {
    leaveStaleSocket();
    const { ino } = await lstat(path);
    await bind();
    assert.equal(await connects(), true);
    assert.notEqual((await lstat(path)).ino, ino);
  });

  it('does not replace one that somebody listens on, who goes on listening', async () => {
    await bind();
    const { ino } = await lstat(path);
    await refuses(bind(), /another process listens there; stop it first or choose another path/);
    assert.equal((await lstat(path)).ino, ino);
    assert.equal(await connects(), true);
    assert.deepEqual(await readdir(directory), ['sock']);
  });

  for (const what of ['where there is none', 'in place of one that nobody listens on']) {
    it(`goes to one of several that start at the same time ${what}, and the others say so`, async () => {
      for (let round = 0; round < 10; round += 1) {
        const where = `${directory}/${String(round)}`;
        if (what !== 'where there is none') leaveStaleSocket(where);
        const tried = await Promise.allSettled(Array.from({ length: 4 }, () => bind({}, where)));
        const winners = tried.filter(({ status }) => status === 'fulfilled');
        assert.equal(winners.length, 1);
        for (const each of tried) {
          if (each.status === 'rejected')
            assert.match(String(each.reason), /another process (listens|is just about to listen) there/);
        }
        assert.equal(await connects(where), true);
        assert.equal(servers.filter(({ listening }) => listening).length, round + 1);
      }
      assert.equal((await readdir(directory)).length, 10, 'nothing lies beside them');
    });
  }

  it('replaces one that nobody listens on where another one has died while it took its place', async () => {
    leaveStaleSocket();
    const lock = `${directory}/.${createHash('sha256').update('sock').digest('hex').slice(0, 8)}`;
    leaveStaleSocket(lock);
    await bind();
    assert.equal(await connects(), true);
    assert.deepEqual(await readdir(directory), ['sock']);
  });

  it('leaves the lock to another one that has put its own there since it was looked at', async () => {
    await bind();
    const { ino, dev } = await lstat(path);
    const taken = `${path}-taken`;
    for (const stale of [
      { ino: ino + 1, dev },
      { ino, dev: dev + 1 },
    ]) {
      await takeAway(path, stale, taken);
      assert.equal((await lstat(path)).ino, ino);
      assert.equal(await connects(), true);
    }
    await takeAway(path, { ino, dev }, taken);
    await takeAway(path, { ino, dev }, taken);
    assert.deepEqual(await readdir(directory), []);
  });

  it('does not replace one whose listener is too busy to accept', async () => {
    const busy = `import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(0)
c = [socket.socket(socket.AF_UNIX) for _ in range(9)]
for each in c: each.setblocking(False); each.connect_ex(sys.argv[1])
print('full', flush=True); sys.stdin.read()`;
    const holder = spawn('/usr/bin/python3', ['-c', busy, path], { stdio: ['pipe', 'pipe', 'inherit'] });
    const exited = once(holder, 'exit');
    try {
      await once(holder.stdout, 'data');
      await refuses(bind(), /another process listens there/);
    } finally {
      holder.stdin.end();
      await exited;
    }
  });

  it('does not replace a file of another kind', async () => {
    await writeFile(path, 'precious');
    await refuses(bind(), /the file there is no socket; choose another path or remove it/);
    await mkdir(`${directory}/directory`);
    await refuses(
      bind({}, `${directory}/directory`),
      /the file there is no socket/,
      `${directory}/directory`,
    );
    execFileSync('ln', ['-s', 'precious', `${directory}/link`]);
    await refuses(bind({}, `${directory}/link`), /the file there is no socket/, `${directory}/link`);
    assert.equal((await lstat(path)).size, 'precious'.length);
  });

  it('can’t have a path longer than the system’s, and the error has both numbers', async () => {
    const long = `${directory}/${'x'.repeat(120)}`;
    await refuses(
      bind({}, long),
      new RegExp(`may have 10[37] bytes, this one needs ${String(long.length)}$`),
      long,
    );
    const multibyte = `${directory}/${'é'.repeat(50)}`;
    await refuses(bind({}, multibyte), /bytes, this one needs 1\d\d$/, multibyte);
  });

  it('can’t be in a directory that is missing, and the error names it', async () => {
    const missing = `${directory}/missing/sock`;
    await refuses(
      bind({}, missing),
      new RegExp(`can't listen: there is no directory ${directory}/missing$`),
      missing,
    );
  });

  it('can’t be in what is no directory, and the error names no temporary file', async () => {
    await writeFile(`${directory}/file`, '');
    const below = `${directory}/file/sock`;
    await refuses(bind({}, below), /ENOTDIR.*file\/sock'?$/, below);
  });

  it('is removed at the end', async () => {
    const remove = await bind();
    await remove();
    assert.deepEqual(await readdir(directory), []);
    await remove();
  });

  it('is left alone at the end where another one has taken its place', async () => {
    const removeFirst = await bind();
    await rename(path, `${directory}/aside`);
    await bind();
    await removeFirst();
    assert.equal(await connects(), true);
    assert.deepEqual((await readdir(directory)).sort(), ['aside', 'sock']);
  });
});

/** Makes the place of a socket, whose directory is changed as soon as it is there. */
async function placeAfter(
  t: TestContext,
  change: (made: string) => Promise<void>,
): Promise<Awaited<ReturnType<typeof socketPlaceAt>>> {
  const { mkdir } = fs.promises;
  t.mock.method(fs.promises, 'mkdir', async (made: string, mode: number) => {
    await mkdir(made, mode);
    await change(made);
  });
  syncBuiltinESMExports();
  try {
    return await socketPlaceAt(path);
  } finally {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  }
}

describe('The directory that root makes for a socket where others may write', { skip: !isRoot }, () => {
  for (const [what, change] of [
    ['of another user’s', (made: string) => chown(made, 65_534, 65_534)],
    ['that others may write to', (made: string) => chmod(made, 0o770)],
  ] as const) {
    it(`is not used where somebody has put one ${what} in its place`, async (t) => {
      await chmod(directory, 0o1777);
      await assert.rejects(placeAfter(t, change), /somebody else has put another directory in the place/);
      assert.deepEqual(await readdir(directory), []);
    });
  }

  it('is not one of root’s that a link leads to', async (t) => {
    await makeTree(directory, { victim: 'directory' });
    await chmod(`${directory}/victim`, 0o700);
    await chmod(directory, 0o1777);
    const change = async (made: string): Promise<void> => {
      await rmdir(made);
      await symlink('victim', made);
    };
    await assert.rejects(placeAfter(t, change), { code: 'ENOTDIR' });
  });
});
