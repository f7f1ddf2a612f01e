import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Configuration } from '../../src/daemon/configuration.js';
import type { Daemon } from '../../src/daemon/daemon.js';
import { reload } from '../../src/daemon/prepare-sites.js';
import type { Logs } from '../../src/daemon/process/logs.js';

describe('What only a new process can change', () => {
  it('waits for the next start, and the log says so', async () => {
    const names = ['pidFile', 'background', 'user', 'group', 'chdir', 'umask', 'control'] as const;
    const configuration = (value: string): Configuration =>
      Object.fromEntries([...names, 'accessLog'].map((name) => [name, value])) as unknown as Configuration;
    const told: unknown[] = [];
    const log = { info: () => undefined, warn: ({ options }: { options: unknown }) => told.push(options) };
    const daemon = { reconfigure: () => Promise.resolve({}) } as unknown as Daemon;
    const logs = { log } as unknown as Logs;
    const running = configuration('before');
    assert.deepEqual(await reload(daemon, logs, running, () => configuration('after')), {
      ...running,
      accessLog: 'after',
    });
    assert.deepEqual(told, [names]);
  });
});
