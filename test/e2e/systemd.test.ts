/** What systemd and the daemon tell each other: sockets that outlive the daemon, and how it is. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { ask } from '../helpers/ask.js';
import { type Bridge, commandLine, fixture, startCommand } from '../helpers/bridge.js';
import { runToEnd } from '../helpers/command.js';
import { receive } from '../helpers/notified.js';
import { until } from '../helpers/processes.js';
import { activated, startActivated } from '../helpers/socket-activation.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const script = fixture('cgi/prints-environment.sh');

let directory: string;
before(async () => {
  directory = await temporaryDirectory();
});

const started: Bridge[] = [];
after(async () => {
  for (const bridge of started) await bridge.stop();
});

async function start(command: readonly string[], socket: string): Promise<Bridge> {
  const bridge = await startActivated(command, socket);
  started.push(bridge);
  return bridge;
}

describe('--listen systemd', { timeout: 300_000 }, () => {
  it('serves on every socket that systemd has passed', async () => {
    const sockets = { web: join(directory, 'all-1'), other: join(directory, 'all-2') };
    const bridge = await start(
      activated(sockets, commandLine(['script', '--listen', 'systemd', script])),
      sockets.web,
    );
    for (const path of Object.values(sockets)) assert.match((await ask(path)).stdout, /^GATEWAY_INTERFACE=/m);
    assert.match(bridge.log(), / listen=\["systemd:web","systemd:other"\]/);
    assert.equal(await bridge.stop(), 0);
    assert.ok(existsSync(sockets.web), 'the socket is systemd’s');
  });

  it('gives each site of a file its own, by name, and says which nobody wants', async () => {
    const sockets = {
      hello: join(directory, 'named-1'),
      environment: join(directory, 'named-2'),
      unused: join(directory, 'named-3'),
    };
    const config = join(directory, 'sites.toml');
    await writeFile(
      config,
      `[site.one]\nkind = "script"\nfile = "${script}"\nlisten = "systemd:environment"\n` +
        `[site.two]\nkind = "script"\nfile = "${fixture('cgi/prints-query.sh')}"\nlisten = "systemd:hello"\n`,
    );
    const bridge = await start(activated(sockets, commandLine(['serve', '--config', config])), sockets.hello);
    const params = { QUERY_STRING: 'Status: 200\n\nsaid' };
    assert.equal((await ask(sockets.hello, params)).stdout, params.QUERY_STRING);
    assert.match((await ask(sockets.environment, params)).stdout, /^GATEWAY_INTERFACE=/m);
    assert.match(
      bridge.log(),
      / warn systemd's socket unused is listened on by nobody; say --listen systemd:unused/,
    );
  });

  it('keeps from programs what systemd has said to the daemon', async () => {
    const sockets = { web: join(directory, 'kept') };
    const said = ['NOTIFY_SOCKET=/nonexistent', 'WATCHDOG_USEC=1000000000'];
    const passed = ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES', 'NOTIFY_SOCKET', 'WATCHDOG_USEC'];
    const args = [
      'script',
      '--listen',
      'systemd:web',
      ...passed.flatMap((name) => ['--pass-env', name]),
      script,
    ];
    await start(activated(sockets, commandLine(args), said), sockets.web);
    assert.doesNotMatch((await ask(sockets.web)).stdout, /^(LISTEN_|NOTIFY_|WATCHDOG_)/m);
  });

  it('says which sockets there are where one is missing, or has been taken', async () => {
    const listen = (...addresses: readonly string[]): string[] => [
      ...commandLine(['script', ...addresses.flatMap((address) => ['--listen', address])]),
      script,
    ];
    const [file = '', ...args] = listen('systemd:web');
    const none = await runToEnd(file, args);
    assert.equal(none.status, 1);
    assert.match(
      none.stderr,
      /^fcgi2cgi: systemd:web: systemd has passed no socket to this process; a \.socket unit does/,
    );
    // As systemd would start it.
    const passing = 'exec 3<&0 4<&0; LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=a:b exec "$@"';
    for (const [addresses, why] of [
      [
        ['systemd:web'],
        /^fcgi2cgi: systemd:web: systemd has passed no socket of that name, but a, b; see FileDescriptorName=/,
      ],
      [['systemd:a', 'systemd'], /^fcgi2cgi: systemd: systemd's socket a has been named before/],
    ] as const) {
      const { status, stderr } = await runToEnd('sh', ['-c', passing, 'sh', ...listen(...addresses)]);
      assert.match(stderr, why);
      assert.equal(status, 1);
    }
  });
});

describe('sd_notify', { timeout: 300_000 }, () => {
  const serve = (
    name: string,
    env: Readonly<Record<string, string>>,
    options: readonly string[] = [],
  ): Promise<Bridge> =>
    startCommand(commandLine(['script', '--listen', join(directory, name), ...options, script]), {
      ...process.env,
      ...env,
    });

  for (const [kind, address] of [
    ['a path', (): string => join(directory, 'notify')],
    ['an abstract name', (): string => `@fcgi2cgi-test-${String(process.pid)}`],
  ] as const) {
    it(`tells systemd at ${kind} that the daemon is ready, reloads and stops`, async () => {
      const messages = await receive(address());
      const bridge = await serve(`to ${kind}`, { NOTIFY_SOCKET: address() });
      await until(() => messages.length === 1);
      assert.deepEqual(messages[0], { READY: '1', STATUS: 'serving; 0 requests run' });
      const before = process.hrtime.bigint() / 1_000n;
      bridge.process.kill('SIGHUP');
      await until(() => messages.length === 3);
      assert.equal(messages[1]?.['RELOADING'], '1');
      const at = BigInt(messages[1]['MONOTONIC_USEC'] ?? 0);
      assert.ok(at >= before && at <= process.hrtime.bigint() / 1_000n, 'the clock is CLOCK_MONOTONIC');
      assert.equal(messages[2]?.['READY'], '1');
      assert.equal(await bridge.stop(), 0);
      await until(() => messages.length === 4);
      assert.equal(messages[3]?.['STOPPING'], '1');
      assert.doesNotMatch(bridge.log(), / warn /);
    });
  }

  it('tells systemd that the daemon stops at the beginning of --drain-delay', async () => {
    const messages = await receive(join(directory, 'draining'));
    const env = { NOTIFY_SOCKET: join(directory, 'draining') };
    const bridge = await serve('slow-to-stop', env, ['--drain-delay', '10m']);
    bridge.process.kill('SIGTERM');
    await until(() => messages.some((message) => message['STOPPING'] === '1'));
    assert.match((await ask(join(directory, 'slow-to-stop'))).stdout, /^GATEWAY_INTERFACE=/m);
    assert.equal(await bridge.stop(), 0);
  });

  it('shows again and again that the daemon lives, where systemd watches it', async () => {
    const messages = await receive(join(directory, 'watchdog'));
    const env = { NOTIFY_SOCKET: join(directory, 'watchdog'), WATCHDOG_USEC: '200000' };
    started.push(await serve('watched', env));
    await until(() => messages.filter((message) => message['WATCHDOG'] === '1').length >= 3);
  });

  it('does not where another process is watched', async () => {
    const messages = await receive(join(directory, 'unwatched'));
    const env = { NOTIFY_SOCKET: join(directory, 'unwatched'), WATCHDOG_USEC: '20000', WATCHDOG_PID: '1' };
    const bridge = await serve('not-watched', env);
    await ask(join(directory, 'not-watched'));
    await bridge.stop();
    await until(() => messages.some((message) => message['STOPPING'] === '1'));
    assert.ok(!messages.some((message) => 'WATCHDOG' in message));
  });

  it('serves also where systemd can’t be told, and says so', async () => {
    const bridge = await serve('untold', { NOTIFY_SOCKET: join(directory, 'nobody') });
    started.push(bridge);
    await ask(join(directory, 'untold'));
    assert.match(
      bridge.log(),
      / warn systemd can't be told READY: sendto: no such file or directory \(ENOENT\)/,
    );
  });
});
