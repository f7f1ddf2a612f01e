/** FastCGI applications of others, which make their sockets themselves. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection } from 'node:net';

import { isRunning, until } from './processes.js';

/** For one that has been told to end. */
const PATIENCE_MS = 5_000;

export interface FastcgiProgram {
  /** It leads a process group of its own. */
  readonly pid: number;
  /** Resolves when it has ended. */
  readonly stop: () => Promise<void>;
}

/** Starts it; resolves when it listens on the socket of that path. `end` tells it to end: whoever starts it stops it. */
export async function startFastcgiProgram(
  [file = '', ...args]: readonly string[],
  socket: string,
  { env = process.env, end }: { env?: NodeJS.ProcessEnv; end: (pid: number) => void },
): Promise<FastcgiProgram> {
  const child = spawn(file, args, { stdio: 'ignore', detached: true, env });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${file} could not be started`);
  const exited = once(child, 'exit');
  await until(() => accepts(socket));
  const stop = async (): Promise<void> => {
    if (!isRunning(pid)) return;
    end(pid);
    const patience = setTimeout(() => process.kill(-pid, 'SIGKILL'), PATIENCE_MS);
    await exited;
    clearTimeout(patience);
  };
  return { pid, stop };
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
