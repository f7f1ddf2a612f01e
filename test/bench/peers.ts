/** What others serve the same sites with. */

import { join } from 'node:path';

import { startFastcgiProgram } from '../helpers/fastcgi-program.js';
import { freePort, startProgram, startWebServerWith, type WebServer } from '../helpers/webserver.js';
import { type Contender, directoryFor, type Instance, PROCESSES, WORKERS } from './contender.js';
import type { Place, Site } from './sites.js';

const all = (): boolean => true;

export const peers: readonly Contender[] = [
  { name: 'fcgiwrap', roles: ['manager', 'worker', 'process'], serves: all, start: startFcgiwrap },
  { name: 'lighttpd mod_cgi', roles: ['server', 'process'], serves: all, start: startModCgi },
  { name: 'Apache mod_cgid', roles: ['manager', 'server', 'process'], serves: all, start: startModCgid },
  { name: 'hg serve', roles: ['server'], serves: (site) => site.startsWith('hg'), start: startHgServe },
  {
    name: 'gitweb --fcgi',
    roles: ['manager', 'worker'],
    serves: (site) => site.startsWith('gitweb'),
    start: startGitwebFcgi,
  },
];

/** Names and values of a site's environment, each in this form. */
function variables(site: Site, form: (name: string, value: string) => string): string[] {
  return Object.entries(site.environment).map(([name, value]) => form(name, value));
}

function startFcgiwrap(site: Site, place: Place): Promise<Instance> {
  const socket = join(directoryFor(place, 'fcgiwrap', site), 'sock');
  return startFastcgi(
    ['/usr/sbin/fcgiwrap', '-c', String(PROCESSES), '-s', `unix:${socket}`],
    socket,
    (pid) => {
      // To its group: it does not tell its processes, which would live on.
      process.kill(-pid, 'SIGTERM');
    },
  );
}

/**
 * As administrators have it who want several: multiwatch and its workers share a socket of spawn-fcgi's. Stock gitweb
 * ends after 101 requests, which multiwatch would take for failing if it were not told to be patient.
 */
function startGitwebFcgi(site: Site, place: Place): Promise<Instance> {
  const socket = join(directoryFor(place, 'multiwatch', site), 'sock');
  const application = [
    '/usr/bin/multiwatch',
    '-f',
    String(WORKERS),
    '-r',
    '1000000',
    '--',
    site.script,
    '--fcgi',
  ];
  return startFastcgi(['spawn-fcgi', '-n', '-s', socket, '--', ...application], socket, (pid) => {
    // Not to its group: it would start anew a worker that ends before it has heard of the end.
    process.kill(pid, 'SIGTERM');
  });
}

/** One that makes its socket itself. */
async function startFastcgi(
  command: readonly string[],
  socket: string,
  end: (pid: number) => void,
): Promise<Instance> {
  const { pid, stop } = await startFastcgiProgram(command, socket, { end });
  return { pid, upstream: { kind: 'fastcgi', socket }, stop };
}

function behind(server: WebServer, path: string): Instance {
  return {
    pid: server.pid,
    upstream: { kind: 'http', url: `${server.url}${path}` },
    stop: () => server.stop(),
  };
}

async function startModCgi(site: Site, place: Place): Promise<Instance> {
  const settings = `server.document-root := "${place.cgi}"
accesslog.filename := ""
server.modules += ( "mod_setenv", "mod_cgi" )
server.stream-response-body = 2
server.stream-request-body = 2
cgi.assign = ( "" => "" )
setenv.set-environment = ( ${variables(site, (name, value) => `"${name}" => "${value}"`).join(', ')} )`;
  const directory = directoryFor(place, 'lighttpd', site);
  return behind(await startWebServerWith('lighttpd', settings, { directory }), `/${site.name}`);
}

async function startModCgid(site: Site, place: Place): Promise<Instance> {
  const directory = directoryFor(place, 'apache', site);
  const directives = `${['alias', 'env', 'cgid'].map((name) => `LoadModule ${name}_module \${MODULES}/mod_${name}.so\n`).join('')}LogLevel crit
ScriptSock ${directory}/cgid
ScriptAlias "/" "${place.cgi}/"
MaxRequestWorkers 50
${variables(site, (name, value) => `SetEnv ${name} "${value}"`).join('\n')}`;
  return behind(await startWebServerWith('apache', directives, { directory }), `/${site.name}`);
}

async function startHgServe({ environment }: Site): Promise<Instance> {
  const port = await freePort();
  const args = [
    'serve',
    '--web-conf',
    environment['BENCH_HGWEB_CONFIG'] ?? '',
    '-a',
    '127.0.0.1',
    '-p',
    String(port),
  ];
  const env = { ...process.env, HGPLAIN: '1', HGRCPATH: '' };
  return behind(await startProgram('hg', args, port, undefined, env), '');
}
