/** The real fcgiwrap, on a Unix socket of its own; it ends with the tests of the file. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { after } from 'node:test';

import { until } from './processes.js';
import { temporaryDirectory } from './temporary.js';

const started: ChildProcess[] = [];

after(async () => {
  for (const child of started) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
});

/** Starts fcgiwrap so that it sends standard error to the web server (`-f`); gives its socket's path. */
export async function startFcgiwrap(env: NodeJS.ProcessEnv): Promise<string> {
  const socket = join(await temporaryDirectory(), 'fcgiwrap');
  const child = spawn('/usr/sbin/fcgiwrap', ['-f', '-s', `unix:${socket}`], { stdio: 'ignore', env });
  started.push(child);
  await until(() => accepts(socket));
  return socket;
}

/** Whether somebody listens: the socket's file is there a moment before. */
async function accepts(path: string): Promise<boolean> {
  const probe = createConnection(path);
  const connected = once(probe, 'connect').then(
    () => true,
    () => false,
  );
  return connected.finally(() => probe.destroy());
}
