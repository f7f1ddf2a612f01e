/** One worker of a pool: a FastCGI application with a listening Unix socket of its own as descriptor 0. */

import { once } from 'node:events';
import { rename, unlink } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';

import { BridgeError, reasonOf } from '../../errors.js';
import { startOnDescriptor } from '../../process/child-process.js';
import type { Command } from '../../process/command.js';
import type { OwnedProcess } from '../../process/owned-process.js';
import type { WorkerProcess } from './supervisor.js';

export interface Worker extends WorkerProcess {
  /** Of its socket, which nobody but us connects to. */
  readonly path: string;
  readonly stdout: OwnedProcess['stdout'];
  readonly stderr: OwnedProcess['stderr'];
}

/**
 * Starts a worker whose socket is `name` in `directory`; the file is gone when the process is. Whoever starts it reads
 * `stdout` and `stderr`.
 *
 * @throws BridgeError `ERR_SPAWN`
 */
export async function startWorker(command: Command, directory: string, name: string): Promise<Worker> {
  const path = join(directory, name);
  const server = await listening(`${path}.new`);
  try {
    // Closing our end removes the name that it was made with. We never accept: nobody has connected by then.
    await rename(`${path}.new`, path);
    const started = await startOnDescriptor(command, descriptorOf(server));
    const { pid, stdout, stderr } = started;
    const exited = started.exited.then(async (exit) => {
      await unlink(path).catch(() => undefined);
      return exit;
    });
    return { pid, stdout, stderr, path, exited, terminate: (graceMs) => started.terminate(graceMs) };
  } finally {
    server.close();
  }
}

async function listening(path: string): Promise<Server> {
  const server = createServer();
  server.listen(path);
  try {
    await once(server, 'listening');
    return server;
  } catch (error) {
    const reason = `no socket for a worker could be made at ${path}: ${reasonOf(error)}`;
    throw new BridgeError('ERR_SPAWN', reason, { cause: error });
  }
}

/** Node names the descriptor of a server nowhere else. */
function descriptorOf(server: Server): number {
  return (server as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;
}
