/** The pid file: one daemon holds it, and it is gone when the daemon is. */

import { execFile } from 'node:child_process';
import { type FileHandle, open, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import { BridgeError, reasonOf, systemCodeOf } from '../errors.js';
import { linked } from './linked.js';
import type { Identity } from './privileges.js';

const run = promisify(execFile);

/**
 * Writes this process's id to `path`, which appears complete or not at all. Resolves to what removes it again. Where root
 * is about to become `successor`, who may have no right to its directory, the file stays root's, and is at least emptied:
 * a number in a file of the user's would be anybody's to choose whom root signals.
 *
 * @throws BridgeError `ERR_PID_FILE` if a running daemon holds it or it can't be written.
 */
export async function holdPidFile(path: string, successor?: Identity): Promise<() => Promise<void>> {
  const mine = `${String(process.pid)}\n`;
  const temporary = `${path}.${String(process.pid)}`;
  let held: FileHandle | undefined;
  try {
    await writeFile(temporary, mine, { mode: 0o644 });
    if (successor !== undefined) held = await open(temporary, 'r+');
    await takeOver(path, temporary);
  } catch (error) {
    await held?.close();
    if (error instanceof BridgeError) throw error;
    throw new BridgeError('ERR_PID_FILE', `--pid-file ${path} can't be written: ${reasonOf(error)}`);
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
  return async () => {
    // Somebody may have put another one there.
    if ((await readFile(path, 'utf8').catch(() => '')) === mine) {
      await unlink(path).catch(() => held?.truncate().catch(() => undefined));
    }
    await held?.close();
  };
}

async function takeOver(path: string, temporary: string): Promise<void> {
  while (!(await linked(temporary, path))) {
    const found = await readFile(path, 'utf8').catch((error: unknown) => {
      if (systemCodeOf(error) !== 'ENOENT') throw error;
      return undefined;
    });
    // Gone by now: its holder has just ended.
    if (found === undefined) continue;
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
  const content = await readFile(taken, 'utf8');
  if (content !== stale) await linked(taken, path);
  await unlink(taken);
  if (content !== stale) throw alreadyRunning(path, Number.parseInt(content, 10));
}

function alreadyRunning(path: string, holder: number): BridgeError {
  return new BridgeError('ERR_PID_FILE', `--pid-file ${path}: already running as process ${String(holder)}`);
}

/** Whether a process of that id runs that may be a daemon of ours: after a crash its number may be anybody's. */
async function isDaemon(pid: number): Promise<boolean> {
  if (!(pid > 0) || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Anything but a process of somebody else's: there is none, or the file holds no process id at all.
    if (systemCodeOf(error) !== 'EPERM') return false;
  }
  const ps = await run('ps', ['-p', String(pid), '-o', 'args=']).catch(() => undefined);
  // A ps that is missing or does not know proves nothing, and two daemons would be worse than none.
  if (ps === undefined) return true;
  // The program, not a file of its name that an editor shows.
  return ps.stdout.includes(` ${String(process.argv[1])} `) || /^\S+ \S*\/bin\/fcgi2cgi /.test(ps.stdout);
}
