/** `--daemon`: starts the daemon as a process of its own and waits until it listens. */

import { openSync } from 'node:fs';

import type { Configuration } from '../daemon/configuration.js';
import { as, type Identity, makeFor } from '../daemon/privileges.js';
import { startAgain } from '../daemon/succession/start-again.js';
import { BridgeError, reasonOf } from '../errors.js';

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
  const logDescriptor = openLogFile(log.file ?? '/dev/null', identity);
  const stdio: ('ignore' | 'ipc' | number)[] = ['ignore', 'ignore', logDescriptor];
  for (const socket of sockets) {
    while (stdio.length <= socket) stdio.push('ignore');
    stdio[socket] = socket;
  }
  return [...stdio, 'ipc'];
}

function openLogFile(path: string, identity: Identity | undefined): number {
  makeFor(identity, path);
  try {
    return as(identity, () => openSync(path, 'a', 0o640));
  } catch (error) {
    throw new BridgeError('ERR_LOG_FILE', `--log-file ${path} can't be opened: ${reasonOf(error)}`);
  }
}
