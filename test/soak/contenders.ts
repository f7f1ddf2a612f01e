/** Those who are compared under overload: the bridge and fcgiwrap, behind one nginx. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { startBridge } from '../helpers/bridge.js';
import { succeed } from '../helpers/command.js';
import { until } from '../helpers/processes.js';
import { freePort } from '../helpers/webserver.js';
import { get } from './many-clients.js';

const FCGIWRAP_PROCESSES = 32;
/** Linux counts processor time in hundredths of a second. */
const MS_PER_TICK = 10;

const scripts = {
  trivial: '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\nhello"\n',
  slow: '#!/bin/sh\nsleep 0.5\nprintf "Content-Type: text/plain\\r\\n\\r\\nhello"\n',
} as const;

/** What is asked below `/NAME/`, and what it costs. */
export interface Contender {
  readonly name: 'bridge' | 'fcgiwrap';
  cpuMs(): number;
  logLines(): number;
}

/** Starts them in a directory, for scripts `trivial`, `slow` and `hgweb`; adds to `ends` what ends them, last one first. */
export async function startContenders(
  directory: string,
  ends: (() => unknown)[],
): Promise<{ url: URL; contenders: readonly Contender[] }> {
  const root = join(directory, 'cgi');
  await succeed('mkdir', [root]);
  for (const [name, text] of Object.entries({ ...scripts, hgweb: await hgwebScript(directory) })) {
    writeFileSync(join(root, name), text, { mode: 0o755 });
  }
  const sockets = { bridge: join(directory, 'bridge'), fcgiwrap: join(directory, 'fcgiwrap') };
  const bridge = await startBridge(['dir', '--root', root, '--listen', sockets.bridge]);
  ends.push(() => {
    bridge.process.kill('SIGKILL');
  });
  const wrapping = ['-n', '-b', '4096', '-s', sockets.fcgiwrap, '--', '/usr/sbin/fcgiwrap'];
  const wrap = spawn('spawn-fcgi', [...wrapping, '-c', String(FCGIWRAP_PROCESSES)], {
    stdio: 'ignore',
    detached: true,
  });
  ends.push(() => {
    process.kill(-(wrap.pid ?? 0), 'SIGKILL');
  });
  await until(() => existsSync(sockets.fcgiwrap));
  const port = await freePort();
  writeFileSync(join(directory, 'nginx.conf'), nginxConf(directory, root, port, sockets));
  const nginx = spawn('nginx', ['-p', directory, '-e', 'error.log', '-c', 'nginx.conf'], {
    stdio: 'inherit',
  });
  ends.push(async () => {
    if (nginx.exitCode !== null || !nginx.kill('SIGTERM')) return;
    await once(nginx, 'exit');
  });
  const url = new URL(`http://127.0.0.1:${String(port)}`);
  for (const name of ['bridge', 'fcgiwrap']) {
    for (let status = 0; status !== 200; { status } = await get(url, `/${name}/hgweb`)) {
      if (nginx.exitCode !== null) throw new Error(`nginx has ended: ${String(nginx.exitCode)}`);
      await delay(100);
    }
  }
  const logLines = (): number => bridge.log().split('\n').length;
  return {
    url,
    contenders: [
      { name: 'bridge', cpuMs: () => cpuMsOf(bridge.process.pid ?? 0), logLines },
      { name: 'fcgiwrap', cpuMs: () => wrapperMs(wrap.pid ?? 0), logLines: () => 0 },
    ],
  };
}

/** A page of a small repository, by the hgweb that Debian has. */
async function hgwebScript(directory: string): Promise<string> {
  const repository = join(directory, 'repository');
  await succeed('hg', ['init', repository]);
  writeFileSync(join(repository, 'file'), 'text\n');
  await succeed('hg', ['-R', repository, 'commit', '-qAm', 'a changeset', '-u', 'somebody']);
  const [interpreter = ''] = readFileSync(
    (await succeed('sh', ['-c', 'command -v hg'])).trim(),
    'latin1',
  ).split('\n');
  const wsgi = 'from mercurial.hgweb import hgweb, wsgicgi';
  return `${interpreter}\n${wsgi}\nwsgicgi.launch(hgweb(${JSON.stringify(repository)}.encode()))\n`;
}

function nginxConf(
  directory: string,
  root: string,
  port: number,
  sockets: Readonly<Record<string, string>>,
): string {
  const locations = Object.entries(sockets).map(
    ([name, socket]) => `location ~ ^/${name}/([a-z]+)$ { fastcgi_pass unix:${socket};
      fastcgi_param SCRIPT_FILENAME ${root}/$1; fastcgi_param SCRIPT_NAME /${name}/$1;
      fastcgi_param REQUEST_METHOD $request_method; fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REMOTE_ADDR $remote_addr; fastcgi_param SERVER_NAME localhost; fastcgi_param SERVER_PORT ${String(port)};
      fastcgi_param SERVER_PROTOCOL $server_protocol; fastcgi_read_timeout 60s; }`,
  );
  const temporary = ['client_body', 'fastcgi', 'proxy', 'scgi', 'uwsgi'].map(
    (name) => `${name}_temp_path ${directory}/nginx-${name};`,
  );
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  return `${user} daemon off; worker_processes 2; worker_rlimit_nofile 20000; pid nginx.pid; error_log error.log crit;
    events { worker_connections 8192; }
    http { access_log off; ${temporary.join(' ')}
      server { listen 127.0.0.1:${String(port)} backlog=4096; ${locations.join('\n')} } }`;
}

/** The processor time of a process, without that of those that it has waited for. */
function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${String(pid)}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return MS_PER_TICK * (Number(fields[11]) + Number(fields[12]));
}

function wrapperMs(pid: number): number {
  const workers =
    readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, 'latin1').match(/\d+/g) ?? [];
  return workers.reduce((sum, worker) => sum + cpuMsOf(Number(worker)), 0);
}
