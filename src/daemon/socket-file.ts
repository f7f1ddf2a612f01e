/** The file of a Unix socket that listens: who may connect there, and its end, unless another one has taken its path. */

import { execFile } from 'node:child_process';
import { constants, existsSync } from 'node:fs';
import { chmod, lstat, open, unlink } from 'node:fs/promises';
import { promisify } from 'node:util';

import { reasonOf } from '../errors.js';

export interface UnixSocketOptions {
  /** The file's permissions. */
  readonly mode: number;
  /** User and group, as names or numbers; undefined leaves what the process is. */
  readonly owner: string | undefined;
  readonly group: string | undefined;
}

const run = promisify(execFile);

/** `O_PATH` of Linux, which Node does not name. */
const O_PATH = 0o10_000_000;
const OPEN_FILES = '/proc/self/fd';

/**
 * Has the socket belong to whom `options` name, but nothing that a symbolic link leads to: root does that in directories
 * whose owner may put one there in the meantime.
 *
 * @throws Error of the system, or of chown(1), whose words are its `stderr`
 */
export async function permit(path: string, { mode, owner, group }: UnixSocketOptions): Promise<void> {
  if (owner !== undefined) await run('chown', ['-h', '--', owner, path]);
  if (group !== undefined) await run('chgrp', ['-h', '--', group, path]);
  await setMode(path, mode);
}

/** As the C library does it where it must follow no link, which chmod(2) does. */
async function setMode(path: string, mode: number): Promise<void> {
  if (process.platform !== 'linux' || !existsSync(OPEN_FILES)) return chmod(path, mode);
  const file = await open(path, O_PATH | constants.O_NOFOLLOW);
  try {
    if (!(await file.stat()).isSocket()) throw new Error('what was made there is no socket any more');
    await chmod(`${OPEN_FILES}/${String(file.fd)}`, mode);
  } finally {
    await file.close();
  }
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
    await permit(this.path, { mode: next.mode, owner, group });
  }

  /** Whether connections to the path still reach the socket. */
  async isThere(): Promise<boolean> {
    const now = await lstat(this.path).catch(() => undefined);
    return now?.ino === this.ino && now.dev === this.dev;
  }

  /** Removes the file, also twice; `onProblem` is told why it can't. */
  async remove(onProblem: (why: string) => void): Promise<void> {
    const { path } = this;
    if (!(await this.isThere())) return;
    await unlink(path).catch((error: unknown) => {
      onProblem(`the next start replaces unix:${path}, which can't be removed: ${reasonOf(error)}`);
    });
  }
}

/** With owner and group: whom nobody has named is whoever makes the file. */
function named({ mode, owner, group }: UnixSocketOptions): UnixSocketOptions {
  return {
    mode,
    owner: owner ?? String(process.geteuid?.()),
    group: group ?? String(process.getegid?.()),
  };
}
