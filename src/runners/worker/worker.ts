/** One worker of a pool: a FastCGI application with a listening Unix socket of its own as descriptor 0; and what it says. */

import { once } from 'node:events';
import { rename, unlink } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

import { BridgeError, reasonOf } from '../../base/errors.js';
import { descriptorOf } from '../../posix/descriptors.js';
import type { Command } from '../../process/command.js';
import type { OwnedProcess } from '../../process/owned-process.js';
import { startOnDescriptor } from '../../process/start-process.js';
import type { WorkerProcess } from './supervisor.js';

export interface Worker extends WorkerProcess {
  /** Of its socket, which nobody but us connects to. */
  readonly path: string;
  readonly stdout: OwnedProcess['stdout'];
  readonly stderr: OwnedProcess['stderr'];
}

/**
 * Starts a worker whose socket is `name` in `directory`; the file is gone when the process is. Its starter reads
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
    const started = await startOnDescriptor(command, descriptorOf(server) ?? -1);
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
