import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { spawnMethods } from '../../src/process/start-process.js';
import { ask } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { commandWithDescriptor, startThrough } from '../helpers/descriptors.js';
import { temporaryDirectory } from '../helpers/temporary.js';

describe('What the daemon was started with', { timeout: 300_000 }, () => {
  for (const way of spawnMethods) {
    // Node sees to the first 16 by itself.
    for (const descriptor of [9, 20]) {
      it(`reaches no script (--spawn-method ${way}, descriptor ${String(descriptor)})`, async () => {
        const directory = await temporaryDirectory();
        const socket = join(directory, 'sock');
        const script = fixture('cgi/prints-descriptors.sh');
        const args = ['script', '--spawn-method', way, '--listen', socket, script];
        const bridge = await startThrough(
          commandWithDescriptor(join(directory, 'inherited'), descriptor, args),
        );
        try {
          const { stdout } = await ask(socket);
          const listed = stdout.slice(stdout.indexOf('\n\n') + 2).trimEnd();
          assert.deepEqual(listed.split('\n'), ['0', '1', '2', '3'], '3 is the one of ls itself');
        } finally {
          await bridge.stop();
        }
      });
    }
  }
});
