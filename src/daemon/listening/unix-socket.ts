/** Makes a listening Unix socket, so that nobody sees its file half done. */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Stats } from 'node:fs';
import { lstat, rename, stat, unlink } from 'node:fs/promises';
import type { Server } from 'node:net';
import { basename, dirname, join } from 'node:path';

import { BridgeError, reasonOf, systemCodeOf } from '../../base/errors.js';
import { tryLink } from '../process/files.js';
import { BEFORE_SOCKET, clearSockets, someoneListens } from '../process/left-behind.js';
import {
  permit,
  SocketFile,
  type SocketPlace,
  socketPlaceAt,
  type UnixSocketOptions,
} from './socket-file.js';

/** The longest path that the system's `sockaddr_un` holds. */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103;

const failedAt =
  (path: string) =>
  (why: string): BridgeError =>
    new BridgeError('ERR_LISTEN', `unix:${path}: ${why}`);

/** Finds out whether a socket may have that path, even if one listens there now. @throws BridgeError `ERR_LISTEN` */
export async function requireSocketPath(path: string): Promise<void> {
  const failed = failedAt(path);
  requireShort([path], failed);
  await socketAt(path, failed);
}

function requireShort(paths: readonly string[], failed: (why: string) => BridgeError): void {
  const pathBytes = Math.max(...paths.map((each) => Buffer.byteLength(each)));
  if (pathBytes <= MAX_PATH_BYTES) return;
  throw failed(
    `a socket's path may have ${String(MAX_PATH_BYTES)} bytes, this one needs ${String(pathBytes)}`,
  );
}

/**
 * Binds `server` to `path`; a file there that nobody listens on is replaced. The socket is bound under a name of its
 * own and gets its path when owner and permissions are right.
 *
 * @throws BridgeError `ERR_LISTEN`
 */
export async function bindUnixSocket(
  server: Server,
  path: string,
  options: UnixSocketOptions & { readonly backlog: number },
): Promise<SocketFile> {
  const failed = failedAt(path);
  const name = BEFORE_SOCKET + Math.random().toString(36).slice(2, 8);
  const beside = join(dirname(path), name);
  let place: SocketPlace | undefined;
  try {
    place = await socketPlaceAt(beside);
    const { path: temporary } = place;
    requireShort([path, temporary], failed);
    await staleSocket(path, failed);
    await bind(server, temporary, options.backlog);
    await permit(temporary, options);
    const made = await lstat(temporary);
    await takePath(path, temporary, failed);
    await clearSockets(path);
    return new SocketFile(path, made);
  } catch (error) {
    server.close();
    if (error instanceof BridgeError) throw error;
    throw failed(`can't listen: ${await whyNot(path, error, [place?.path ?? beside, beside])}`);
  } finally {
    await place?.remove();
  }
}

/** One line about the path that was asked for; libuv calls a missing directory a lack of permission. */
async function whyNot(path: string, error: unknown, temporary: readonly string[]): Promise<string> {
  const missing = await stat(dirname(path)).then(
    () => false,
    (reason: unknown) => systemCodeOf(reason) === 'ENOENT',
  );
  if (missing) return `there is no directory ${dirname(path)}`;
  const { stderr } = error as { stderr?: string };
  const why = stderr?.trim() || reasonOf(error);
  return temporary.reduce((text, each) => text.replaceAll(each, path), why);
}

async function bind(server: Server, path: string, backlog: number): Promise<void> {
  // The file exists from here on: nobody but us may connect before its owner and permissions are set.
  const umask = process.umask(0o177);
  try {
    server.listen(path, backlog);
  } finally {
    process.umask(umask);
  }
  await once(server, 'listening');
}

/**
 * Gives the socket its path, if that is free or nobody listens there. Of those who try at the same time one holds the
 * lock: a name beside the path for its own socket, which says by itself whether its holder lives.
 */
async function takePath(
  path: string,
  temporary: string,
  failed: (why: string) => BridgeError,
): Promise<void> {
  // No longer than the temporary name, since that has to fit, too.
  const hash = createHash('sha256').update(basename(path)).digest('hex').slice(0, 8);
  const lock = join(dirname(path), `.${hash}`);
  await hold(lock, temporary, () =>
    failed('another process is just about to listen there; stop it first or choose another path'),
  );
  try {
    await staleSocket(path, failed);
    await rename(temporary, path);
  } finally {
    await unlink(lock).catch(() => undefined);
  }
}

/** Gives the socket a further name that no living socket has. */
async function hold(lock: string, temporary: string, failed: (why: string) => BridgeError): Promise<void> {
  while (!(await tryLink(temporary, lock))) {
    const stale = await staleSocket(lock, failed);
    if (stale !== undefined) await takeAway(lock, stale, `${temporary}-`);
  }
}

/** Removes a lock that was `stale` just now, by way of a further name; another one that starts as well keeps its own. */
export async function takeAway(
  lock: string,
  stale: Pick<Stats, 'ino' | 'dev'>,
  taken: string,
): Promise<void> {
  try {
    await rename(lock, taken);
    const { ino, dev } = await lstat(taken);
    // It may have put that there since.
    if (ino !== stale.ino || dev !== stale.dev) await tryLink(taken, lock);
    await unlink(taken);
  } catch (error) {
    // Another one has taken it away before.
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  }
}

/** The socket at the path, if there is one, on which nobody listens. @throws what `failed` makes of anything else. */
async function staleSocket(path: string, failed: (why: string) => BridgeError): Promise<Stats | undefined> {
  const found = await socketAt(path, failed);
  if (found !== undefined && (await someoneListens(path))) {
    throw failed('another process listens there; stop it first or choose another path');
  }
  return found;
}

async function socketAt(path: string, failed: (why: string) => BridgeError): Promise<Stats | undefined> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isSocket() !== false) return found;
  throw failed('the file there is no socket; choose another path or remove it');
}
