/** The real fcgiwrap, on a Unix socket of its own; it ends with the tests of the file. */

import { join } from 'node:path';
import { after } from 'node:test';

import { type FastcgiProgram, startFastcgiProgram } from './fastcgi-program.js';
import { temporaryDirectory } from './temporary.js';

const started: FastcgiProgram[] = [];

after(async () => {
  for (const { stop } of started) await stop();
});

/** Starts fcgiwrap so that it sends standard error to the web server (`-f`); gives its socket's path. */
export async function startFcgiwrap(env: NodeJS.ProcessEnv): Promise<string> {
  const socket = join(await temporaryDirectory(), 'fcgiwrap');
  const end = (pid: number): void => void process.kill(pid, 'SIGTERM');
  started.push(
    await startFastcgiProgram(['/usr/sbin/fcgiwrap', '-f', '-s', `unix:${socket}`], socket, { env, end }),
  );
  return socket;
}
