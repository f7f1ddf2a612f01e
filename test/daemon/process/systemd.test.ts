import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';

import { Notifier } from '../../../src/daemon/process/systemd.js';

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
    } finally {
      set.mock.restore();
      clear.mock.restore();
    }
  });
});
