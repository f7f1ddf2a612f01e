/** The one nginx before everybody: a server for each contender and site, all with the same settings. */

import { join } from 'node:path';

import { freePort, startWebServerWith, type WebServer } from '../helpers/webserver.js';
import type { Instance } from './contender.js';
import type { Site } from './sites.js';

export interface Backend {
  readonly site: Site;
  readonly instance: Instance;
}

/** Starts it; gives it and the URL of each backend, in the same order. */
export async function startFront(
  directory: string,
  backends: readonly Backend[],
): Promise<{ readonly nginx: WebServer; readonly urls: readonly string[] }> {
  const ports = await Promise.all(backends.map(() => freePort()));
  const servers = backends.map(
    (backend, index) => `server {
    listen 127.0.0.1:${String(ports[index])};
    location / {
      ${passFor(backend).join('\n      ')}
    }
  }`,
  );
  // Nothing passes through a disk, and 1 GB upwards not through nginx's memory.
  const http = `access_log off; client_max_body_size 0;
  fastcgi_max_temp_file_size 0; fastcgi_request_buffering off;
  proxy_max_temp_file_size 0; proxy_request_buffering off; proxy_http_version 1.1;
  fastcgi_read_timeout 10m; proxy_read_timeout 10m;
  ${servers.join('\n  ')}`;
  const nginx = await startWebServerWith('nginx', http, {
    directory: join(directory, 'front'),
    ...(ports[0] !== undefined && { port: ports[0] }),
  });
  return { nginx, urls: ports.map((port) => `http://127.0.0.1:${String(port)}`) };
}

const params: Readonly<Record<string, string>> = {
  GATEWAY_INTERFACE: 'CGI/1.1',
  SERVER_SOFTWARE: 'nginx',
  SERVER_PROTOCOL: '$server_protocol',
  SERVER_NAME: '$server_addr',
  SERVER_PORT: '$server_port',
  REMOTE_ADDR: '$remote_addr',
  REQUEST_METHOD: '$request_method',
  REQUEST_URI: '$request_uri',
  QUERY_STRING: '$query_string',
  CONTENT_TYPE: '$content_type',
  CONTENT_LENGTH: '$content_length',
  SCRIPT_NAME: '""',
  PATH_INFO: '$uri',
};

function passFor({ site, instance: { upstream } }: Backend): string[] {
  if (upstream.kind === 'http') return [`proxy_pass ${upstream.url}/;`];
  const all = { ...params, SCRIPT_FILENAME: site.script, ...site.environment };
  return [
    ...Object.entries(all).map(([name, value]) => `fastcgi_param ${name} ${value};`),
    `fastcgi_pass unix:${upstream.socket};`,
  ];
}
