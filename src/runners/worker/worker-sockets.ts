/** The sockets of a pool's workers, in a directory that nobody else gets to. */

import { once } from 'node:events';
import { renameSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';

import { BridgeError, reasonOf, systemCodeOf } from '../../base/errors.js';
import { makePrivateDirectory } from '../private-directory.js';

/** What the system or Node says where the directory of a socket is gone. */
const noDirectory: ReadonlySet<string> = new Set(['ENOENT', 'EACCES']);

/** Owns the directory until `close` has resolved; each socket is its asker's. */
export class WorkerSockets {
  /** Undefined where the next socket needs a new one. */
  #directory: Promise<string> | undefined;

  /** @throws BridgeError `ERR_START` where no directory can be made. */
  async open(): Promise<void> {
    try {
      // It has the permissions 0700.
      await (this.#directory = makePrivateDirectory());
    } catch (error) {
      const reason = `no directory for the workers’ sockets could be made: ${reasonOf(error)}`;
      throw new BridgeError('ERR_START', reason, { cause: error });
    }
  }

  /**
   * A socket that listens, which `leave` closes, and whose file has its name only then; its directory is made again if something has cleaned up there.
   *
   * @throws BridgeError `ERR_SPAWN`
   */
  async listen(name: string): Promise<{ readonly server: Server; readonly path: string }> {
    for (let isSecond = false; ; isSecond = true) {
      const made = (this.#directory ??= makePrivateDirectory());
      let path = name;
      try {
        path = join(await made, name);
        const server = createServer();
        server.listen(path);
        await once(server, 'listening');
        await rename(path, aside(path));
        return { server, path };
      } catch (error) {
        const isGone = noDirectory.has(systemCodeOf(error) ?? '');
        if (isGone && this.#directory === made) this.#directory = undefined;
        if (isGone && !isSecond) continue;
        const reason = `no socket for a worker could be made at ${path}: ${reasonOf(error)}`;
        throw new BridgeError('ERR_SPAWN', reason, { cause: error });
      }
    }
  }

  async close(): Promise<void> {
    const directory = await this.#directory?.catch(() => undefined);
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  }
}

const aside = (path: string): string => `${path}.kept`;

/**
 * Closes our end, and gives the file its name, which cleaners of /tmp look for in /proc/net/unix. Closing removes what has
 * the name that the socket was made with: until then the file has another.
 */
export function leave(server: Server, path: string): void {
  server.close();
  try {
    renameSync(aside(path), path);
  } catch {
    // It is gone: who connects will notice.
  }
}
