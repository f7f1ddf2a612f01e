/** Makes a listening Unix socket, so that nobody sees its file half done. */

import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import { lstat, rename, stat, unlink } from 'node:fs/promises';
import { createConnection, type Server } from 'node:net';
import { basename, dirname, join } from 'node:path';

import { BridgeError, reasonOf, systemCodeOf } from '../errors.js';
import { linked } from './linked.js';
import { permit, SocketFile, type UnixSocketOptions } from './socket-file.js';

/** The longest path that the system's `sockaddr_un` holds. */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103;

/**
 * Binds `server` to `path`; a file there that nobody listens on is replaced. The socket is bound under a name of its
 * own and gets its path when owner and permissions are right.
 *
 * @throws BridgeError `ERR_LISTEN`
 */
export async function bindUnixSocket(
  server: Server,
  path: string,
  options: UnixSocketOptions,
): Promise<SocketFile> {
  const failed = (why: string): BridgeError => new BridgeError('ERR_LISTEN', `unix:${path}: ${why}`);
  const temporary = join(
    dirname(path),
    `.${process.pid.toString(36)}.${Math.random().toString(36).slice(2, 6)}`,
  );
  const pathBytes = Math.max(Buffer.byteLength(path), Buffer.byteLength(temporary));
  if (pathBytes > MAX_PATH_BYTES) {
    throw failed(
      `a socket's path may have ${String(MAX_PATH_BYTES)} octets, this one needs ${String(pathBytes)}`,
    );
  }
  await staleSocket(path, failed);
  try {
    await bind(server, temporary);
    await permit(temporary, options);
    await takePath(path, temporary, failed);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    server.close();
    if (error instanceof BridgeError) throw error;
    throw failed(`can't listen: ${await whyNot(path, error, temporary)}`);
  }
  return new SocketFile(path, await lstat(path));
}

/** One line about the path that was asked for; libuv calls a missing directory a lack of permission. */
async function whyNot(path: string, error: unknown, temporary: string): Promise<string> {
  const missing = await stat(dirname(path)).then(
    () => false,
    (reason: unknown) => systemCodeOf(reason) === 'ENOENT',
  );
  if (missing) return `there is no directory ${dirname(path)}`;
  const { stderr } = error as { stderr?: string };
  return (stderr?.trim() || reasonOf(error)).replaceAll(temporary, path);
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      resolve();
    });
    // The file exists from here on: nobody but us may connect before its owner and permissions are set.
    const umask = process.umask(0o177);
    try {
      server.listen(path);
    } finally {
      process.umask(umask);
    }
  });
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

/** Gives the socket a name besides that no living socket has. */
async function hold(lock: string, temporary: string, failed: (why: string) => BridgeError): Promise<void> {
  while (!(await linked(temporary, lock))) {
    const stale = await staleSocket(lock, failed);
    if (stale === undefined) continue;
    const taken = `${temporary}-`;
    try {
      await rename(lock, taken);
      // Another one that starts as well may have put its own there since.
      const { ino, dev } = await lstat(taken);
      if (ino !== stale.ino || dev !== stale.dev) await linked(taken, lock);
      await unlink(taken);
    } catch (error) {
      // Another one has taken it away before.
      if (systemCodeOf(error) !== 'ENOENT') throw error;
    }
  }
}

/** The socket at the path, if there is one, on which nobody listens. @throws what `failed` makes of anything else. */
async function staleSocket(path: string, failed: (why: string) => BridgeError): Promise<Stats | undefined> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  if (!found.isSocket()) throw failed('the file there is no socket; choose another path or remove it');
  if (await someoneListens(path)) {
    throw failed('another process listens there; stop it first or choose another path');
  }
  return found;
}

function someoneListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error) => {
      // A full backlog or a lack of permission means that somebody is there.
      resolve(!['ECONNREFUSED', 'ENOENT'].includes(systemCodeOf(error) ?? ''));
    });
  });
}
