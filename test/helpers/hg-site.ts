/** A virtual host of Mercurial repositories, as an administrator has it: repositories, markers, bridge, web server. */

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { type Bridge, startBridge } from './bridge.js';
import { addressesFor, startWebServer, type WebServer, type WebServerName } from './webserver.js';

/** Without the web server. */
export interface HgSite {
  readonly repos: string;
  /** The document root, with the markers. */
  readonly markers: string;
  readonly bridge: Bridge;
}

export interface HgHost extends HgSite {
  readonly web: WebServer;
  readonly url: string;
  stop: () => Promise<void>;
}

/** Makes an empty file, and the directories above it. */
export async function touch(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, '');
}

interface HgOptions {
  /** Without them all repositories are published. */
  readonly markers?: boolean;
  readonly options?: readonly string[];
}

/** Starts a bridge at these addresses for what will be below `directory`. */
export async function startHgSite(
  directory: string,
  listen: readonly string[],
  { markers = true, options = [] }: HgOptions = {},
): Promise<HgSite> {
  const place = { repos: join(directory, 'repos'), markers: join(directory, 'www') };
  for (const path of Object.values(place)) await mkdir(path, { recursive: true });
  const bridge = await startBridge([
    'hg',
    '--repos',
    place.repos,
    '--trust-remote-user',
    ...(markers ? ['--markers', place.markers] : []),
    ...listen.flatMap((address) => ['--listen', address]),
    ...options,
  ]);
  return { ...place, bridge };
}

/** Starts a host below `directory`. */
export async function startHgHost(
  server: WebServerName,
  directory: string,
  options: HgOptions = {},
): Promise<HgHost> {
  const run = join(directory, `run-${server}`);
  await mkdir(run, { recursive: true });
  const { listen, sockets } = await addressesFor(server, run);
  const site = await startHgSite(directory, listen, options);
  const { bridge, markers: documentRoot } = site;
  const web = await startWebServer(server, {
    ...{ directory: join(directory, 'web'), documentRoot, sockets },
    users: ['ann', 'bob'],
  });
  return {
    ...site,
    web,
    url: web.url,
    stop: async () => {
      await web.stop();
      await bridge.stop();
    },
  };
}
