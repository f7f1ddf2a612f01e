/** A virtual host of git repositories, as an administrator has it: repositories, bridge, web server, users. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { type Bridge, startBridge } from './bridge.js';
import {
  addressesFor,
  startPassing,
  startWebServer,
  type WebServer,
  type WebServerName,
} from './webserver.js';

export interface GitHost {
  readonly repos: string;
  /** The directory for `--markers`, should the options name it. */
  readonly markers: string;
  readonly bridge: Bridge;
  readonly url: string;
  /** The same as seen by a user whose password the web server knows. */
  readonly urlOf: (user: string) => string;
  stop: () => Promise<void>;
}

/** Starts a host below `directory`; `unbuffered nginx` knows no users, and only lighttpd looks for the markers itself. */
export async function startGitHost(
  server: WebServerName | 'unbuffered nginx',
  directory: string,
  { markers = false, options = [] }: { markers?: boolean | 'lighttpd too'; options?: readonly string[] } = {},
): Promise<GitHost> {
  const place = {
    repos: join(directory, 'repos'),
    markers: join(directory, 'www'),
    sockets: join(directory, 'run'),
    web: join(directory, 'web'),
  };
  for (const path of Object.values(place)) await mkdir(path, { recursive: true });
  const isUnbuffered = server === 'unbuffered nginx';
  const { listen, sockets } = await addressesFor(isUnbuffered ? 'nginx' : server, place.sockets);
  const bridge = await startBridge([
    'git',
    ...['--repos', place.repos],
    ...(markers !== false ? ['--markers', place.markers] : []),
    ...listen.flatMap((address) => ['--listen', address]),
    ...options,
  ]);
  let web: WebServer;
  if (isUnbuffered) web = await startPassing('nginx', `${sockets}/sock`);
  else {
    const { markers: documentRoot, web: own } = place;
    const site = markers === 'lighttpd too' ? 'git-markers' : 'git';
    web = await startWebServer(server, { directory: own, documentRoot, sockets, site, users: ['ann'] });
  }
  return {
    ...place,
    bridge,
    url: web.url,
    urlOf: (user) => web.url.replace('//', `//${user}:secret@`),
    stop: async () => {
      await web.stop();
      await bridge.stop();
    },
  };
}
