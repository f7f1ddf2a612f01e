/** A service whose sockets are systemd's is restarted under load, behind web servers that keep connections or do not. */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { commandLine } from '../helpers/bridge.js';
import { underLoad } from '../helpers/load.js';
import { childrenOf, until } from '../helpers/processes.js';
import { activated, startActivated } from '../helpers/socket-activation.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { startPassing, startWebServerWith } from '../helpers/webserver.js';
import { isFull, keepingServer } from '../helpers/webserver-table.js';

const [REQUESTS, RESTARTS] = isFull ? [2_000, 20] : [200, 4];

describe('A restart under load', { timeout: 300_000 }, () => {
  it(`loses none of ${String(REQUESTS)} requests over ${String(RESTARTS)} restarts, with connections kept and not`, async () => {
    const directory = await temporaryDirectory();
    const [socket, stop, hello] = ['sock', 'stop', 'hello'].map((name) => join(directory, name));
    assert.ok(socket !== undefined && stop !== undefined && hello !== undefined);
    await writeFile(hello, '#!/bin/sh\nprintf "A: b\\n\\nhello"\n', { mode: 0o755 });
    // What systemd does: it holds the socket, and starts the daemon anew when it has ended.
    const service = 'while [ ! -e "$0" ]; do (LISTEN_PID=$(exec sh -c "echo \\$PPID") exec "$@"); done';
    const daemon = commandLine(['script', '--listen', 'systemd:web', hello]);
    const shell = ['sh', '-c', service, stop, ...daemon];
    const bridge = await startActivated(activated({ web: socket }, shell), socket);
    const pid = (): number => childrenOf(bridge.process.pid ?? 0)[0] ?? 0;
    const listening = (): number => bridge.log().split(' info listening ').length - 1;
    const nginx = await startWebServerWith('nginx', keepingServer(socket));
    const lighttpd = await startPassing('lighttpd', socket);
    try {
      const asked = [
        // What comes by POST just when a kept connection is closed, nginx does not send again.
        ['GET', `${nginx.url}/kept`],
        ['GET', `${nginx.url}/new`],
        ['POST', `${nginx.url}/new`],
        ['GET', `${lighttpd.url}/`],
        ['POST', `${lighttpd.url}/`],
      ] as const;
      await underLoad(asked, REQUESTS, async (answered) => {
        for (let restarts = 1; restarts <= RESTARTS; restarts++) {
          const before = answered();
          await until(() => answered() > before + 10);
          process.kill(pid(), 'SIGTERM');
          await until(() => listening() > restarts);
        }
      });
    } finally {
      await writeFile(stop, '');
      process.kill(pid(), 'SIGTERM');
      await bridge.exited();
      await Promise.all([nginx.stop(), lighttpd.stop()]);
    }
  });
});
