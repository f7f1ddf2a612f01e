/** Bridges that are started with a listening socket as one of their descriptors. */

import { spawn } from 'node:child_process';

import { type Bridge, commandLine } from './bridge.js';

/** Opens a listening Unix socket as descriptor argv[2] at path argv[1], then becomes the rest of the arguments. */
const withDescriptor = `import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()
n = int(sys.argv[2])
if s.fileno() == n: os.set_inheritable(n, True)
else: os.dup2(s.fileno(), n)
os.execvp(sys.argv[3], sys.argv[3:])`;

/** The command that starts the bridge with a socket listening at `path` as its descriptor. */
export function commandWithDescriptor(path: string, descriptor: number, args: readonly string[]): string[] {
  return ['/usr/bin/python3', '-c', withDescriptor, path, String(descriptor), ...commandLine(args)];
}

/** Runs a command that becomes the bridge, as `spawn-fcgi -n` does; resolves when it listens. */
export async function startThrough(
  command: readonly string[],
): Promise<Pick<Bridge, 'process' | 'log' | 'stop'>> {
  const [file = '', ...args] = command;
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  await new Promise<void>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      if (log.includes(' info listening ')) resolve();
    });
    child.once('error', reject);
    child.once('close', () => {
      reject(new Error(`${file} ended and printed:\n${log}`));
    });
  });
  return {
    process: child,
    log: () => log,
    stop: () => {
      child.kill('SIGTERM');
      return exited;
    },
  };
}
