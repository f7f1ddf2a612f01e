/** Web servers with a configuration of the caller's, each in a directory of its own on a port of loopback. */

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { freePort, startProgram, type WebServer } from './webserver.js';

/** Debian keeps web servers where only root's PATH leads. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;
const isRoot = process.getuid?.() === 0;

interface Program {
  readonly file: string;
  readonly args: readonly string[];
  readonly configuration: string;
}

async function start(directory: string, port: number, program: Program): Promise<WebServer> {
  await mkdir(join(directory, 'temp'), { recursive: true });
  await writeFile(join(directory, 'configuration'), program.configuration);
  const log = (): Promise<string> => readFile(join(directory, 'error.log'), 'utf8');
  return startProgram(program.file, program.args, port, log, { ...process.env, PATH });
}

/** Starts nginx with these directives inside `http`; one of its servers must listen on `port`. */
export function startNginx(directory: string, port: number, http: string): Promise<WebServer> {
  const temporary = ['client_body', 'fastcgi', 'proxy', 'scgi', 'uwsgi'];
  return start(directory, port, {
    file: 'nginx',
    args: ['-p', `${directory}/`, '-c', 'configuration', '-e', 'error.log'],
    configuration: `daemon off; pid nginx.pid; worker_processes 2; ${isRoot ? 'user root;' : ''}
error_log error.log;
events { worker_connections 1024; }
http {
  access_log off;
  client_max_body_size 0;
  ${temporary.map((name) => `${name}_temp_path temp/${name};`).join(' ')}
  ${http}
}
`,
  });
}

/** Starts lighttpd with these settings besides where it listens and logs. */
export async function startLighttpd(directory: string, settings: string): Promise<WebServer> {
  const port = await freePort();
  return start(directory, port, {
    file: 'lighttpd',
    args: ['-D', '-f', join(directory, 'configuration')],
    configuration: `server.bind = "127.0.0.1"
server.port = ${String(port)}
server.errorlog = "${directory}/error.log"
server.upload-dirs = ( "${directory}/temp" )
${settings}
`,
  });
}

/**
 * Starts Apache (mpm_event) with these directives, and these modules besides the least that it needs. It refuses to
 * run as root: started by root it is www-data, who must be able to reach what it serves.
 */
export async function startApache(
  directory: string,
  modules: readonly string[],
  directives: string,
): Promise<WebServer> {
  const port = await freePort();
  const load = ['mpm_event', 'authz_core', ...modules].map(
    (name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`,
  );
  return start(directory, port, {
    file: 'apache2',
    args: ['-D', 'FOREGROUND', '-d', directory, '-f', 'configuration'],
    configuration: `${load.join('\n')}
Listen 127.0.0.1:${String(port)}
ServerName 127.0.0.1
PidFile ${directory}/apache.pid
DefaultRuntimeDir ${directory}/temp
ErrorLog ${directory}/error.log
LogLevel crit
${isRoot ? 'User www-data\nGroup www-data' : ''}
${directives}
`,
  });
}
