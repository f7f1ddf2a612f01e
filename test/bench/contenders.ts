/** The table of what is compared: each row knows which sites it can serve, and starts a process of its own for one. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { startBridge } from '../helpers/bridge.js';
import { startApache, startLighttpd } from '../helpers/front-ends.js';
import { until } from '../helpers/processes.js';
import { freePort, startProgram, type WebServer } from '../helpers/webserver.js';
import type { Place, Site } from './sites.js';

/** One contender serving one site. */
export interface Instance {
  /** Its process and all below it are what it costs. */
  readonly pid: number;
  /** Where nginx passes requests on to. */
  readonly upstream:
    { readonly kind: 'fastcgi'; readonly socket: string } | { readonly kind: 'http'; readonly url: string };
  stop(): Promise<unknown>;
}

export interface Contender {
  readonly name: string;
  readonly serves: (site: Site) => boolean;
  readonly start: (site: Site, place: Place) => Promise<Instance>;
}

/** More than the connections of any work: nobody is to wait for a place. */
const PROCESSES = 32;

const all = (): boolean => true;

const directoryFor = ({ directory }: Place, name: string, site: Site): string => {
  const own = join(directory, `${name}-${site.name}`);
  mkdirSync(own);
  return own;
};

/** Names and values of a site's environment, each in this form. */
const variables = (site: Site, form: (name: string, value: string) => string): string[] =>
  Object.entries(site.environment).map(([name, value]) => form(name, value));

const startOurs = async (site: Site, place: Place, ...options: string[]): Promise<Instance> => {
  const socket = join(directoryFor(place, ['ours', ...options].join('-').replaceAll('--', ''), site), 'sock');
  const command = site.name === 'hg' ? ['hg', '--repos', place.hgRepos] : ['script', site.script];
  const own = ['--listen', socket, '--max-processes', String(PROCESSES)];
  const [subcommand = '', ...rest] = command;
  const bridge = await startBridge([subcommand, ...own, ...options, ...rest]);
  return { pid: bridge.process.pid ?? 0, upstream: { kind: 'fastcgi', socket }, stop: () => bridge.stop() };
};

const startFcgiwrap = async (site: Site, place: Place): Promise<Instance> => {
  const socket = join(directoryFor(place, 'fcgiwrap', site), 'sock');
  const args = ['-c', String(PROCESSES), '-s', `unix:${socket}`];
  const child = spawn('/usr/sbin/fcgiwrap', args, { stdio: 'ignore', detached: true });
  const { pid } = child;
  if (pid === undefined) throw new Error('fcgiwrap could not be started');
  const exited = once(child, 'exit');
  await until(() => accepts(socket));
  return {
    pid,
    upstream: { kind: 'fastcgi', socket },
    stop: () => {
      // To its group: it does not tell its processes, which would live on.
      process.kill(-pid, 'SIGTERM');
      return exited;
    },
  };
};

const behind = (server: WebServer, path: string): Instance => ({
  pid: server.pid,
  upstream: { kind: 'http', url: `${server.url}${path}` },
  stop: () => server.stop(),
});

const startModCgi = async (site: Site, place: Place): Promise<Instance> => {
  const settings = `server.document-root = "${place.cgi}"
server.modules = ( "mod_setenv", "mod_cgi" )
server.stream-response-body = 2
server.stream-request-body = 2
cgi.assign = ( "" => "" )
setenv.set-environment = ( ${variables(site, (name, value) => `"${name}" => "${value}"`).join(', ')} )`;
  return behind(await startLighttpd(directoryFor(place, 'lighttpd', site), settings), `/${site.name}`);
};

const startModCgid = async (site: Site, place: Place): Promise<Instance> => {
  const directory = directoryFor(place, 'apache', site);
  const directives = `ScriptSock ${directory}/cgid
ScriptAlias "/" "${place.cgi}/"
MaxRequestWorkers 50
${variables(site, (name, value) => `SetEnv ${name} "${value}"`).join('\n')}`;
  return behind(await startApache(directory, ['alias', 'env', 'cgid'], directives), `/${site.name}`);
};

const startHgServe = async (_: Site, place: Place): Promise<Instance> => {
  const port = await freePort();
  const args = ['serve', '--web-conf', place.hgConfig, '-a', '127.0.0.1', '-p', String(port)];
  const env = { ...process.env, HGPLAIN: '1', HGRCPATH: '' };
  return behind(await startProgram('hg', args, port, undefined, env), '');
};

/** The first one is ours; it is what the others are compared with. */
export const contenders: readonly Contender[] = [
  { name: 'ours', serves: all, start: (site, place) => startOurs(site, place) },
  { name: 'fcgiwrap', serves: all, start: startFcgiwrap },
  { name: 'lighttpd mod_cgi', serves: all, start: startModCgi },
  { name: 'Apache mod_cgid', serves: all, start: startModCgid },
  { name: 'hg serve', serves: ({ name }) => name === 'hg', start: startHgServe },
];

/** Whether somebody listens: the socket's file is there a moment before. */
async function accepts(path: string): Promise<boolean> {
  const probe = createConnection(path);
  const connected = once(probe, 'connect').then(
    () => true,
    () => false,
  );
  return connected.finally(() => probe.destroy());
}
