/** Web servers in their least configuration, which pass every request to one socket. */

import { chmod, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { startUnbufferedNginx } from './nginx.js';
import { temporaryDirectory } from './temporary.js';
import { freePort, startProgram, type WebServer } from './webserver.js';

/** Each by its name, as a function that starts it. */
export const frontEnds: Readonly<Record<string, (socket: string) => Promise<WebServer>>> = {
  lighttpd: startLighttpd,
  nginx: startUnbufferedNginx,
  'Apache’s mod_proxy_fcgi': startApache,
};

const PATH = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;

async function startLighttpd(socket: string): Promise<WebServer> {
  const [directory, port] = [await temporaryDirectory(), await freePort()];
  const [config, log] = [join(directory, 'lighttpd.conf'), join(directory, 'error.log')];
  await writeFile(
    config,
    `server.modules = ( "mod_fastcgi" )
server.bind = "127.0.0.1"
server.port = ${String(port)}
server.document-root = "${directory}"
server.upload-dirs = ( "${directory}" )
server.errorlog = "${log}"
fastcgi.server = ( "/" => (( "socket" => "${socket}", "check-local" => "disable" )) )
`,
  );
  return startProgram('lighttpd', ['-D', '-f', config], port, () => readFile(log, 'utf8'), {
    ...process.env,
    PATH,
  });
}

async function startApache(socket: string): Promise<WebServer> {
  const [directory, port] = [await temporaryDirectory(), await freePort()];
  const [config, log] = [join(directory, 'apache.conf'), join(directory, 'error.log')];
  // Started by root, it gives its requests to a user who could not reach the socket, and it takes no root for one.
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    await chmod(dirname(socket), 0o711);
    await chmod(socket, 0o666);
  }
  const modules = ['mpm_event', 'authz_core', 'proxy', 'proxy_fcgi'].map(
    (name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`,
  );
  await writeFile(
    config,
    `${modules.join('\n')}
ServerRoot "${directory}"
DefaultRuntimeDir "${directory}"
PidFile "${directory}/pid"
ErrorLog "${log}"
Mutex pthread
ServerName localhost
Listen 127.0.0.1:${String(port)}
${isRoot ? 'User nobody\nGroup nogroup' : ''}
ProxyPass "/" "unix:${socket}|fcgi://localhost/"
`,
  );
  return startProgram('apache2', ['-D', 'FOREGROUND', '-f', config], port, () => readFile(log, 'utf8'), {
    ...process.env,
    PATH,
  });
}
