/** The file of a Unix socket that listens: where it is made, who may connect there, and its end. */

import { execFile } from 'node:child_process';
import { constants, type Stats } from 'node:fs';
import { chmod, lstat, mkdir, open, rmdir, unlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { promisify } from 'node:util';

import { reasonOf, systemCodeOf } from '../../base/errors.js';
import { canHold, pathOfOpen, rootsDirectoryOf } from '../process/files.js';
import { isRoot } from '../process/privileges.js';

export interface UnixSocketOptions {
  readonly mode: number;
  /** User and group, as names or numbers; undefined leaves what the process is. */
  readonly owner: string | undefined;
  readonly group: string | undefined;
}

/** A socket on its way from one process, or one program in the same process, to the next. */
export interface SocketHandover {
  /** Where it was told to listen, in the form of `--listen`. */
  readonly address: string;
  readonly descriptor: number;
  /** Those of connections that were accepted before anybody wanted them. */
  readonly waiting: readonly number[];
  /** The file of a Unix socket, and whose it was made. */
  readonly file: Pick<SocketFile, 'path' | 'dev' | 'ino'> | undefined;
  readonly socket: UnixSocketOptions;
}

const run = promisify(execFile);

/** `O_PATH` of Linux, which Node does not name. */
const O_PATH = 0o10_000_000;

/**
 * Has the socket at that path belong to whom `options` name, but nothing that others have put there: where a file can be
 * held, it has to be a socket, and the one that `isMeant`.
 *
 * @throws Error of the system, or of chown(1), whose words are its `stderr`
 */
export async function permit(
  path: string,
  options: UnixSocketOptions,
  isMeant: (found: Stats) => boolean = () => true,
): Promise<void> {
  if (!canHold) {
    await applyOptions(path, ['-h'], options);
    return;
  }
  const file = await open(path, O_PATH | constants.O_NOFOLLOW);
  try {
    const found = await file.stat();
    if (!found.isSocket() || !isMeant(found)) throw new Error('what was made there is no socket any more');
    await applyOptions(pathOfOpen(file.fd), [], options);
  } finally {
    await file.close();
  }
}

async function applyOptions(
  path: string,
  flags: readonly string[],
  { mode, owner, group }: UnixSocketOptions,
): Promise<void> {
  if (owner !== undefined) await run('chown', [...flags, '--', owner, path]);
  if (group !== undefined) await run('chgrp', [...flags, '--', group, path]);
  await chmod(path, mode);
}

/** Owns the file at its path while that is the one that was made. */
export class SocketFile {
  readonly path: string;
  /** Which file it is, whatever its name. */
  readonly dev: number;
  readonly ino: number;

  constructor(path: string, { dev, ino }: { readonly dev: number; readonly ino: number }) {
    this.path = path;
    this.dev = dev;
    this.ino = ino;
  }

  /** Has it belong to others than before. @throws Error of the system, or of chown(1) */
  async change(before: UnixSocketOptions, now: UnixSocketOptions): Promise<void> {
    const [old, next] = [named(before), named(now)];
    const owner = next.owner === old.owner ? undefined : next.owner;
    const group = next.group === old.group ? undefined : next.group;
    if (owner === undefined && group === undefined && next.mode === old.mode) return;
    const isMeant = ({ dev, ino }: Stats): boolean => dev === this.dev && ino === this.ino;
    await permit(this.path, { mode: next.mode, owner, group }, isMeant);
  }

  /** Notes who may connect now; resolves to what brings that back after any change, and never rejects. */
  async noteRights(): Promise<() => Promise<void>> {
    const before = await this.#rights();
    return async () => {
      const now = await this.#rights();
      if (before !== undefined && now !== undefined) await this.change(now, before).catch(() => undefined);
    };
  }

  /** Whether connections to the path still reach the socket. */
  async isThere(): Promise<boolean> {
    return (await this.#found()) !== undefined;
  }

  /** Removes the file, also twice; `onProblem` is told why it can't. */
  async remove(onProblem: (why: string) => void): Promise<void> {
    const { path } = this;
    if (!(await this.isThere())) return;
    await unlink(path).catch((error: unknown) => {
      if (systemCodeOf(error) === 'ENOENT') return;
      onProblem(`the next start replaces unix:${path}, which can't be removed: ${reasonOf(error)}`);
    });
  }

  async #rights(): Promise<UnixSocketOptions | undefined> {
    const found = await this.#found();
    return found && { mode: found.mode & 0o7777, owner: String(found.uid), group: String(found.gid) };
  }

  async #found(): Promise<Stats | undefined> {
    const now = await lstat(this.path).catch(() => undefined);
    return now?.ino === this.ino && now.dev === this.dev ? now : undefined;
  }
}

/** With owner and group: an owner that is not named is the process that makes the file. */
function named({ mode, owner, group }: UnixSocketOptions): UnixSocketOptions {
  return {
    mode,
    owner: owner ?? String(process.geteuid?.()),
    group: group ?? String(process.getegid?.()),
  };
}

export interface SocketPlace {
  /** A file that is not there yet. */
  readonly path: string;
  remove(): Promise<void>;
}

/**
 * That path itself, a free one; but where others may write to its directory, root makes a directory of its own there.
 *
 * @throws Error of the system, with its `code`
 */
export async function socketPlaceAt(path: string): Promise<SocketPlace> {
  if (!isRoot() || !canHold || rootsDirectoryOf(path)?.isRootsAlone === true) {
    return { path, remove: () => gone(unlink(path)) };
  }
  await mkdir(path, 0o700);
  const held = await open(path, constants.O_DIRECTORY | constants.O_NOFOLLOW);
  const { uid, mode } = await held.stat();
  const inside = `${pathOfOpen(held.fd)}/${basename(path)}`;
  const remove = async (): Promise<void> => {
    await gone(unlink(inside));
    await held.close();
    await gone(rmdir(path));
  };
  if (uid === process.geteuid?.() && (mode & 0o077) === 0) return { path: inside, remove };
  await remove();
  throw new Error('somebody else has put another directory in the place of the one for the socket');
}

function gone(removal: Promise<void>): Promise<void> {
  return removal.catch(() => undefined);
}
