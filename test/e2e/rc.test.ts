/** The scripts of rc.d/: those that Debian can run really run, those of the BSDs below a stub of their rc.subr. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { appendFile, chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { dirname, join } from 'node:path';
import { before, describe, it } from 'node:test';

import { fixture, main, startBridge } from '../helpers/bridge.js';
import { type Ended, runToEnd, succeed } from '../helpers/command.js';
import {
  becoming,
  crash,
  type DaemonProcess,
  daemonProcesses,
  enclose,
  installCopy,
  makePlace,
  ordinaryUser,
  type Place,
  rcConf,
  rcDirectory,
  type Script,
  self,
  staysRoot,
  type System,
  systems,
  trace,
} from '../helpers/rc.js';
import { until } from '../helpers/processes.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const timeout = 300_000;

function assertStatus(ended: Ended, expected: number, who: string): void {
  assert.equal(ended.status, expected, `${who} printed:\n${ended.stdout}${ended.stderr}`);
}

async function theDaemon(place: Place): Promise<DaemonProcess> {
  const [daemon, ...others] = await daemonProcesses(place);
  assert.ok(daemon, 'a daemon should run');
  assert.deepEqual(others, [], 'one daemon should be all that runs');
  return daemon;
}

async function assertListening(path: string): Promise<void> {
  const connection = createConnection(path);
  await once(connection, 'connect');
  connection.destroy();
}

async function assertOwner(user: string, { pid }: DaemonProcess, paths: readonly string[]): Promise<void> {
  const uid = Number(await succeed('id', ['-u', user]));
  for (const path of [`/proc/${String(pid)}`, ...paths])
    assert.equal((await stat(path)).uid, uid, `${path} should be ${user}'s`);
}

/** The options among a daemon's arguments, in whatever order the script gives them; but who serves, the process shows. */
function optionsOf({ args }: DaemonProcess, command = 'hg'): string[] {
  assert.equal(args[args.indexOf(main) + 1], command);
  return args
    .slice(args.indexOf(main) + 2)
    .join('\n')
    .split(/\n(?=--)/)
    .filter((option) => !option.startsWith('--user\n'))
    .sort();
}

function usualOptions(place: Place): string[] {
  return [
    '--daemon',
    `--listen\nunix:${place.dirsocket}`,
    `--listen\nunix:${place.socket}`,
    `--log-file\n${place.logFile}`,
    `--markers\n${place.markers}`,
    `--pid-file\n${place.pidFile}`,
    `--repos\n${place.repos}`,
  ];
}

function lifeWith(system: System): void {
  describe('from start to stop', { concurrency: 1 }, () => {
    let place: Place;
    let script: Script;
    /** The daemon that the test before has left. */
    let daemon: DaemonProcess;
    before(async () => {
      place = await makePlace(system);
      script = await system.install(place, self);
    });

    it(
      'starts a daemon that listens on both sockets, with the paths as they were set',
      { timeout },
      async () => {
        assertStatus(await script(system.ask), system.notRunning, `${system.ask} before the start`);
        assertStatus(await script('start'), 0, 'start');
        await assertListening(place.socket);
        await assertListening(place.dirsocket);
        assertStatus(await script(system.ask), 0, `${system.ask} after the start`);
        daemon = await theDaemon(place);
        assert.deepEqual(optionsOf(daemon), usualOptions(place));
      },
    );

    it('leaves the running daemon alone when told to start again', { timeout }, async () => {
      assertStatus(await script('start'), system.startAgain, 'the second start');
      assert.equal((await theDaemon(place)).pid, daemon.pid);
    });

    it(
      'replaces the daemon when told to restart, and leaves directories as they are',
      { timeout },
      async () => {
        const directories = [place.pidFile, place.socket].map((file) => dirname(file));
        for (const directory of directories) await chmod(directory, 0o711);
        assertStatus(await script('restart'), 0, 'restart');
        for (const directory of directories)
          assert.equal((await stat(directory)).mode & 0o777, 0o711, directory);
        const { pid } = daemon;
        daemon = await theDaemon(place);
        assert.notEqual(daemon.pid, pid);
        await assertListening(place.socket);
      },
    );

    it(
      'restarts after kill -9 in spite of the pid file and the sockets that are left',
      { timeout },
      async () => {
        await crash(daemon);
        assert.ok(existsSync(place.pidFile) && existsSync(place.socket), 'this test is about what is left');
        assertStatus(await script('restart'), 0, 'restart');
        daemon = await theDaemon(place);
        await assertListening(place.socket);
        await assertListening(place.dirsocket);
        assertStatus(await script(system.ask), 0, system.ask);
      },
    );

    if (system !== systems.openbsd) {
      it('has a new process take its place when told to upgrade', { timeout }, async () => {
        const { ino } = await stat(place.socket);
        assertStatus(await script('upgrade'), 0, 'upgrade');
        await until(async () => (await daemonProcesses(place)).length === 1);
        const { pid } = daemon;
        daemon = await theDaemon(place);
        assert.notEqual(daemon.pid, pid);
        assert.equal((await stat(place.socket)).ino, ino);
        assertStatus(await script(system.ask), 0, system.ask);
      });
    }

    it('has stopped the daemon when stop returns, and nothing of it is left', { timeout }, async () => {
      assertStatus(await script('stop'), 0, 'stop');
      assert.deepEqual(await daemonProcesses(place), []);
      assert.deepEqual(await readdir(dirname(place.pidFile)), []);
      assert.deepEqual(await readdir(dirname(place.socket)), []);
      assertStatus(await script(system.ask), system.notRunning, `${system.ask} after the stop`);
    });
  });

  const served = system.switchesUser ? ', and makes directories and files for the user who serves' : '';

  it(`serves git repositories instead, when told so${served}`, { timeout }, async () => {
    const place = await makePlace(system);
    const user = system.switchesUser ? await ordinaryUser() : self;
    const script = await system.install(place, user, { site: 'git' });
    assertStatus(await script('start'), 0, 'start');
    await assertListening(place.socket);
    const daemon = await theDaemon(place);
    assert.deepEqual(optionsOf(daemon, 'git'), usualOptions(place));
    const made = [dirname(place.socket), dirname(place.pidFile), place.logFile];
    await assertOwner(user, daemon, made);
    assertStatus(await script('stop'), 0, 'stop');
  });

  it(
    `serves what a file says instead, also after reload, goes on when it has a fault, and makes nothing that only the others need${served}`,
    { timeout },
    async () => {
      const place = await makePlace(system);
      const user = system.switchesUser ? await ordinaryUser() : self;
      // Where only root can make it.
      const accessLog = join(place.directory, 'access.log');
      const config = join(place.directory, system.blanks ? 'the sites.toml' : 'the-sites.toml');
      const socket = (name: string): string => join(dirname(place.pidFile), name);
      const site = (name: string): string =>
        `[site.${name}]\nkind = "script"\nfile = "/bin/true"\nlisten = "unix:${socket(name)}"\n`;
      await writeFile(config, `access-log = "${accessLog}"\n${site('x')}`);
      await rm(place.repos, { recursive: true });
      const script = await system.install(place, user, { config });
      assertStatus(await script('start'), 0, 'start');
      await assertListening(socket('x'));
      const daemon = await theDaemon(place);
      assert.deepEqual(optionsOf(daemon, 'serve'), [
        `--config\n${config}`,
        '--daemon',
        `--log-file\n${place.logFile}`,
        `--pid-file\n${place.pidFile}`,
      ]);
      await assertOwner(user, daemon, [accessLog]);
      await writeFile(config, site('x') + site('y'));
      assertStatus(await script('reload'), 0, 'reload');
      await until(() => existsSync(socket('y')));
      await writeFile(config, 'nonsense');
      for (const action of ['reload', 'restart']) {
        const ended = await script(action);
        assert.notEqual(ended.status, 0, action);
        const said = ended.stdout + ended.stderr + (system === systems.openbsd ? await trace(place) : '');
        assert.match(said, /sites\.toml:1/, action);
      }
      assert.equal((await theDaemon(place)).pid, daemon.pid);
      assert.ok(!existsSync(dirname(place.socket)));
      assertStatus(await script('stop'), 0, 'stop');
      for (const name of ['x', 'y']) assert.ok(!existsSync(socket(name)));
    },
  );

  it('fails to start without repositories, and says why', { timeout }, async () => {
    const place = await makePlace(system);
    const script = await system.install(place, self);
    await rm(place.repos, { recursive: true });
    const ended = await script('start');
    assert.notEqual(ended.status, 0);
    const said = ended.stdout + ended.stderr + (system === systems.openbsd ? await trace(place) : '');
    assert.match(said, /the.repositories.*(no such directory|not a directory)/);
    assert.deepEqual(await daemonProcesses(place), []);
    assertStatus(await script(system.ask), system.notRunning, `${system.ask} after the failure`);
  });
}

/**
 * The user that a script goes to, once nothing has to be made for him, who may not exist here, with these settings and
 * this option of the administrator's.
 */
async function userWith(system: System, settings: (place: Place) => string): Promise<string> {
  const place = await makePlace(system);
  const script = await system.install(place, 'www');
  await appendFile(rcConf(place), settings(place));
  await mkdir(dirname(place.socket));
  await mkdir(dirname(place.pidFile));
  await writeFile(place.logFile, '');
  assertStatus(await script('start'), 0, 'start');
  const expected = usualOptions(place).filter((option) => !/^--markers|dirsock$/.test(option));
  assert.deepEqual(optionsOf(await theDaemon(place)), [...expected, '--max-queue\n7'].sort());
  assertStatus(await script(system.ask), 0, system.ask);
  assertStatus(await script('stop'), 0, 'stop');
  return trace(place);
}

describe('rc.d', { concurrency: 3 }, () => {
  describe('sysv', () => {
    lifeWith(systems.sysv);

    it(
      'serves an ordinary user who has set no other, and all repositories where markers are empty',
      { timeout },
      async () => {
        const user = await ordinaryUser();
        const place = await makePlace(systems.sysv);
        await systems.sysv.install(place, '');
        await appendFile(join(place.directory, 'defaults'), 'markers= dirsocket= options="--max-queue 7"\n');
        await succeed('chown', [user, place.directory]);
        const script = (action: string): Promise<Ended> =>
          runToEnd('setpriv', [
            ...becoming(user),
            ...['env', '-i', 'PATH=/usr/bin:/bin', `FCGI2CGI_DEFAULTS=${join(place.directory, 'defaults')}`],
            ...[join(rcDirectory, 'sysv'), action],
          ]);
        for (const action of ['start', 'status', 'restart']) assertStatus(await script(action), 0, action);
        const daemon = await theDaemon(place);
        await assertOwner(user, daemon, []);
        const expected = usualOptions(place).filter((option) => !/^--markers|dirsock$/.test(option));
        assert.deepEqual(optionsOf(daemon), [...expected, '--max-queue\n7'].sort());
        assertStatus(await script('stop'), 0, 'stop');
      },
    );

    it('tells a daemon that crashed from one that was stopped, and stops neither', { timeout }, async () => {
      const place = await makePlace(systems.sysv);
      const script = await systems.sysv.install(place, self);
      assertStatus(await script('start'), 0, 'start');
      await crash(await theDaemon(place));
      assertStatus(await script('status'), 1, 'status after the crash');
      assertStatus(await script('stop'), 0, 'stop after the crash');
      await rm(place.pidFile);
      assertStatus(await script('status'), 3, 'status without a pid file');
      assertStatus(await script('stop'), 0, 'stop of nothing');
    });

    it('refuses an action it does not know with a list of those it does', async () => {
      const ended = await runToEnd(join(rcDirectory, 'sysv'), ['dance']);
      assert.equal(ended.status, 2);
      assert.match(ended.stderr, /\{start\|stop\|restart\|reload\|force-reload\|upgrade\|status\}/);
    });
  });

  describe('openrc', () => {
    lifeWith(systems.openrc);

    it(
      'signals no process of another user, whatever the user writes to the pid file',
      { timeout },
      async () => {
        const user = await ordinaryUser();
        if (user === self) return;
        const place = await makePlace(systems.openrc);
        const script = await systems.openrc.install(place, user);
        assertStatus(await script('start'), 0, 'start');
        const pid = await readFile(place.pidFile, 'utf8');
        const victim = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)']);
        const ended = once(victim, 'exit');
        try {
          await writeFile(place.pidFile, `${String(victim.pid)}\n`);
          for (const action of ['reload', 'stop']) assert.notEqual((await script(action)).status, 0, action);
          assert.equal(victim.signalCode, null);
        } finally {
          victim.kill('SIGKILL');
          await writeFile(place.pidFile, pid);
        }
        assert.deepEqual(await ended, [null, 'SIGKILL']);
        assertStatus(await script('stop'), 0, 'stop');
      },
    );
  });

  describe('openbsd', () => {
    lifeWith(systems.openbsd);

    it(
      'goes to its user through su, and takes the options that rcctl(8) has set in place of its own',
      { timeout },
      async () => {
        const flags = ({ repos, socket }: Place): string =>
          `fcgi2cgi_flags=--repos '${repos}' --listen 'unix:${socket}' --max-queue 7 ${staysRoot}\n`;
        assert.equal(await userWith(systems.openbsd, flags), 'su www\n');
      },
    );
  });

  for (const system of [systems.freebsd, systems.netbsd]) {
    describe(system.name, () => {
      lifeWith(system);

      it(
        'goes to its user through su, to start and to stop, and adds the flags of rc.conf',
        { timeout },
        async () => {
          const settings = `fcgi2cgi_markers= fcgi2cgi_dirsocket= fcgi2cgi_flags='--max-queue 7 ${staysRoot}'\n`;
          assert.equal(await userWith(system, () => settings), 'su www\nsu www\n');
        },
      );

      it('starts nothing unless it was enabled', { timeout }, async () => {
        const place = await makePlace(system);
        const script = await system.install(place, self);
        await writeFile(rcConf(place), '');
        const ended = await script('start');
        assert.match(ended.stderr, /not enabled/);
        assert.deepEqual(await daemonProcesses(place), []);
      });
    });
  }

  describe('fcgi2cgi.service', () => {
    it('is a unit that systemd has nothing to say against', { timeout }, async () => {
      const directory = await temporaryDirectory();
      const unit = join(directory, 'etc', 'systemd', 'system', 'fcgi2cgi.service');
      const run = join(directory, 'run');
      await mkdir(run);
      const changes = { '^ExecStart=/usr/local/bin/fcgi2cgi': `ExecStart=${main}` };
      await installCopy('fcgi2cgi.service', unit, changes);
      // It leaves a file in /run.
      const runInside = await enclose(run, join(directory, 'etc'));
      const verify = ['systemd-analyze', 'verify', '--man=no', 'fcgi2cgi.service'];
      assert.deepEqual(await runInside(verify), { status: 0, stdout: '', stderr: '' });
    });

    it('leaves a service little to do harm with', { timeout }, async () => {
      const unit = join(rcDirectory, 'fcgi2cgi.service');
      const security = ['security', '--offline=true', '--threshold=30', '--no-pager', unit];
      const { status, stdout } = await runToEnd('systemd-analyze', security);
      assert.equal(status, 0, stdout);
    });

    it('lets pushes, hooks and fork servers do what they do', { timeout }, async () => {
      const unit = await readFile(join(rcDirectory, 'fcgi2cgi.service'), 'utf8');
      // Of systemd.exec(5): what V8, shared repositories, and hg's and git's look at owners would not survive.
      for (const setting of ['MemoryDenyWriteExecute', 'RestrictSUIDSGID', 'PrivateUsers', 'ReadOnlyPaths']) {
        assert.doesNotMatch(unit, new RegExp(`^${setting}=`, 'm'));
      }
      assert.match(unit, /^ProtectSystem=full$/m, '/srv and /var stay writable');
    });

    it('may be given its sockets by fcgi2cgi.socket, by the lines in its comment', { timeout }, async () => {
      const directory = await temporaryDirectory();
      const systemd = join(directory, 'etc', 'systemd', 'system');
      const run = join(directory, 'run');
      await mkdir(run);
      for (const name of ['fcgi2cgi.service', 'fcgi2cgi.socket'])
        await installCopy(name, join(systemd, name), {});
      const unit = await readFile(join(systemd, 'fcgi2cgi.socket'), 'utf8');
      const [dropIn] = /(?<=\n)# \[Service\]\n(# \w.*\n)+/.exec(unit) ?? [''];
      const lines = dropIn.replaceAll(/^# /gm, '').replace('/usr/local/bin/fcgi2cgi', main);
      assert.match(lines, /^ExecStart=\S+ hg .* --listen systemd /m);
      await mkdir(join(systemd, 'fcgi2cgi.service.d'));
      await writeFile(join(systemd, 'fcgi2cgi.service.d', 'override.conf'), lines);
      const runInside = await enclose(run, join(directory, 'etc'));
      const verify = ['systemd-analyze', 'verify', '--man=no', 'fcgi2cgi.socket', 'fcgi2cgi.service'];
      assert.deepEqual(await runInside(verify), { status: 0, stdout: '', stderr: '' });
    });

    it('may be told to serve what a file says, by the lines in its comment', { timeout }, async () => {
      const directory = await temporaryDirectory();
      const systemd = join(directory, 'etc', 'systemd', 'system');
      const run = join(directory, 'run');
      await mkdir(run);
      await installCopy('fcgi2cgi.service', join(systemd, 'fcgi2cgi.service'), {});
      const unit = await readFile(join(systemd, 'fcgi2cgi.service'), 'utf8');
      const [dropIn] = /(?<=\n)# \[Service\]\n(# .*\n)+/.exec(unit) ?? [''];
      await mkdir(join(systemd, 'fcgi2cgi.service.d'));
      const lines = dropIn.replaceAll(/^# /gm, '').replaceAll('/usr/local/bin/fcgi2cgi', main);
      assert.match(lines, /^ExecStart=\S+ serve --config \/etc\/fcgi2cgi\.toml$/m);
      await writeFile(join(systemd, 'fcgi2cgi.service.d', 'override.conf'), lines);
      // The command of the unit itself is not there, and that no longer matters.
      const runInside = await enclose(run, join(directory, 'etc'));
      const verify = ['systemd-analyze', 'verify', '--man=no', 'fcgi2cgi.service'];
      assert.deepEqual(await runInside(verify), { status: 0, stdout: '', stderr: '' });
    });

    it('has a command that serves in the foreground and ends with 0 at SIGTERM', { timeout }, async () => {
      const place = await makePlace({ blanks: true });
      await mkdir(dirname(place.socket));
      const unit = await readFile(join(rcDirectory, 'fcgi2cgi.service'), 'utf8');
      const [, command = ''] = /^ExecStart=\S+ (.*)$/m.exec(unit) ?? [];
      const variables: Readonly<Record<string, string>> = { ...place };
      // As systemd does it: a word is a word whatever its variables hold, but one without braces is divided.
      const args = command.split(' ').flatMap((word) => {
        if (word === '$options') return ['--max-queue', '7'];
        return [
          word.replace(/\$\{(\w+)\}/g, (_, name: string) => {
            assert.match(unit, new RegExp(`^Environment=(.* )?${name}=`, 'm'));
            return variables[name] ?? '';
          }),
        ];
      });
      const bridge = await startBridge(args);
      await assertListening(place.socket);
      await assertListening(place.dirsocket);
      assert.equal(await bridge.stop(), 0);
    });
  });

  describe('shellcheck', () => {
    it('has nothing to say against any script', { timeout }, async () => {
      const scripts = (await readdir(rcDirectory)).filter((name) => !/\.(service|socket)$/.test(name));
      const stubs = await readdir(fixture('rc-subr'));
      const files = [
        ...scripts.map((name) => join(rcDirectory, name)),
        ...stubs.map((name) => fixture(`rc-subr/${name}`)),
      ];
      assert.deepEqual(await runToEnd('shellcheck', ['--shell=sh', ...files]), {
        status: 0,
        stdout: '',
        stderr: '',
      });
    });
  });
});
