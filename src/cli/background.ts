/** `--daemon`: starts the daemon as a process of its own and waits until it listens. */

import { spawn, type StdioOptions } from 'node:child_process';
import { openSync } from 'node:fs';

import type { Configuration } from '../daemon/configuration.js';
import { as, type Identity, makeFor } from '../daemon/privileges.js';
import { BridgeError, bridgeErrorOf, type ErrorCode, reasonOf } from '../errors.js';

/** Set in the environment of the background process, which then does not go to the background again. */
const MARK = 'FCGI2CGI_BACKGROUND';

/** What the background process tells the one that waits. */
type Message =
  | { readonly kind: 'listening' }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly lines: readonly string[] };

/** Whether this is the process that `startInBackground` has started. */
export function isBackground(): boolean {
  return process.env[MARK] !== undefined && process.send !== undefined;
}

/** Tells the waiting process how it went, and lets go of it. */
export function tellStarter(message: Message): Promise<void> {
  return new Promise((resolve) => {
    process.send?.(message, () => {
      if (process.connected) process.disconnect();
      resolve();
    });
  });
}

/**
 * Starts this command again, in a session of its own; resolves when it listens. Its standard error is its log file,
 * so that even a crash of Node's leaves its trace there.
 *
 * @throws BridgeError what the background process could not start for.
 */
export function startInBackground(
  configuration: Configuration,
  identity: Identity | undefined,
): Promise<void> {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    env: { ...process.env, [MARK]: '1' },
    stdio: descriptors(configuration, identity),
  });
  return new Promise((resolve, reject) => {
    child.once('error', (error) => {
      reject(new BridgeError('ERR_START', `can't start in the background: ${reasonOf(error)}`));
    });
    let failure: BridgeError | undefined;
    child.once('message', (message: Message) => {
      if (message.kind === 'failed') {
        failure = bridgeErrorOf(message.lines.map((line) => new BridgeError(message.code, line)));
        return;
      }
      resolve();
      if (child.connected) child.disconnect();
      child.unref();
    });
    // Only then is nothing left of it.
    child.once('exit', (code, signal) => {
      const how = signal ?? `exit status ${String(code)}`;
      const where = configuration.log.file ?? '';
      reject(failure ?? new BridgeError('ERR_START', `ended before it listened (${how}); see ${where}`));
    });
  });
}

/** Inherited sockets keep their numbers; the channel to us comes after them. */
function descriptors(configuration: Configuration, identity: Identity | undefined): StdioOptions {
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
