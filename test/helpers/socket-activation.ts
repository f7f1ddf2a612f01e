/** Daemons whose sockets are systemd's, as far as systemd-socket-activate(1) does what systemd would. */

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createConnection } from 'node:net';

import { type Bridge, startCommand } from './bridge.js';
import { until } from './processes.js';

/** The command by which systemd-socket-activate becomes another one, with sockets named in their order. */
export function activated(
  sockets: Readonly<Record<string, string>>,
  command: readonly string[],
  env: readonly string[] = [],
): string[] {
  return [
    'systemd-socket-activate',
    ...Object.values(sockets).map((path) => `--listen=${path}`),
    `--fdname=${Object.keys(sockets).join(':')}`,
    ...env.map((variable) => `--setenv=${variable}`),
    ...command,
  ];
}

/** Starts that, and has it become the command by a first connection to `socket`; the caller stops it. */
export async function startActivated(command: readonly string[], socket: string): Promise<Bridge> {
  const bridge = startCommand(command);
  await until(() => existsSync(socket));
  // Nobody listens before bind and listen are both done.
  await until(async () => {
    const connection = createConnection(socket);
    const connected = await Promise.race([
      once(connection, 'connect').then(() => true),
      once(connection, 'error').then(() => false),
    ]).catch(() => false);
    connection.on('error', () => undefined).destroy();
    return connected;
  });
  return bridge;
}
