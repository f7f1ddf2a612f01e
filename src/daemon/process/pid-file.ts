/** The pid file: one daemon holds it, and it is gone when the daemon is. */

import { execFile } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { lstat, rename, unlink } from 'node:fs/promises';
import { promisify } from 'node:util';

import { BridgeError, reasonOf, systemCodeOf } from '../../base/errors.js';
import { exists } from '../../process/process-group.js';
import { clearPidFiles } from './left-behind.js';
import { readSmall, tryLink } from './files.js';

const run = promisify(execFile);

/** A file that has this process's id until `remove`. */
export class PidFile {
  readonly path: string;
  readonly #mine = `${String(process.pid)}\n`;
  #descriptor: number | undefined;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Writes this process's id to `path`, which appears complete or not at all. One that `isKept` open can at least be
   * emptied by a user who has no right to its directory: the file stays root's, since a number in a file of the user's
   * would be anybody's to choose whom root signals.
   *
   * @throws BridgeError `ERR_PID_FILE` if a running daemon holds it or it can't be written.
   */
  static async hold(path: string, { isKept = false } = {}): Promise<PidFile> {
    const file = new PidFile(path);
    await clearPidFiles(path);
    const descriptor = await file.#put((temporary) => takeOver(path, temporary));
    if (isKept) file.#descriptor = descriptor;
    else closeSync(descriptor);
    return file;
  }

  /** The one that root has held in this process, and its descriptor. */
  static held(path: string, descriptor: number | undefined): PidFile {
    const file = new PidFile(path);
    file.#descriptor = descriptor;
    return file;
  }

  /**
   * Takes it over from a process that has handed us its sockets, and its `descriptor` of the file, where it has one.
   *
   * @throws BridgeError `ERR_PID_FILE`; it then is as it was.
   */
  static async takeOver(
    path: string,
    previous: { readonly pid: number; readonly descriptor: number | undefined },
  ): Promise<PidFile> {
    const file = PidFile.held(path, previous.descriptor);
    const holder = await holderOf(path).catch((error: unknown) => {
      throw new BridgeError('ERR_PID_FILE', `--pid-file ${path} can't be read: ${reasonOf(error)}`);
    });
    if (holder !== previous.pid) throw alreadyRunning(path, holder);
    await file.#replace();
    return file;
  }

  /** The file as root has opened it, where we may have no right to its directory. */
  get descriptor(): number | undefined {
    return this.#descriptor;
  }

  /**
   * Has our id again, where the next process has written its own and then ended; not where another daemon runs that has
   * its own there.
   *
   * @throws BridgeError `ERR_PID_FILE`
   */
  async restore(): Promise<void> {
    if (await this.#isOurs()) return;
    const holder = await holderOf(this.path).catch(() => NaN);
    if (!(await isDaemon(holder))) await this.#replace();
  }

  /** Removes it, unless it is somebody else's by now. */
  async remove(): Promise<void> {
    const descriptor = this.#descriptor;
    if (await this.#isOurs()) {
      await unlink(this.path).catch(() => {
        if (descriptor !== undefined) ftruncateSync(descriptor);
      });
    }
    if (descriptor !== undefined) closeSync(descriptor);
    this.#descriptor = undefined;
  }

  async #isOurs(): Promise<boolean> {
    return (await readSmall(this.path).catch(() => '')) === this.#mine;
  }

  async #replace(): Promise<void> {
    try {
      closeSync(await this.#put((temporary) => rename(temporary, this.path)));
    } catch (error) {
      const descriptor = this.#descriptor;
      if (descriptor === undefined) throw error;
      ftruncateSync(descriptor);
      writeSync(descriptor, this.#mine, 0);
    }
  }

  /**
   * Has `take` give a file with our id its name; resolves to the file, open. It is a new one: what somebody has put in its
   * place, such as a symbolic link, root must not write to.
   */
  async #put(take: (temporary: string) => Promise<void>): Promise<number> {
    const temporary = `${this.path}.${String(process.pid)}`;
    let descriptor: number | undefined;
    try {
      await unlink(temporary).catch(() => undefined);
      descriptor = openSync(temporary, 'wx+', 0o644);
      writeSync(descriptor, this.#mine);
      await take(temporary);
      return descriptor;
    } catch (error) {
      if (descriptor !== undefined) closeSync(descriptor);
      if (error instanceof BridgeError) throw error;
      const why = `can't be written: ${reasonOf(error)}`;
      throw new BridgeError('ERR_PID_FILE', `--pid-file ${this.path} ${why}`);
    } finally {
      await unlink(temporary).catch(() => undefined);
    }
  }
}

/** The process that a pid file names, if it runs fcgi2cgi. @throws BridgeError `ERR_PID_FILE` */
export async function runningDaemon(path: string): Promise<number> {
  const failed = (why: string): BridgeError => new BridgeError('ERR_PID_FILE', `${path}: ${why}`);
  const holder = await holderOf(path).catch((error: unknown) => {
    throw failed(`can't be read: ${reasonOf(error)}; is it the --pid-file of a daemon that runs?`);
  });
  if (!(holder > 0)) throw failed('it names no process; is it the --pid-file of a daemon that runs?');
  if (await isDaemon(holder)) return holder;
  throw failed(
    `no fcgi2cgi runs as process ${String(holder)}; it may have crashed, or the file may be another one's`,
  );
}

async function holderOf(path: string): Promise<number> {
  return Number.parseInt(await readSmall(path), 10);
}

async function takeOver(path: string, temporary: string): Promise<void> {
  while (!(await tryLink(temporary, path))) {
    const found = await readSmall(path).catch((error: unknown) => {
      if (systemCodeOf(error) !== 'ENOENT') throw error;
      return undefined;
    });
    if (found === undefined) {
      // Gone by now: its holder has just ended. A link to nothing stays.
      if ((await lstat(path).catch(() => undefined))?.isSymbolicLink() !== true) continue;
      throw new BridgeError(
        'ERR_PID_FILE',
        `--pid-file ${path} is a link to a missing file: remove the link`,
      );
    }
    const holder = Number.parseInt(found, 10);
    if (await isDaemon(holder)) throw alreadyRunning(path, holder);
    await takeAway(path, found, `${temporary}.stale`);
  }
}

/** Removes a file that nobody holds, unless another one that starts as well has put its own there meanwhile. */
async function takeAway(path: string, stale: string, taken: string): Promise<void> {
  try {
    await rename(path, taken);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return;
    throw error;
  }
  const content = await readSmall(taken);
  if (content !== stale) await tryLink(taken, path);
  await unlink(taken);
  if (content !== stale) throw alreadyRunning(path, Number.parseInt(content, 10));
}

function alreadyRunning(path: string, holder: number): BridgeError {
  return new BridgeError('ERR_PID_FILE', `--pid-file ${path}: already running as process ${String(holder)}`);
}

/** Whether a process of that id runs that may be a daemon of fcgi2cgi: after a crash its number may be anybody's. */
async function isDaemon(pid: number): Promise<boolean> {
  if (!(pid > 0) || pid === process.pid || !exists(pid)) return false;
  const ps = await run('ps', ['-p', String(pid), '-o', 'args=']).catch(() => undefined);
  // A ps that is missing or does not know proves nothing, and two daemons would be worse than none.
  if (ps === undefined) return true;
  // The program, not a file of its name that an editor shows.
  return ps.stdout.includes(` ${String(process.argv[1])} `) || /^\S+ \S*\/bin\/fcgi2cgi /.test(ps.stdout);
}
