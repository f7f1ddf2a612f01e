import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';

import { fromText } from '../../../src/bytes.js';
import { shippedFile } from '../../../src/daemon/shipped.js';
import { ForkServer } from '../../../src/runners/warm/fork-server.js';
import { fixture } from '../../helpers/bridge.js';
import { startProcess } from '../../helpers/spawn-way.js';

const variables = new Map([['PATH', '/usr/bin:/bin']]);

for (const [script, program] of [
  ['ends-as-asked.py', ['/usr/bin/python3', `${shippedFile('scripts/warm')}/python/fork_server.py`]],
  ['ends-as-asked.pl', ['/usr/bin/perl', `-I${shippedFile('scripts/warm')}/perl`, '-MFcgi2cgi::ForkServer']],
] as const) {
  describe(`A fork server of ${script}`, { timeout: 60_000 }, () => {
    it('that takes no more requests still makes the processes that it was asked for before', async () => {
      const file = fromText(fixture(`cgi/${script}`));
      const directory = dirname(file);
      const [interpreter, ...args] = program;
      const server = new ForkServer({
        start: () =>
          startProcess({ file: interpreter, args: [...args, file], directory, environment: variables }),
        load: { start: variables, variables, modules: new Map() },
        loadTimeoutMs: 30_000,
        onLearned: () => undefined,
      });
      await server.ready;
      const forks = Array.from({ length: 8 }, () =>
        server.fork({ file, args: [], directory, variables }, [], false),
      );
      server.close();
      for (const forked of await Promise.all(forks)) {
        forked.stdin.end();
        forked.stderr.resume();
        const [, exit] = await Promise.all([text(forked.stdout), forked.exited]);
        assert.deepEqual(exit, { kind: 'exited', code: 0 });
      }
      assert.equal(await server.gone, undefined);
    });
  });
}
