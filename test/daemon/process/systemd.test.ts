import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';

import type { Configuration } from '../../../src/daemon/configuration.js';
import { Notifier, takeEnvironment, withPassedSockets } from '../../../src/daemon/process/systemd.js';
import type { Log } from '../../../src/observe/log.js';

describe('A daemon that systemd watches', () => {
  it('shows that it lives at half of the time that systemd waits, and no more once it ends', () => {
    const timer = { unref: () => timer };
    const set = mock.method(globalThis, 'setInterval', () => timer);
    const clear = mock.method(globalThis, 'clearInterval', () => undefined);
    try {
      const environment = { sockets: [], notifySocket: undefined, watchdogMs: 60_000 };
      const notifier = new Notifier(environment, { status: () => '', onProblem: () => assert.fail() });
      notifier.ready();
      notifier.ready();
      assert.deepEqual(
        set.mock.calls.map(({ arguments: [, ms] }: { arguments: unknown[] }) => ms),
        [30_000],
      );
      notifier.stopping();
      assert.deepEqual(clear.mock.calls[0]?.arguments, [timer]);
      notifier.replacedBy(1);
      assert.deepEqual(clear.mock.calls[1]?.arguments, [timer]);
    } finally {
      set.mock.restore();
      clear.mock.restore();
    }
  });
});

describe('What systemd says in the environment', () => {
  it('is for this process alone, and for no program that it starts', () => {
    const pid = String(process.pid);
    const said = { LISTEN_PID: pid, LISTEN_FDS: '2', LISTEN_FDNAMES: 'a', NOTIFY_SOCKET: '/n' };
    Object.assign(process.env, said, { WATCHDOG_PID: pid, WATCHDOG_USEC: '2000000' });
    assert.deepEqual(takeEnvironment(), {
      sockets: [
        { descriptor: 3, name: 'a' },
        { descriptor: 4, name: 'unknown' },
      ],
      notifySocket: '/n',
      watchdogMs: 2_000,
    });
    assert.deepEqual(
      Object.keys(process.env).filter((name) => /^(LISTEN|NOTIFY|WATCHDOG)_/.test(name)),
      [],
    );
    Object.assign(process.env, said, { LISTEN_PID: '1', WATCHDOG_PID: '1', WATCHDOG_USEC: '2000000' });
    assert.deepEqual(takeEnvironment(), { sockets: [], notifySocket: '/n', watchdogMs: undefined });
  });
});

describe('A socket that systemd has passed', () => {
  const warned: string[] = [];
  const log = { warn: (_: unknown, message: string) => warned.push(message) } as unknown as Log;
  const sockets = [{ descriptor: 3, name: 'a' }];
  const listening = (...names: readonly (string | undefined)[]): Configuration =>
    withPassedSockets(
      { sites: names.map((name) => ({ listen: [{ kind: 'systemd', name }] })) } as unknown as Configuration,
      sockets,
      log,
    );

  it('is listened on by one site, and by none is told', () => {
    assert.deepEqual(listening('a').sites[0]?.listen, [{ kind: 'fd', fd: 3, passedAs: 'a' }]);
    assert.throws(() => listening('a', undefined), /systemd's socket a has been named before/);
    assert.throws(() => listening('b'), /has passed no socket of that name, but a/);
    assert.deepEqual(warned, []);
    listening();
    assert.match(warned.join(), /socket a is listened on by nobody/);
  });
});
