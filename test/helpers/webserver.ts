/** Real web servers, with the configurations that the README shows. */

import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const start = fileURLToPath(new URL('../../../scripts/webservers/run/start', import.meta.url));

export type WebServerName = 'lighttpd' | 'nginx' | 'apache';

export interface WebServer {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/**
 * A TCP port that was free a moment ago, and is not given again in this process. It lies below those that Linux gives
 * to outgoing connections (ip_local_port_range), any of which could take it before a program listens there.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_768);
    if (!given.has(port) && (await isFree(port))) return port;
  }
}

const given = new Set<number>();

async function isFree(port: number): Promise<boolean> {
  given.add(port);
  const server = createServer();
  try {
    await once(server.listen(port), 'listening');
  } catch {
    return false;
  }
  await once(server.close(), 'close');
  return true;
}

/** Starts a web server in a directory of its own; resolves when it accepts connections. */
export async function startWebServer(
  name: WebServerName,
  {
    directory,
    documentRoot,
    sockets,
    site = 'hg',
  }: {
    directory: string;
    documentRoot: string;
    sockets: string;
    site?: 'hg' | 'git' | 'git-markers' | 'cgit';
  },
): Promise<WebServer> {
  const own = join(directory, name);
  await mkdir(own, { recursive: true });
  const port = await freePort();
  return startProgram(start, [name, own, documentRoot, sockets, String(port), site], port, () =>
    readFile(join(own, 'error.log'), 'utf8'),
  );
}

/** Starts a program that serves HTTP on a port of loopback; resolves when it accepts connections. */
export async function startProgram(
  file: string,
  args: readonly string[],
  port: number,
  log: () => Promise<string> = () => Promise.resolve(''),
  env: NodeJS.ProcessEnv = process.env,
): Promise<WebServer> {
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'], env });
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text));
  const exited = once(child, 'exit');
  while (!(await accepts(port))) {
    if (child.exitCode !== null) {
      throw new Error(`${file} did not start: ${complaints}${await log().catch(() => '')}`);
    }
    await delay(20);
  }
  return {
    url: `http://127.0.0.1:${String(port)}`,
    pid: child.pid ?? 0,
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection({ port, host: '127.0.0.1' });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => {
      resolve(false);
    });
  });
}
