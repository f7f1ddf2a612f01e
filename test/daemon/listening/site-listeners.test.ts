import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { describe, it } from 'node:test';

import { defaultConfiguration } from '../../../src/cli/configuration.js';
import { SiteListeners } from '../../../src/daemon/listening/site-listeners.js';
import type { Log } from '../../../src/observe/log.js';

describe('The listeners of a site', () => {
  it('log the first host that may not connect at once, and then how many there were', async () => {
    const lines: string[] = [];
    const note: Log['warn'] = (fields, message) => lines.push(`${message} ${JSON.stringify(fields)}`);
    const { sites } = defaultConfiguration([
      {
        name: 'site',
        site: { kind: 'script', file: '/bin/true', args: [] },
        listen: [{ kind: 'tcp', host: '127.0.0.1', port: 0 }],
        allowFrom: ['192.0.2.1'],
      },
    ]);
    const [configuration] = sites;
    assert.ok(configuration !== undefined);
    const log: Log = { error: note, warn: note, info: note, debug: note };
    const listeners = await SiteListeners.bind(configuration, log);
    await listeners.ready();
    listeners.accept(() => assert.fail('nobody may connect'));
    const port = Number(listeners.addresses[0]?.split(':').at(-1));
    for (let count = 0; count < 20; count++) {
      const socket = createConnection(port, '127.0.0.1').resume();
      await once(socket, 'close');
    }
    const stranger = 'connection from 127.0.0.1, which --allow-from does not name';
    assert.deepEqual(lines.splice(0), [`${stranger} {}`]);
    await listeners.close();
    assert.deepEqual(lines, [`19 more within 10 s: ${stranger} {"count":19}`]);
  });
});
