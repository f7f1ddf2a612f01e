/** The pid file: one daemon holds it, and it is gone when the daemon is. */

import { execFile } from 'node:child_process';
import { link, readFile, unlink, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import { BridgeError, reasonOf, systemCodeOf } from '../errors.js';

const run = promisify(execFile);

/**
 * Writes this process's id to `path`, which appears complete or not at all. Resolves to what removes it again.
 *
 * @throws BridgeError `ERR_PID_FILE` if a running daemon holds it or it can't be written.
 */
export async function holdPidFile(path: string): Promise<() => Promise<void>> {
  const mine = `${String(process.pid)}\n`;
  const temporary = `${path}.${String(process.pid)}`;
  try {
    await writeFile(temporary, mine, { mode: 0o644 });
    await takeOver(path, temporary);
  } catch (error) {
    if (error instanceof BridgeError) throw error;
    throw new BridgeError('ERR_PID_FILE', `--pid-file ${path} can't be written: ${reasonOf(error)}`);
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
  return async () => {
    // Somebody may have put another one there.
    if ((await readFile(path, 'utf8').catch(() => '')) === mine) await unlink(path).catch(() => undefined);
  };
}

async function takeOver(path: string, temporary: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    if (systemCodeOf(error) !== 'EEXIST') throw error;
    const holder = Number.parseInt(await readFile(path, 'utf8'), 10);
    if (await isDaemon(holder)) {
      throw new BridgeError(
        'ERR_PID_FILE',
        `--pid-file ${path}: already running as process ${String(holder)}`,
      );
    }
    await unlink(path);
    await link(temporary, path);
  }
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
  // A ps that is missing or does not know proves nothing, and two daemons would be worse than none.
  const { stdout } = await run('ps', ['-p', String(pid), '-o', 'args=']).catch(() => ({
    stdout: 'fcgi2cgi',
  }));
  return stdout.includes('fcgi2cgi') || stdout.includes(String(process.argv[1]));
}
