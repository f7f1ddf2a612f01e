import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { ExitStatus } from '../../../src/cli/exit.js';
import { daemonOptions } from '../../../src/cli/options/command-options.js';
import { siteOptions } from '../../../src/cli/options/site-options.js';
import { runToEnd } from '../../helpers/command.js';
import { rcDirectory } from '../../helpers/rc.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const read = (name: string): string => readFileSync(join(rcDirectory, name), 'utf8');

/** The settings of a unit's section, by name. */
function settings(unit: string, section: string): Map<string, string> {
  const text = new RegExp(`^\\[${section}\\]\\n([^]*?)(?=^\\[|$(?![^]))`, 'm').exec(read(unit))?.[1] ?? '';
  return new Map(
    [...text.matchAll(/^([A-Za-z]+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
  );
}

/** What the settings of these names are. */
const some = (all: ReadonlyMap<string, string>, expected: object): object =>
  Object.fromEntries(Object.keys(expected).map((name) => [name, all.get(name)]));

const seconds = (option: { readonly default?: unknown }): number =>
  Number(/^(\d+)s$/.exec(String(option.default))?.[1]);

describe('fcgi2cgi.service', () => {
  const service = settings('fcgi2cgi.service', 'Service');

  it('has systemd end, watch and restart the daemon as that expects it', () => {
    const expected = {
      Type: 'notify',
      WatchdogSec: '60',
      ExecReload: '/bin/kill -HUP $MAINPID',
      Restart: 'on-failure',
      RestartPreventExitStatus: String(ExitStatus.USAGE),
      // What the daemon has started is its own to end: a push by the end of its input.
      KillMode: 'mixed',
      ExecStop: `-/bin/sh -c 'kill $$MAINPID && while kill -0 $$MAINPID 2>/dev/null; do sleep 0.1; done'`,
      // Else a stop would take the sockets of fcgi2cgi.socket with it.
      RuntimeDirectory: 'fcgi2cgi',
      RuntimeDirectoryPreserve: 'yes',
    };
    assert.deepEqual(some(service, expected), expected);
  });

  it('takes each of these rights away from what the daemon runs', () => {
    const expected = {
      User: 'www-data',
      ProtectSystem: 'full',
      ProtectHome: 'read-only',
      PrivateTmp: 'yes',
      NoNewPrivileges: 'yes',
      CapabilityBoundingSet: '',
      PrivateDevices: 'yes',
      ProtectClock: 'yes',
      ProtectControlGroups: 'yes',
      ProtectHostname: 'yes',
      ProtectKernelLogs: 'yes',
      ProtectKernelModules: 'yes',
      ProtectKernelTunables: 'yes',
      ProtectProc: 'invisible',
      LockPersonality: 'yes',
      RestrictAddressFamilies: 'AF_UNIX AF_INET AF_INET6',
      RestrictNamespaces: 'yes',
      RestrictRealtime: 'yes',
      SystemCallArchitectures: 'native',
      SystemCallFilter: '@system-service',
      SystemCallErrorNumber: 'EPERM',
    };
    assert.deepEqual(some(service, expected), expected);
  });

  it('is started where its file systems are there, and before web servers', () => {
    const unit = settings('fcgi2cgi.service', 'Unit');
    assert.equal(unit.get('After'), 'local-fs.target remote-fs.target');
    assert.equal(unit.get('Before'), 'lighttpd.service nginx.service apache2.service');
    assert.equal(settings('fcgi2cgi.service', 'Install').get('WantedBy'), 'multi-user.target');
  });
});

describe('fcgi2cgi.socket', () => {
  it('lets nobody connect but the web server, as --socket-mode does', () => {
    const expected = {
      SocketUser: 'www-data',
      SocketGroup: 'www-data',
      SocketMode: siteOptions.socket.mode.default,
      DirectoryMode: '0755',
    };
    const socket = settings('fcgi2cgi.socket', 'Socket');
    assert.deepEqual(some(socket, expected), expected);
    assert.equal(settings('fcgi2cgi.socket', 'Install').get('WantedBy'), 'sockets.target');
  });
});

describe('What stops the daemon', () => {
  const needed = seconds(daemonOptions.stopGraceMs) + seconds(siteOptions.killGraceMs);
  const found: Record<string, RegExp> = {
    'fcgi2cgi.service': /^TimeoutStopSec=(\d+)$/m,
    openbsd: /^daemon_timeout=(\d+)$/m,
    openrc: /--stop .*--pidfile "\$found" --retry TERM\/(\d+)\/KILL\/5$/m,
    sysv: /--stop --oknodo .*--exec "\$node" --retry TERM\/(\d+)\/KILL\/5$/m,
  };
  for (const [name, pattern] of Object.entries(found)) {
    it(`gives running requests all their time before it kills (${name})`, () => {
      const text = read(name);
      const time = Number(pattern.exec(text)?.[1]);
      assert.ok(time >= needed + 10 && time <= 2 * needed, `${String(time)} s for ${String(needed)} s`);
      assert.match(text, new RegExp(`${String(needed)}( seconds)?\\.$`, 'm'), 'the comment says so');
    });
  }
});

describe('The script of OpenRC', () => {
  const functions = ['check', 'find_daemon', 'stop', 'reload'].map(
    (name) => new RegExp(`^${name}\\(\\) \\{\\n[^]*?^\\}$`, 'm').exec(read('openrc'))?.[0] ?? '',
  );
  const own = String(process.pid);
  const self = userInfo().username;
  const stubs = `ebegin() { :; }
    eend() { echo "$1"; }
    kill() { [ "$1" = -0 ] || echo "kill $*"; }
    start-stop-daemon() { echo "stop $(cat "$7")"; }`;
  for (const [pid, user, isFound] of [
    [own, self, true],
    [own, self === 'nobody' ? 'daemon' : 'nobody', false],
    ['-1', self, false],
    ['', self, false],
    [`${own} -1`, self, false],
  ] as const) {
    const where = `${JSON.stringify(pid.replace(own, 'PID'))}, for ${user === self ? 'its' : 'another'} user`;
    it(`has ${isFound ? 'one process' : 'nobody'} stop or reload where the pid file says ${where}`, async () => {
      const directory = await temporaryDirectory();
      const pidfile = join(directory, 'pid');
      await writeFile(pidfile, `${pid}\n`);
      for (const [action, told] of [
        ['stop', `stop ${own}`],
        ['reload', `kill -HUP ${own}`],
      ] as const) {
        const script = `${stubs}\npidfile=$1 user=$2\n${functions.join('\n')}\n${action}`;
        const env = { ...process.env, TMPDIR: directory };
        const { stdout } = await runToEnd('bash', ['-c', script, 'bash', pidfile, user], { env });
        assert.equal(stdout, isFound ? `${told}\n0\n` : '1\n', action);
        assert.deepEqual(await readdir(directory), ['pid']);
      }
    });
  }
});

describe('The script of SysV', () => {
  it('takes no process for the daemon but by its pid file, its user and its program', () => {
    const calls =
      read('sysv')
        .replaceAll('\\\n', '')
        .match(/^.*start-stop-daemon --.*$/gm) ?? [];
    assert.equal(calls.length, 4);
    for (const call of calls) assert.match(call, /--pidfile "\$pid_file" --user "\$user" --exec "\$node"/);
  });
});

describe('The script of OpenBSD', () => {
  it('tells its daemon from all other processes by the pid file', () => {
    assert.match(read('openbsd'), /^pexp="\(\[\^ \]\*\/\)\?node \.\* --pid-file \$pid_file \.\*"$/m);
  });
});

describe('Every script', () => {
  for (const name of ['freebsd', 'netbsd', 'openbsd', 'openrc', 'sysv']) {
    it(`makes directories for the user who serves, and only those that are missing (${name})`, () => {
      const made = [...read(name).matchAll(/^.*\binstall -d .*$/gm)].map(([line]) => line);
      const expected =
        /^\s+\[ -d "\$(\w+)" \] \|\| install -d -o "\$((fcgi2cgi|daemon)_)?user" "\$\1" \|\| return$/;
      assert.match(made.join('\n'), expected);
    });
  }
});

describe('The script of a BSD', () => {
  for (const name of ['freebsd', 'netbsd', 'openbsd']) {
    it(`lets nobody but the user and his group read the log (${name})`, () => {
      assert.match(read(name), /\|\| install -o "\$(fcgi2cgi|daemon)_user" -m 640 \/dev\/null /);
    });
  }
});
