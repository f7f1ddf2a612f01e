/** Directories for what must not outlive this process. What one leaves that is killed, the next daemon clears away. */

import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { systemCodeOf } from '../base/errors.js';

/** Linux keeps what is in there in memory. */
export const MEMORY = '/dev/shm';

/** Begins the name of all that is made where others make theirs. */
export const PREFIX = 'fcgi2cgi-';

/** A socket in the directory of a process, on which that process listens while it lives, whatever its number is. */
export const ALIVE = 'alive';

/** The directories of this process, by where they lie. */
const own = new Map<string, Promise<string>>();

/** Makes one below `base` for this process alone (0700), or below where TMPDIR says; the caller removes it. */
export async function makePrivateDirectory(base = tmpdir()): Promise<string> {
  for (let isSecond = false; ; isSecond = true) {
    const directory = own.get(base) ?? makeOwn(base);
    own.set(base, directory);
    try {
      return await mkdtemp(`${await directory}/`);
    } catch (error) {
      // An administrator may have cleaned up there.
      own.delete(base);
      if (isSecond || systemCodeOf(error) !== 'ENOENT') throw error;
    }
  }
}

async function makeOwn(base: string): Promise<string> {
  const directory = await mkdtemp(join(base, PREFIX));
  process.once('exit', () => {
    rmSync(directory, { recursive: true, force: true });
  });
  const server = createServer((connection) => connection.destroy()).unref();
  // A connection that it fails to accept is no loss.
  server.on('error', () => undefined);
  server.listen(join(directory, ALIVE));
  // Where the path is too long for a socket, nobody clears away what is left.
  await once(server, 'listening').catch(() => undefined);
  return directory;
}
