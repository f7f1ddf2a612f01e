/** A new process takes the place of a daemon that root has started and that serves as somebody else. */

import assert from 'node:assert/strict';
import { chmod, chown, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { ask } from '../helpers/ask.js';
import { processesWith, until, vanished } from '../helpers/processes.js';
import { Upgradable } from '../helpers/upgrade.js';

const checkout = fileURLToPath(new URL('../../..', import.meta.url));

const NOBODY = 65_534;

let daemon: Upgradable;
let directory: string;
let socket: string;

beforeEach(async () => {
  daemon = await Upgradable.make();
  ({ directory, socket } = daemon);
  await chmod(directory, 0o755);
  for (const name of ['program', 'bin']) await mkdir(`${directory}/${name}`);
  await symlink(`${directory}/program/dist/bin/bundled/fcgi2cgi.js`, `${directory}/bin/fcgi2cgi`);
});

afterEach(() => daemon.destroy());

/** Starts it from where everybody may read it, as an installation is, wherever this checkout lies; `from` this directory. */
async function start(args: readonly string[], from = '/'): Promise<void> {
  const place = `${directory}/program`;
  const bound = 'mount --no-mtab --bind "$0" "$1" && cd "$2" && shift 2 && exec "$@"';
  const through = ['unshare', '--mount', 'sh', '-c', bound, checkout, place, from];
  await daemon.start(args, `${directory}/bin/fcgi2cgi`, through);
}

/** As the daemon sees it. */
const script = (): string => `${directory}/program/test/fixtures/cgi/prints-query.sh`;

const uidOf = async (pid: number): Promise<string | undefined> =>
  /^Uid:\t(\d+)\t/m.exec(await readFile(`/proc/${String(pid)}/status`, 'utf8'))?.[1];

describe(
  'An upgrade after root has become somebody else',
  {
    skip: process.getuid?.() !== 0 && 'needs root',
    timeout: 300_000,
  },
  () => {
    it('is done as that user, with a pid file that only root could make, started where only root may be', async () => {
      const from = `${directory}/roots`;
      await mkdir(from, { mode: 0o700 });
      await start(['script', '--user', 'nobody', '--listen', socket, script()], from);
      for (let upgrades = 0; upgrades < 2; upgrades++) {
        await vanished(await daemon.upgraded());
        assert.equal(await uidOf(await daemon.pid()), '65534');
        assert.equal((await ask(socket, { QUERY_STRING: 'A: b\n\nnew' })).stdout, 'A: b\n\nnew');
      }
      assert.equal((await stat(daemon.pidFile)).uid, 0);
      const last = await daemon.pid();
      process.kill(last, 'SIGTERM');
      await vanished(last);
      assert.equal(await readFile(daemon.pidFile, 'utf8'), '');
    });

    it('is asked for as the user where the user could write another number to the pid file', async () => {
      await chown(directory, NOBODY, NOBODY);
      await start(['script', '--user', 'nobody', '--listen', socket, script()]);
      assert.equal((await stat(daemon.pidFile)).uid, NOBODY);
      await daemon.upgraded();
      const pid = await readFile(daemon.pidFile);
      // One that is root's, as if the user had chosen it.
      const other = await Upgradable.make();
      await other.start(['script', '--listen', other.socket, '/bin/true']);
      try {
        await writeFile(daemon.pidFile, await readFile(other.pidFile));
        const refused = await daemon.upgrade();
        assert.match(refused.stderr, /^fcgi2cgi: process \d+ can't be told: .*EPERM/);
        assert.equal(refused.status, 1);
      } finally {
        await writeFile(daemon.pidFile, pid);
        await other.destroy();
      }
    });

    it('says what only root could do, and leaves the old one serving', async () => {
      const file = `${directory}/sites.toml`;
      const settings = `kind = "script"\nfile = "${script()}"\n`;
      const good = `[site.a]\n${settings}listen = "unix:sock"\n`;
      await writeFile(file, good, { mode: 0o644 });
      await start(['serve', '--config', file, '--user', 'nobody']);
      const pid = await daemon.pid();
      const fails = async (reason: RegExp): Promise<void> => {
        const { status, stdout, stderr } = await daemon.upgrade();
        assert.deepEqual([status, stdout], [1, '']);
        assert.match(stderr, reason);
        assert.equal(await daemon.pid(), pid);
        assert.equal((await ask(socket, { QUERY_STRING: 'A: b\n\nold' })).stdout, 'A: b\n\nold');
        assert.deepEqual(processesWith(`${directory}/`), [pid]);
      };
      await writeFile(file, `${good}[site.b]\n${settings}listen = "unix:other"\n`);
      await fails(/^fcgi2cgi: .*other: can't listen: .*EACCES/m);
      await writeFile(file, good);
      await chmod(file, 0o600);
      await fails(/^fcgi2cgi: --config \S+sites\.toml: .*EACCES/m);
      await chmod(file, 0o644);
      await chmod(daemon.log, 0o600);
      await chmod(directory, 0o700);
      process.kill(pid, 'SIGUSR2');
      const log = (): Promise<string> => readFile(daemon.log, 'utf8');
      await until(async () => /--log-file \S+ can't be opened: EACCES/.test(await log()));
      await chmod(directory, 0o755);
      await daemon.upgraded();
    });
  },
);
