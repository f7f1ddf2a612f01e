/** An nginx that passes requests on as they come, instead of taking their bodies in first. */

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { temporaryDirectory } from './temporary.js';
import { freePort, startProgram, type WebServer } from './webserver.js';

/** Passes everything to the bridge at `socket`, with `fastcgi_request_buffering off`. */
export function startUnbufferedNginx(socket: string): Promise<WebServer> {
  return startNginx(`
    client_max_body_size 0;
    location / {
      include /etc/nginx/fastcgi_params;
      fastcgi_pass unix:${socket};
      fastcgi_request_buffering off;
    }`);
}

/** Serves what these directives of a `server` block say. */
export async function startNginx(directives: string): Promise<WebServer> {
  const directory = await temporaryDirectory();
  const port = await freePort();
  await mkdir(join(directory, 'temp'));
  const temporary = ['client_body', 'fastcgi', 'proxy', 'scgi', 'uwsgi'];
  await writeFile(
    join(directory, 'nginx.conf'),
    `daemon off; pid nginx.pid; error_log error.log; ${process.getuid?.() === 0 ? 'user root;' : ''}
events { }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path temp/${name};`).join(' ')}
  server {
    listen 127.0.0.1:${String(port)};
${directives}
  }
}
`,
  );
  const args = ['-p', `${directory}/`, '-c', 'nginx.conf', '-e', 'error.log'];
  const PATH = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;
  const log = (): Promise<string> => readFile(join(directory, 'error.log'), 'utf8');
  return startProgram('nginx', args, port, log, { ...process.env, PATH });
}
