/** `--daemon`: starts the daemon as a process of its own and waits until it listens. */

import type { Configuration } from '../daemon/configuration.js';
import type { Identity } from '../daemon/privileges.js';
import { openLogFile } from '../daemon/succession/log-descriptor.js';
import { startAgain } from '../daemon/succession/start-again.js';

/**
 * Starts this command again, in a session of its own; resolves when it listens. Its standard error is its log file,
 * so that even a crash of Node's leaves its trace there.
 *
 * @throws BridgeError what the background process could not start for.
 */
export async function startInBackground(
  configuration: Configuration,
  identity: Identity | undefined,
): Promise<void> {
  const { log } = configuration;
  const stdio = descriptors(configuration, identity);
  const started = await startAgain({ stdio, detached: true, advice: log.file ?? '' });
  if (started.process.connected) started.process.disconnect();
}

/** Inherited sockets keep their numbers; the channel to us comes after them. */
function descriptors(
  configuration: Configuration,
  identity: Identity | undefined,
): ('ignore' | 'ipc' | number)[] {
  const { sites, log } = configuration;
  const sockets = sites.flatMap(({ listen }) =>
    listen.length === 0 ? [0] : listen.flatMap((address) => (address.kind === 'fd' ? [address.fd] : [])),
  );
  const logDescriptor = openLogFile(log.file, identity);
  const stdio: ('ignore' | 'ipc' | number)[] = ['ignore', 'ignore', logDescriptor];
  for (const socket of sockets) {
    while (stdio.length <= socket) stdio.push('ignore');
    stdio[socket] = socket;
  }
  return [...stdio, 'ipc'];
}
