/** A virtual host of Mercurial repositories, as an administrator has it: repositories, markers, bridge, web server. */

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { type Bridge, startBridge } from './bridge.js';
import { addressesFor, startWebServer, type WebServer, type WebServerName } from './webserver.js';

export interface HgHost {
  readonly repos: string;
  /** The document root, with the markers. */
  readonly markers: string;
  readonly bridge: Bridge;
  readonly web: WebServer;
  readonly url: string;
  stop: () => Promise<void>;
}

/** Makes an empty file, and the directories above it. */
export async function touch(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, '');
}

/** Starts a host below `directory`; `markers` undefined publishes all repositories. */
export async function startHgHost(
  server: WebServerName,
  directory: string,
  { markers = true, options = [] }: { markers?: boolean; options?: readonly string[] } = {},
): Promise<HgHost> {
  const place = {
    repos: join(directory, 'repos'),
    markers: join(directory, 'www'),
    sockets: join(directory, `run-${server}`),
  };
  for (const path of Object.values(place)) await mkdir(path, { recursive: true });
  const { listen, sockets } = await addressesFor(server, place.sockets);
  const bridge = await startBridge([
    'hg',
    '--repos',
    place.repos,
    ...(markers ? ['--markers', place.markers] : []),
    ...listen.flatMap((address) => ['--listen', address]),
    ...options,
  ]);
  const web = await startWebServer(server, {
    directory: join(directory, 'web'),
    documentRoot: place.markers,
    sockets,
    users: ['ann', 'bob'],
  });
  return {
    ...place,
    bridge,
    web,
    url: web.url,
    stop: async () => {
      await web.stop();
      await bridge.stop();
    },
  };
}
