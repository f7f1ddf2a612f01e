import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';

import { defaultConfiguration, readConfiguration } from '../../src/cli/configuration.js';
import { daemonOptions } from '../../src/cli/options/command-options.js';
import { rowsOf } from '../../src/cli/options/option.js';
import { siteOptions } from '../../src/cli/options/site-options.js';
import type { Configuration, ServedSiteConfiguration } from '../../src/daemon/configuration.js';

type GivenValues = Readonly<Record<string, string | boolean | readonly string[]>>;

const read = (given: GivenValues = {}): Configuration =>
  readConfiguration({ kind: 'dir', roots: ['/srv'] }, new Map(Object.entries(given)));

/** The one site of a command that serves one. */
function readSite(given: GivenValues = {}): ServedSiteConfiguration {
  const { sites } = read(given);
  assert.equal(sites.length, 1);
  return sites[0] ?? assert.fail();
}

afterEach(() => {
  delete process.env['FCGI_WEB_SERVER_ADDRS'];
});

describe('The configuration', () => {
  it('has a limit for everything where nothing is said, and sockets for owner and group alone', () => {
    assert.deepEqual(read(), {
      sites: [
        {
          name: undefined,
          site: { kind: 'dir', roots: ['/srv'] },
          statusPath: undefined,
          healthPath: undefined,
          listen: [],
          socket: { mode: 0o660, owner: undefined, group: undefined },
          backlog: 4_096,
          allowFrom: [],
          maxConnections: 3_232,
          maxRequestsPerConnection: 64,
          maxParamsBytes: 262_144,
          maxParamsTotalBytes: 33_554_432,
          stdinBufferBytes: 65_536,
          maxSpoolBytes: 1_073_741_824,
          maxSpoolTotalBytes: 4_294_967_296,
          runner: { kind: 'spawn', maxForkServers: 16, idleTimeoutMs: 600_000 },
          startTimeoutMs: 300_000,
          idleTimeoutMs: 300_000,
          maxTimeMs: 0,
          killGraceMs: 5000,
          maxHeaderBytes: 65_536,
          stderrTailBytes: 4096,
          holdDuringUploadBytes: 1_048_576,
          holdUntilExitBytes: 0,
          limits: { memoryBytes: undefined, cpuSeconds: undefined, niceness: 5 },
          spawnMethod: 'auto',
          maxProcesses: 32,
          maxQueue: 3_072,
          queueTimeoutMs: 30_000,
          lookUpTimeoutMs: 30_000,
          env: new Map(),
          passEnv: [],
        },
      ],
      maxProcessesTotal: undefined,
      drainDelayMs: 0,
      stopGraceMs: 30_000,
      upgradeTimeoutMs: 60_000,
      user: undefined,
      group: undefined,
      chdir: undefined,
      umask: undefined,
      control: undefined,
      pidFile: undefined,
      background: false,
      log: { level: 'info', format: 'text', file: undefined },
      accessLog: undefined,
    } satisfies Configuration);
  });

  it('says what the options say, each in its place', () => {
    const given = {
      listen: ['unix:/a', '127.0.0.1:1', 'fd:3'],
      'max-memory': '100mb',
      'max-cpu': '1500ms',
      nice: '6',
      'socket-mode': '600',
      'socket-owner': 'root',
      'socket-group': 'daemon',
      backlog: '32',
      'allow-from': ['192.0.2.0/24'],
      'max-connections': '1',
      'max-requests-per-connection': '2',
      'max-params-size': '3b',
      'max-params-total': '30b',
      'stdin-buffer': '4b',
      'start-timeout': '5ms',
      'idle-timeout': '6ms',
      'max-time': '7ms',
      'kill-grace': '8ms',
      'max-header-size': '9b',
      'hold-during-upload': '10b',
      'hold-until-exit': '18b',
      runner: 'warm',
      'max-fork-servers': '14',
      'fork-server-idle': '15ms',
      'max-spool-size': '13b',
      'max-spool-total': '31b',
      'max-processes': '11',
      'max-queue': '0',
      'queue-timeout': '12ms',
      'look-up-timeout': '19ms',
      'max-processes-total': '33',
      'drain-delay': '16ms',
      'stop-grace': '0',
      'upgrade-timeout': '17ms',
      'spawn-method': 'node',
      'pass-env': ['LANG'],
      'status-path': '/statusé',
      'health-path': '/health',
      control: '/run/control',
      chdir: '/var/empty',
      umask: '27',
      'pid-file': '/run/x.pid',
      daemon: true,
      'log-level': 'debug',
      'log-format': 'json',
      'log-file': '/var/log/x',
      'access-log': '/var/log/y',
    };
    const configuration = read(given);
    assert.deepEqual(configuration, {
      sites: [
        {
          name: undefined,
          site: { kind: 'dir', roots: ['/srv'] },
          statusPath: '/status\xc3\xa9',
          healthPath: '/health',
          listen: [
            { kind: 'unix', path: '/a' },
            { kind: 'tcp', host: '127.0.0.1', port: 1 },
            { kind: 'fd', fd: 3 },
          ],
          socket: { mode: 0o600, owner: 'root', group: 'daemon' },
          backlog: 32,
          allowFrom: ['192.0.2.0/24'],
          maxConnections: 1,
          maxRequestsPerConnection: 2,
          maxParamsBytes: 3,
          maxParamsTotalBytes: 30,
          stdinBufferBytes: 4,
          maxSpoolBytes: 13,
          maxSpoolTotalBytes: 31,
          runner: { kind: 'warm', maxForkServers: 14, idleTimeoutMs: 15 },
          startTimeoutMs: 5,
          idleTimeoutMs: 6,
          maxTimeMs: 7,
          killGraceMs: 8,
          maxHeaderBytes: 9,
          stderrTailBytes: 4096,
          holdDuringUploadBytes: 10,
          holdUntilExitBytes: 18,
          limits: { memoryBytes: 104_857_600, cpuSeconds: 2, niceness: 6 },
          spawnMethod: 'node',
          maxProcesses: 11,
          maxQueue: 0,
          queueTimeoutMs: 12,
          lookUpTimeoutMs: 19,
          env: new Map(),
          passEnv: ['LANG'],
        },
      ],
      maxProcessesTotal: 33,
      drainDelayMs: 16,
      stopGraceMs: 0,
      upgradeTimeoutMs: 17,
      user: undefined,
      group: undefined,
      chdir: '/var/empty',
      umask: 0o027,
      control: {
        address: { kind: 'unix', path: '/run/control' },
        socket: { mode: 0o600, owner: undefined, group: undefined },
      },
      pidFile: '/run/x.pid',
      background: true,
      log: { level: 'debug', format: 'json', file: '/var/log/x' },
      accessLog: '/var/log/y',
    } satisfies Configuration);
    assert.ok(Object.isFrozen(configuration));
  });

  it('has 128 connections more than requests that may run or wait, unless it is told', () => {
    assert.equal(readSite({ 'max-processes': '3', 'max-queue': '20' }).maxConnections, 151);
    assert.equal(readSite({ 'max-processes': '3', 'max-connections': '5' }).maxConnections, 5);
  });

  it('is of use to a program that says what it serves, and what is to be otherwise', () => {
    const site = { kind: 'script', file: '/srv/report.cgi', args: [] } as const;
    const listen = [{ kind: 'unix', path: '/run/report' }] as const;
    const configuration = defaultConfiguration([{ site, listen, maxProcesses: 2 }], { stopGraceMs: 100 });
    const [usual] = read().sites;
    assert.deepEqual(configuration, {
      ...read(),
      sites: [{ ...usual, site, listen, maxProcesses: 2, maxConnections: 2 + 3_072 + 128 }],
      stopGraceMs: 100,
    });
  });

  it('has absolute paths, since the daemon leaves its directory', () => {
    const { pidFile, log, accessLog, sites } = read({
      'pid-file': 'pid',
      'log-file': 'log',
      'access-log': 'access',
      listen: ['unix:sock'],
    });
    assert.equal(pidFile, `${process.cwd()}/pid`);
    assert.equal(log.file, `${process.cwd()}/log`);
    assert.equal(accessLog, `${process.cwd()}/access`);
    assert.deepEqual(sites[0]?.listen, [{ kind: 'unix', path: `${process.cwd()}/sock` }]);
  });

  it('has variables with any value, octet by octet; the last of a name counts', () => {
    const { env } = readSite({ env: ['A=', 'B=x=y z', 'NÄME=é', 'A=2', 'LD_PRELOAD=/ours'] });
    assert.deepEqual(
      [...env],
      [
        ['A', '2'],
        ['B', 'x=y z'],
        ['N\xc3\x84ME', '\xc3\xa9'],
        ['LD_PRELOAD', '/ours'],
      ],
    );
  });

  it('allows the hosts of FCGI_WEB_SERVER_ADDRS besides those of --allow-from', () => {
    process.env['FCGI_WEB_SERVER_ADDRS'] = '192.0.2.1, 192.0.2.2,,';
    assert.deepEqual(readSite({ 'allow-from': ['::1'] }).allowFrom, ['::1', '192.0.2.1', '192.0.2.2']);
    process.env['FCGI_WEB_SERVER_ADDRS'] = ' ';
    assert.deepEqual(readSite().allowFrom, []);
  });
});

describe('A wrong value', () => {
  const wrong: readonly (readonly [option: string, value: string, expected: RegExp])[] = [
    ['socket-mode', '999', /permissions in octal/],
    ['backlog', '0', /a whole number, 1 or more/],
    ['max-connections', '0', /a whole number, 1 or more/],
    ['max-requests-per-connection', '0', /a whole number, 1 or more/],
    ['max-params-size', '64', /a size with its unit/],
    ['max-params-total', '64', /a size with its unit/],
    ['max-header-size', 'big', /a size with its unit/],
    ['stdin-buffer', '0b', /a size of 1b or more/],
    ['hold-during-upload', '-1kb', /a size with its unit/],
    ['hold-until-exit', '0', /a size with its unit/],
    ['max-spool-size', '1', /a size with its unit/],
    ['max-spool-total', '1', /a size with its unit/],
    ['max-fork-servers', '0', /a whole number, 1 or more/],
    ['fork-server-idle', '1', /a duration with its unit/],
    ['max-processes', '0', /a whole number, 1 or more/],
    ['max-memory', '1', /a size with its unit/],
    ['max-cpu', '1', /a duration with its unit/],
    ['nice', '20', /a whole number, 0 to 19/],
    ['max-processes-total', '0', /a whole number, 1 or more/],
    ['max-queue', '-1', /a whole number, 0 or more/],
    ['queue-timeout', '30', /a duration with its unit/],
    ['look-up-timeout', '30', /a duration with its unit/],
    ['start-timeout', '1', /a duration with its unit/],
    ['idle-timeout', 'long', /a duration with its unit/],
    ['max-time', '99d', /a duration with its unit/],
    ['kill-grace', '5', /a duration with its unit/],
    ['drain-delay', '5', /a duration with its unit/],
    ['upgrade-timeout', '60', /a duration with its unit/],
    ['stop-grace', '', /a duration with its unit/],
    ['status-path', 'status', /a path that begins with a slash/],
    ['health-path', '/health?x', /a path .* without a query/],
    ['control', '127.0.0.1:9000', /only a Unix socket can be kept from others/],
    ['control', 'control', /expected unix:\/path/],
    ['umask', '0o27', /in octal from 000 to 077/],
    ['user', 'no-such-user', /the system knows no such user/],
    ['group', 'no-such-group', /the system knows no such group/],
  ];
  const wrongEntries: typeof wrong = [
    ['listen', 'nowhere', /expected unix:\/path/],
    ['allow-from', 'example.org', /expected an IP address/],
    ['env', 'NAME', /expected NAME=VALUE/],
    ['env', '=x', /expected NAME=VALUE/],
  ];
  const cases = [
    ...wrong.map(([option, value, expected]) => ({ option, value, given: value, expected })),
    ...wrongEntries.map(([option, value, expected]) => ({ option, value, given: [value], expected })),
  ];

  for (const { option, value, given, expected } of cases) {
    it(`of --${option} is refused by name, with what was found (${JSON.stringify(value)}) and what was expected`, () => {
      assert.throws(
        () => read({ [option]: given }),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, 'ERR_USAGE');
          assert.ok(error.message.startsWith(`--${option} ${value}: `), error.message);
          assert.match(error.message, expected);
          return true;
        },
      );
    });
  }

  it('is tried for every option that is read from text', () => {
    const free = [
      'socket-owner',
      'socket-group',
      'pass-env',
      'chdir',
      'pid-file',
      'log-file',
      'log-level',
      'log-format',
      'access-log',
      'spawn-method',
      'daemon',
      'runner',
    ];
    const tried = new Set([...cases.map(({ option }) => option), ...free]);
    assert.deepEqual(
      rowsOf({ siteOptions, daemonOptions })
        .map(({ name }) => name)
        .filter((name) => !tried.has(name)),
      [],
    );
  });

  it('is one path for two pages', () => {
    assert.throws(() => read({ 'status-path': '/s', 'health-path': '/s' }), {
      code: 'ERR_USAGE',
      message: '--health-path /s: is --status-path as well; expected a path of its own',
    });
  });

  it('is --daemon without a log file, and the error has an example', () => {
    assert.throws(() => read({ daemon: true }), {
      code: 'ERR_USAGE',
      message: /^--daemon needs a file for its log.*: add for example --log-file \/var\/log\/fcgi2cgi\.log$/,
    });
  });
});
