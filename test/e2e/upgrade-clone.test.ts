/** A new process takes the place of a daemon in the middle of a clone, which goes on as if nothing had happened. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { startBridge } from '../helpers/bridge.js';
import { git, makeBareRepository, tryGit } from '../helpers/git.js';
import { hg, makeRepository, tryHg } from '../helpers/mercurial.js';
import { childrenOf, isRunning, until, vanished } from '../helpers/processes.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { startWebServerWith } from '../helpers/webserver.js';
import { nginxServer } from '../helpers/webserver-table.js';

/** Much more than is on the way at a time; in files of which each is received before the next one is begun. */
const FILES = Array.from({ length: 40 }, (_, index) => `file${String(index)}`);
const FILE_BYTES = 250_000;

interface System {
  readonly make: (repository: string, files: Readonly<Record<string, Buffer>>) => Promise<unknown>;
  /** Where a clone has what it receives. */
  readonly receives: string;
  /** Rejects unless the clone is as it should be. */
  readonly verify: (clone: string) => Promise<void>;
  /** What the repository at a URL says of itself. */
  readonly look: (url: string) => Promise<string>;
  readonly looks: RegExp;
}

const systems: Readonly<Record<'git' | 'hg', System>> = {
  git: {
    make: makeBareRepository,
    receives: '.git/objects/pack',
    verify: async (clone) => {
      const { status, stderr } = await tryGit(['fsck', '--full', '--strict'], clone);
      assert.deepEqual([status, stderr.replaceAll(/^(?:Checking|notice:).*$/gm, '').trim()], [0, '']);
    },
    look: (url) => git(['ls-remote', url]),
    looks: /refs\/heads\/main/,
  },
  hg: {
    make: makeRepository,
    receives: '.hg/store/data',
    verify: async (clone) => {
      const { status, stdout, stderr } = await tryHg(['verify', '-q'], clone);
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
    },
    look: (url) => hg(['identify', url]),
    looks: /^[0-9a-f]{12}\n$/,
  },
};

/** How many octets there are in a directory, which may not be there. */
async function sizeOf(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true }).catch(() => []);
  const found = await Promise.all(names.map((name) => stat(join(directory, name)).catch(() => undefined)));
  return found.reduce((sum, entry) => sum + (entry?.isFile() === true ? entry.size : 0), 0);
}

describe('An upgrade', { timeout: 240_000 }, () => {
  for (const [name, system] of Object.entries(systems)) {
    it(`in the middle of a clone by ${name} through nginx does not cut it, and the clone is whole`, async () => {
      const directory = await temporaryDirectory();
      const [socket, clone] = [join(directory, 'sock'), join(directory, 'clone')];
      await mkdir(join(directory, 'repos'));
      const files = Object.fromEntries(FILES.map((file) => [file, randomBytes(FILE_BYTES)]));
      await system.make(join(directory, 'repos/large'), files);
      const bridge = await startBridge([name, '--repos', join(directory, 'repos'), '--listen', socket]);
      const nginx = await startWebServerWith(
        'nginx',
        // It keeps nothing for a client that is slow.
        nginxServer(
          `location / { include fastcgi_params; fastcgi_pass unix:${socket}; fastcgi_max_temp_file_size 0; }`,
        ),
      );
      const old = bridge.process.pid ?? 0;
      const client = spawn(name, ['clone', '-q', `${nginx.url}/large`, clone], {
        detached: true,
        stdio: 'inherit',
        env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', HGRCPATH: '' },
      });
      const group = -(client.pid ?? 0);
      const ended = once(client, 'exit');
      let next = 0;
      try {
        await until(async () => (await sizeOf(join(clone, system.receives))) > 0);
        process.kill(group, 'SIGSTOP');
        bridge.process.kill('SIGUSR2');
        next = Number(/next_pid=(\d+)/.exec(await bridge.logged(/ info replaced: /))?.[1]);
        assert.ok(isRunning(old) && childrenOf(old).length > 1, 'the clone has not ended yet');
        process.kill(group, 'SIGCONT');
        assert.deepEqual(await ended, [0, null]);
        await vanished(old);
        await system.verify(clone);
        for (const file of FILES) assert.equal((await stat(join(clone, file))).size, FILE_BYTES);
        assert.match(await system.look(`${nginx.url}/large`), system.looks);
      } finally {
        if (client.exitCode === null) process.kill(group, 'SIGKILL');
        await nginx.stop();
        if (next === 0) await bridge.stop();
        else {
          process.kill(next, 'SIGTERM');
          await vanished(next);
        }
      }
    });
  }
});
