/** Real web servers at a port of loopback, each in a directory of its own: all that tests, soak and bench have. */

import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { processesIn, programOf, vanished } from './processes.js';
import { type WebServerName, webServers } from './webserver-table.js';

export type { WebServerName } from './webserver-table.js';

const start = fileURLToPath(new URL('../../../scripts/webservers/run/start', import.meta.url));

export interface WebServer {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** An example of scripts/webservers, and where this one has what the example has at an administrator's places. */
export interface Example {
  readonly site?: 'hg' | 'git' | 'git-markers' | 'cgit' | 'several';
  /** The web server's own directory is made here. */
  readonly directory: string;
  readonly documentRoot: string;
  /** Of `addressesFor`: the directory of the bridge's sockets, or its address; of `several`, the machines' network. */
  readonly sockets: string;
  /** Whom it knows; all of them have the password `secret`. */
  readonly users?: readonly string[];
}

/** Starts a web server with the configuration that the README shows. */
export async function startWebServer(
  name: WebServerName,
  { directory, documentRoot, sockets, site = 'hg', users = [] }: Example,
): Promise<WebServer> {
  const own = join(directory, name);
  await mkdir(own, { recursive: true });
  const lines = users.map((user) => `${webServers[name].user(user)}\n`);
  await writeFile(join(own, `${site.replace('-markers', '')}.htpasswd`), lines.join(''));
  return run(name, own, await freePort(), [documentRoot, sockets], site);
}

/**
 * Starts a web server with settings of the caller's, in its own language, within what scripts/webservers/run has
 * around every site. They listen at port 80, where they say so at all: it becomes `port`. Without `directory` it has
 * one that is removed when it has been stopped.
 */
export async function startWebServerWith(
  name: WebServerName,
  settings: string,
  { directory, port }: { directory?: string; port?: number } = {},
): Promise<WebServer> {
  const own = directory ?? (await mkdtemp(join(tmpdir(), 'fcgi2cgi-test-')));
  await mkdir(own, { recursive: true });
  const remove = async (): Promise<void> => {
    if (directory === undefined) await rm(own, { recursive: true });
  };
  const file = join(own, 'settings');
  await writeFile(file, `${settings}\n`);
  try {
    const web = await run(name, own, port ?? (await freePort()), ['/nowhere', '/nowhere'], file);
    return { ...web, stop: () => web.stop().then(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Starts a web server with the least settings that have it pass every request to a socket's path, or HOST:PORT. */
export function startPassing(name: WebServerName, address: string): Promise<WebServer> {
  return startWebServerWith(name, webServers[name].passing(address));
}

/** Where a bridge listens (`--listen`) for a web server, and what that is told of it as `sockets`. */
export async function addressesFor(
  name: WebServerName,
  directory: string,
): Promise<{ readonly listen: readonly [string, ...string[]]; readonly sockets: string }> {
  if (webServers[name].isOverTcp !== true)
    return { listen: [`${directory}/sock`, `${directory}/dirsock`], sockets: directory };
  const address = `127.0.0.1:${String(await freePort())}`;
  return { listen: [address], sockets: address };
}

async function run(
  name: WebServerName,
  directory: string,
  port: number,
  [documentRoot, sockets]: readonly [string, string],
  site: string,
): Promise<WebServer> {
  const log = (): Promise<string> => readFile(join(directory, 'error.log'), 'utf8');
  const web = await startProgram(
    start,
    [name, directory, documentRoot, sockets, String(port), site],
    port,
    log,
  );
  return {
    ...web,
    stop: async () => {
      const program = programOf(web.pid);
      await web.stop();
      // An Apache that is told to end while it begins leaves a process manager of mod_fcgid that never ends.
      const left = processesIn(directory).filter((pid) => programOf(pid) === program);
      for (const pid of left) process.kill(pid, 'SIGKILL');
      await Promise.all(left.map(vanished));
    },
  };
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
