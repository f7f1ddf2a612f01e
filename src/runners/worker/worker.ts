/** One worker of a pool: a FastCGI application with a listening Unix socket of its own as descriptor 0; and what it says. */

import { unlink } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

import { descriptorOf } from '../../posix/descriptors.js';
import type { Command } from '../../process/command.js';
import type { OwnedProcess } from '../../process/owned-process.js';
import { startOnDescriptor } from '../../process/start-process.js';
import type { WorkerProcess } from './supervisor.js';
import { leave, type WorkerSockets } from './worker-sockets.js';

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
