/** One worker of a pool: a FastCGI application with a listening Unix socket of its own as descriptor 0; and what it says. */

import { once } from 'node:events';
import { renameSync } from 'node:fs';
import { rename, rm, unlink } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

import { BridgeError, reasonOf, systemCodeOf } from '../../base/errors.js';
import { descriptorOf } from '../../posix/descriptors.js';
import type { Command } from '../../process/command.js';
import type { OwnedProcess } from '../../process/owned-process.js';
import { startOnDescriptor } from '../../process/start-process.js';
import { makePrivateDirectory } from '../private-directory.js';
import type { WorkerProcess } from './supervisor.js';

export interface Worker extends WorkerProcess {
  /** Of its socket, which nobody but us connects to. */
  readonly path: string;
  readonly stdout: OwnedProcess['stdout'];
  readonly stderr: OwnedProcess['stderr'];
}

/**
 * Starts a worker on a socket of this name; the file is gone when the process is. Its starter reads `stdout` and `stderr`,
 * and begins at once: Node throws away what a process that has ended has written for no reader.
 *
 * @throws BridgeError `ERR_SPAWN`
 */
export async function startWorker(command: Command, sockets: WorkerSockets, name: string): Promise<Worker> {
  const { server, path } = await sockets.listen(name);
  // We never accept: nobody connects before we have left.
  const starting = startOnDescriptor(command, descriptorOf(server) ?? -1).finally(() => {
    leave(server, path);
  });
  const remove = (): Promise<void> => unlink(path).catch(() => undefined);
  const started = await starting.catch(async (error: unknown) => {
    await remove();
    throw error;
  });
  const { pid, stdout, stderr } = started;
  const exited = started.exited.then(async (exit) => {
    await remove();
    return exit;
  });
  return { pid, stdout, stderr, path, exited, terminate: (graceMs) => started.terminate(graceMs) };
}

/** Of a line that does not end; then it is cut. */
const MAX_LINE_LENGTH = 4_096;

/** Calls `onLine` with each line of the stream as text, without its end and without empty ones, until it ends. */
export function eachLine(stream: Readable, onLine: (line: string) => void): void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  const take = (text: string, isLast: boolean): void => {
    const lines = (rest + text).split(/\r?\n/);
    rest = isLast ? '' : (lines.pop() ?? '');
    if (rest.length > MAX_LINE_LENGTH) {
      lines.push(rest);
      rest = '';
    }
    for (const line of lines) {
      for (let start = 0; start < line.length; start += MAX_LINE_LENGTH) {
        onLine(line.slice(start, start + MAX_LINE_LENGTH));
      }
    }
  };
  stream.on('data', (chunk: Buffer) => {
    take(decoder.write(chunk), false);
  });
  stream.once('close', () => {
    take(decoder.end(), true);
  });
  stream.on('error', () => undefined);
}

/** What the system or Node says where the directory of a socket is gone. */
const noDirectory: ReadonlySet<string> = new Set(['ENOENT', 'EACCES']);

/**
 * The sockets of a pool's workers, in a directory that nobody else gets to. Owns the directory until `close` has
 * resolved; each socket is its asker's.
 */
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
   * A socket that listens, which `leave` closes, and whose file has its name only then; its directory is made again if
   * something has cleaned up there.
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
function leave(server: Server, path: string): void {
  server.close();
  try {
    renameSync(aside(path), path);
  } catch {
    // It is gone: who connects will notice.
  }
}
