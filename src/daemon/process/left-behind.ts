/** Clears away what a daemon has left that was killed: nothing of another user's, nor of a process that lives. */

import { once } from 'node:events';
import { constants, type Stats } from 'node:fs';
import { lstat, open, readdir, rm, rmdir, stat, unlink } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { fromText } from '../../base/bytes.js';
import { systemCodeOf } from '../../base/errors.js';
import type { Log } from '../../observe/log.js';
import { exists } from '../../process/process-group.js';
import { ALIVE, MEMORY, PREFIX } from '../../runners/private-directory.js';
import { isOnOwnDisk } from '../../sites/steps.js';
import { canHold, pathOfOpen, readSmall } from './files.js';

const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;
/** What is younger may be half made. */
const MIN_AGE_MS = 60_000;
/** A socket may have its name a moment before anybody listens. */
const HALF_MADE_MS = 200;

const ofProcess = new RegExp(`^${PREFIX}[A-Za-z0-9]{6}$`);
/** Begins the name of what is to become a socket. */
export const BEFORE_SOCKET = '.f2c.';
const ofSocket = /^\.f2c\.[0-9a-z]{1,6}-?$/;
const ofBody = new RegExp(`^${PREFIX}[0-9a-f-]{36}$`);

/** Clears the directories of temporary files that are this machine's own; the log has what was there. Never rejects. */
export async function clearTemporary(log: Log, isOwnDirectory = isOwn): Promise<void> {
  for (const base of new Set([tmpdir(), MEMORY])) {
    if (!(await isSafe(base)) || !(await isOwnDirectory(base))) continue;
    const cleared = [
      ...(await clear(base, (name) => ofProcess.test(name), clearDirectory)),
      ...(await clear(
        base,
        (name) => ofBody.test(name),
        async (path, found) => {
          if (!found.isFile() || !isOld(found)) return false;
          await unlink(path);
          return true;
        },
      )),
    ];
    if (cleared.length > 0) log.info({ removed: cleared }, 'removed what a process has left that was killed');
  }
}

/** Clears what lies beside a socket that was to become one (`SocketPlace`). Never rejects. */
export async function clearSockets(beside: string): Promise<void> {
  await clear(
    dirname(beside),
    (name) => ofSocket.test(name),
    async (path, found) => {
      if (!isOld(found)) return false;
      if (!found.isSocket()) return clearPlace(path);
      if (await someoneListens(path)) return false;
      await unlink(path);
      return true;
    },
  );
}

/** One that root has made where others may have put something else by now. */
async function clearPlace(path: string): Promise<boolean> {
  if (!canHold) return false;
  const held = await open(path, constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const { uid, mode } = await held.stat();
    if (uid !== process.geteuid?.() || (mode & 0o777) !== 0o700) return false;
    const socket = join(pathOfOpen(held.fd), basename(path));
    if (await someoneListens(socket)) return false;
    await unlink(socket).catch(() => undefined);
  } finally {
    await held.close();
  }
  await rmdir(path);
  return true;
}

/** Clears the files beside a pid file that were to become one, or to ask for an upgrade. Never rejects. */
export async function clearPidFiles(beside: string): Promise<void> {
  const prefix = `${basename(beside)}.`;
  const isLeft = (name: string): boolean =>
    name.startsWith(prefix) && /^(\d+(\.stale)?|upgrade)$/.test(name.slice(prefix.length));
  await clear(dirname(beside), isLeft, async (path, found) => {
    if (!found.isFile() || !isOld(found)) return false;
    const text = await readSmall(path);
    // Logs are called so, too, once they were rotated.
    if (!/^(\d+\n|$)/.test(text) || exists(Number.parseInt(text, 10))) return false;
    await unlink(path);
    return true;
  });
}

/** What `isCleared` says of those that are ours, by their paths. */
async function clear(
  base: string,
  isLeft: (name: string) => boolean,
  isCleared: (path: string, found: Stats) => Promise<boolean>,
): Promise<readonly string[]> {
  const cleared: string[] = [];
  for (const name of await readdir(base).catch(() => [])) {
    if (!isLeft(name)) continue;
    const path = join(base, name);
    const found = await lstat(path).catch(() => undefined);
    if (found === undefined || found.uid !== process.geteuid?.()) continue;
    if (await isCleared(path, found).catch(() => false)) cleared.push(path);
  }
  return cleared;
}

async function clearDirectory(path: string, found: Stats): Promise<boolean> {
  if (!found.isDirectory()) return false;
  const socket = join(path, ALIVE);
  const alive = await lstat(socket).catch(() => undefined);
  if (alive?.isSocket() !== true) {
    if (!isOld(found)) return false;
    // Its process did not get far. A directory that has something in it may be another program's.
    await rmdir(path);
    return true;
  }
  if (await someoneListens(socket)) return false;
  await delay(HALF_MADE_MS);
  if (await someoneListens(socket)) return false;
  await rm(path, { recursive: true, force: true });
  return true;
}

function isOld({ mtimeMs }: Stats): boolean {
  return Date.now() - mtimeMs > MIN_AGE_MS;
}

/** Whether nobody else can put something in the place of what is ours there. */
async function isSafe(directory: string): Promise<boolean> {
  const found = await stat(directory).catch(() => undefined);
  if (found === undefined || ![0, process.geteuid?.()].includes(found.uid)) return false;
  return (found.mode & WRITABLE_BY_OTHERS) === 0 || (found.mode & STICKY) !== 0;
}

/** Whether no other machine has it, too: nobody here could tell whether a process there listens. */
async function isOwn(directory: string): Promise<boolean> {
  return process.platform !== 'linux' || (await isOnOwnDisk(fromText(directory)));
}

/** Whether a process listens on the socket at a path, as far as anybody may know. */
export async function someoneListens(path: string): Promise<boolean> {
  const probe = createConnection(path);
  const code = await once(probe, 'connect').catch((error: unknown) => systemCodeOf(error) ?? '');
  probe.destroy();
  // A full backlog or a lack of permission means that somebody is there.
  return code !== 'ECONNREFUSED' && code !== 'ENOENT';
}
