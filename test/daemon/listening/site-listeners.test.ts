import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';

import { defaultConfiguration } from '../../../src/cli/configuration.js';
import { SiteListeners } from '../../../src/daemon/listening/site-listeners.js';
import type { Log } from '../../../src/observe/log.js';
import { until } from '../../helpers/processes.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const portOf = ({ addresses }: SiteListeners): number => Number(addresses[0]?.split(':').at(-1));

const open: SiteListeners[] = [];

afterEach(async () => {
  for (const listeners of open.splice(0)) await listeners.close();
});

/** On several ports of this machine, which these hosts may connect to; `lines` get what is logged. */
async function listen(
  count: number,
  allowFrom: readonly string[],
  lines: string[] = [],
): Promise<SiteListeners> {
  const { sites } = defaultConfiguration([
    {
      name: 'site',
      site: { kind: 'script', file: '/bin/true', args: [] },
      listen: Array.from({ length: count }, () => ({ kind: 'tcp', host: '127.0.0.1', port: 0 })),
      allowFrom,
    },
  ]);
  const [configuration] = sites;
  assert.ok(configuration !== undefined);
  const note: Log['warn'] = (fields, message) => lines.push(`${message} ${JSON.stringify(fields)}`);
  const log: Log = { error: note, warn: note, info: note, debug: note };
  const listeners = await SiteListeners.bind(configuration, log);
  open.push(listeners);
  await listeners.ready();
  return listeners;
}

describe('The listeners of a site', () => {
  it('log the first host that may not connect at once, and then how many there were', async () => {
    const lines: string[] = [];
    const listeners = await listen(1, ['192.0.2.1'], lines);
    listeners.accept(() => assert.fail('nobody may connect'));
    const port = portOf(listeners);
    for (let count = 0; count < 20; count++) {
      const socket = createConnection(port, '127.0.0.1').resume();
      await once(socket, 'close');
    }
    const stranger = 'connection from 127.0.0.1, which --allow-from does not name';
    assert.deepEqual(lines.splice(0), [`${stranger} {}`]);
    await listeners.close();
    assert.deepEqual(lines, [`19 more within 10 s: ${stranger} {"count":19}`]);
  });

  it('are closed for nobody before their sockets are gone', async () => {
    const path = join(await temporaryDirectory(), 'socket');
    const site = { kind: 'script', file: '/bin/true', args: [] } as const;
    const { sites } = defaultConfiguration([{ name: 'site', site, listen: [{ kind: 'unix', path }] }]);
    assert.ok(sites[0]);
    const ignore = (): void => undefined;
    const log: Log = { error: ignore, warn: ignore, info: ignore, debug: ignore };
    const listeners = await SiteListeners.bind(sites[0], log);
    const closed = listeners.close();
    await listeners.close();
    assert.ok(!existsSync(path));
    await closed;
  });

  it('are held together, or none: nobody would let the others accept again', async (t) => {
    const listeners = await listen(2, []);
    const accepted: Socket[] = [];
    listeners.accept((socket) => accepted.push(socket));
    // As where hardly a descriptor is left.
    const refused = t.mock.method(
      listeners.all[1]?.server ?? assert.fail('it is there'),
      'hold',
      () => false,
    );
    assert.equal(listeners.hold(), false);
    const socket = createConnection(portOf(listeners), '127.0.0.1');
    await until(() => accepted.length > 0);
    refused.mock.restore();
    assert.equal(listeners.hold(), true);
    for (const each of [socket, ...accepted]) each.destroy();
  });
});
