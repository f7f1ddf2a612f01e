/** Everything that a soak runs: two daemons, five web servers before them, repositories; and its end. */

import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ask } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { succeed } from '../helpers/command.js';
import { freePort, startWebServer, startWebServerWith, type WebServer } from '../helpers/webserver.js';
import { DESCRIPTORS } from './scripts.js';
import { Watched } from './watched.js';

/** Small, so that streams can exceed it. */
export const MAX_REQUESTS = 8;
/** What a body without a length may have for hgweb. */
export const MAX_SPOOL_BYTES = 262_144;
/** Long enough for any script that does not hang, on a machine that has a lot to do. */
const HANGS = ['--start-timeout', '10s', '--idle-timeout', '15s'];
const common = [...HANGS, '--kill-grace', '1s', '--queue-timeout', '1m', '--max-requests-per-connection'];

export interface FrontEnd {
  readonly name: string;
  readonly url: string;
}

export interface Stage {
  readonly dir: Watched;
  readonly hg: Watched;
  /** Where the scripts are. */
  readonly root: string;
  /** Before the scripts. */
  readonly webServers: readonly FrontEnd[];
  /** Before the repositories, with the configurations of the README. */
  readonly hgWebServers: readonly FrontEnd[];
  /** The id of the published repository's tip. */
  readonly tip: string;
  /** What a script that lists its descriptors prints. */
  readonly descriptors: string;
  /** For clones. */
  readonly scratch: string;
  /** Ends the web servers and waits for it. */
  stopWebServers(): Promise<void>;
  /** Ends all, in any case, and removes its files. */
  remove(): Promise<void>;
}

/** Starts all of it, in a directory of its own. */
export async function setStage(): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), 'fcgi2cgi-soak-'));
  const root = join(directory, 'cgi');
  const scratch = join(directory, 'scratch');
  mkdirSync(scratch);
  cpSync(fixture('cgi'), root, { recursive: true });
  const daemons: Watched[] = [];
  const webServers: WebServer[] = [];
  const stopWebServers = async (): Promise<void> => {
    await Promise.all(webServers.splice(0).map((server) => server.stop()));
  };
  const remove = async (): Promise<void> => {
    for (const daemon of daemons) daemon.kill();
    await stopWebServers();
    rmSync(directory, { recursive: true, force: true });
  };
  const web = async (name: string, starting: Promise<WebServer>): Promise<FrontEnd> => {
    const started = await starting;
    webServers.push(started);
    return { name, url: started.url };
  };

  try {
    const { repos, markers, tip } = await makeRepository(directory);
    // The name that the README's configurations of web servers have for the socket.
    const sites = ['hg', '--repos', repos, '--markers', markers, '--max-spool-size'];
    const hg = await Watched.start({
      directory: join(directory, 'hg'),
      args: [
        ...sites,
        `${String(MAX_SPOOL_BYTES)}b`,
        '--listen',
        join(directory, 'hg/dirsock'),
        ...common,
        '64',
      ],
    });
    daemons.push(hg);
    // Apache's user can't reach a socket in this directory.
    const tcp = `127.0.0.1:${String(await freePort())}`;
    const dir = await Watched.start({
      directory: join(directory, 'dir'),
      args: ['dir', '--root', root, '--listen', tcp, ...common, String(MAX_REQUESTS)],
    });
    daemons.push(dir);
    const listing = await ask(dir.socket, { SCRIPT_FILENAME: `${root}/${DESCRIPTORS}` });
    const descriptors = listing.stdout.slice(listing.stdout.indexOf('\n\n') + 2);
    const hgPlace = { directory, documentRoot: markers, sockets: join(directory, 'hg') };
    return {
      ...{ dir, hg, root, tip, descriptors, scratch, stopWebServers, remove },
      webServers: [
        ...(await startNginxes(directory, root, dir.socket, web)),
        await web(
          'lighttpd',
          startWebServerWith('lighttpd', lighttpdFor(root, dir.socket), {
            directory: join(directory, 'lighttpd-dir'),
          }),
        ),
        await web(
          'Apache',
          startWebServerWith('apache', `ProxyPass "/" "fcgi://${tcp}${root}/"`, {
            directory: join(directory, 'apache-dir'),
          }),
        ),
      ],
      hgWebServers: [
        await web('lighttpd', startWebServer('lighttpd', hgPlace)),
        await web('nginx', startWebServer('nginx', hgPlace)),
      ],
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function makeRepository(
  directory: string,
): Promise<{ readonly repos: string; readonly markers: string; readonly tip: string }> {
  const env = { ...process.env, HGPLAIN: '1', HGRCPATH: '' };
  const repos = join(directory, 'repos');
  const markers = join(directory, 'www');
  const repository = join(repos, 'history');
  for (const path of [repository, markers]) mkdirSync(path, { recursive: true });
  await succeed('hg', ['init', repository], { env });
  await succeed('hg', ['-R', repository, 'debugbuilddag', '--new-file', '+100'], { env });
  for (const name of ['history.hg', 'index.fcgi']) writeFileSync(join(markers, name), '');
  return {
    repos,
    markers,
    tip: await succeed('hg', ['-R', repository, 'id', '-i', '--debug', '-r', 'tip'], { env }),
  };
}

type StartFrontEnd = (name: string, starting: Promise<WebServer>) => Promise<FrontEnd>;

/** One nginx: as it comes; passing bodies on as they come; and with connections that are kept. */
async function startNginxes(
  directory: string,
  root: string,
  socket: string,
  web: StartFrontEnd,
): Promise<FrontEnd[]> {
  const ports = [await freePort(), await freePort(), await freePort()];
  const [port = 0] = ports;
  const params = `include /etc/nginx/fastcgi_params;
    fastcgi_param SCRIPT_FILENAME ${root}$fastcgi_script_name;`;
  const pass = [
    `fastcgi_pass unix:${socket};`,
    `fastcgi_pass unix:${socket}; fastcgi_request_buffering off; fastcgi_buffering off;`,
    'fastcgi_pass kept; fastcgi_keep_conn on;',
  ];
  const servers = ports.map(
    (each, index) => `server {
    listen 127.0.0.1:${String(each)};
    location / { ${params} ${String(pass[index])} }
  }`,
  );
  const http = `client_max_body_size 0;
  upstream kept { server unix:${socket}; keepalive 4; }\n  ${servers.join('\n  ')}`;
  const place = { directory: join(directory, 'nginx-dir'), port };
  await web('nginx', startWebServerWith('nginx', http, place));
  const names = ['nginx', 'nginx, unbuffered', 'nginx, kept connections'];
  return names.map((name, index) => ({ name, url: `http://127.0.0.1:${String(ports[index])}` }));
}

function lighttpdFor(root: string, socket: string): string {
  return `server.document-root := "${root}"
server.modules += ( "mod_fastcgi" )
server.stream-response-body = 1
fastcgi.server = ( "/" => (( "socket" => "${socket}", "check-local" => "disable" )) )`;
}
