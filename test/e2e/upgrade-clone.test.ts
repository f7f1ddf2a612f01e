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
import { childrenOf, isRunning, until, vanished } from '../helpers/processes.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { startWebServerWith } from '../helpers/webserver.js';
import { nginxServer } from '../helpers/webserver-table.js';

const BYTES = 50_000_000;

/** How much of a pack a clone has received. */
async function received(clone: string): Promise<number> {
  const packs = join(clone, '.git/objects/pack');
  const names = await readdir(packs).catch(() => []);
  const sizes = await Promise.all(names.map((name) => stat(join(packs, name)).catch(() => undefined)));
  return sizes.reduce((sum, found) => sum + (found?.size ?? 0), 0);
}

describe('An upgrade', { timeout: 120_000 }, () => {
  it('in the middle of a clone through nginx does not cut it, and the clone is whole', async () => {
    const directory = await temporaryDirectory();
    const [socket, clone] = [join(directory, 'sock'), join(directory, 'clone')];
    await mkdir(join(directory, 'repos'));
    await makeBareRepository(join(directory, 'repos/large.git'), { large: randomBytes(BYTES) });
    const bridge = await startBridge(['git', '--repos', join(directory, 'repos'), '--listen', socket]);
    const nginx = await startWebServerWith(
      'nginx',
      // It keeps nothing for a client that is slow.
      nginxServer(
        `location / { include fastcgi_params; fastcgi_pass unix:${socket}; fastcgi_max_temp_file_size 0; }`,
      ),
    );
    const old = bridge.process.pid ?? 0;
    const client = spawn('git', ['clone', '-q', `${nginx.url}/large.git`, clone], {
      detached: true,
      stdio: 'inherit',
      env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' },
    });
    const group = -(client.pid ?? 0);
    const ended = once(client, 'exit');
    let successor = 0;
    try {
      await until(async () => (await received(clone)) > 0);
      process.kill(group, 'SIGSTOP');
      bridge.process.kill('SIGUSR2');
      successor = Number(/successor=(\d+)/.exec(await bridge.logged(/ info replaced: /))?.[1]);
      assert.ok(isRunning(old) && childrenOf(old).length > 1, 'the clone has not ended yet');
      process.kill(group, 'SIGCONT');
      assert.deepEqual(await ended, [0, null]);
      await vanished(old);
      const { status, stderr } = await tryGit(['fsck', '--full', '--strict'], clone);
      assert.deepEqual([status, stderr.replaceAll(/^(?:Checking|notice:).*$/gm, '').trim()], [0, '']);
      assert.equal((await stat(join(clone, 'large'))).size, BYTES);
      assert.match(await git(['ls-remote', `${nginx.url}/large.git`]), /refs\/heads\/main/);
    } finally {
      if (client.exitCode === null) process.kill(group, 'SIGKILL');
      await nginx.stop();
      if (successor === 0) await bridge.stop();
      else {
        process.kill(successor, 'SIGTERM');
        await vanished(successor);
      }
    }
  });
});
