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

/** Without the web server. */
export interface GitSite {
  readonly repos: string;
  /** The directory for `--markers`, should the options name it. */
  readonly markers: string;
  readonly bridge: Bridge;
}

export interface GitHost extends GitSite {
  readonly url: string;
  /** The same as seen by a user whose password the web server knows. */
  readonly urlOf: (user: string) => string;
  stop: () => Promise<void>;
}

interface GitOptions {
  readonly markers?: boolean | 'lighttpd too';
  readonly options?: readonly string[];
}

/** Starts a bridge at these addresses for what will be below `directory`. */
export async function startGitSite(
  directory: string,
  listen: readonly string[],
  { markers = false, options = [] }: GitOptions = {},
): Promise<GitSite> {
  const place = { repos: join(directory, 'repos'), markers: join(directory, 'www') };
  for (const path of Object.values(place)) await mkdir(path, { recursive: true });
  const bridge = await startBridge([
    'git',
    ...['--repos', place.repos, '--trust-remote-user'],
    ...(markers !== false ? ['--markers', place.markers] : []),
    ...listen.flatMap((address) => ['--listen', address]),
    ...options,
  ]);
  return { ...place, bridge };
}

/** Starts a host below `directory`; `unbuffered nginx` knows no users, and only lighttpd looks for the markers itself. */
export async function startGitHost(
  server: WebServerName | 'unbuffered nginx',
  directory: string,
  options: GitOptions = {},
): Promise<GitHost> {
  const [run, own] = [join(directory, 'run'), join(directory, 'web')];
  for (const path of [run, own]) await mkdir(path, { recursive: true });
  const isUnbuffered = server === 'unbuffered nginx';
  const { listen, sockets } = await addressesFor(isUnbuffered ? 'nginx' : server, run);
  const site = await startGitSite(directory, listen, options);
  const { bridge, markers: documentRoot } = site;
  let web: WebServer;
  if (isUnbuffered) web = await startPassing('nginx', `${sockets}/sock`);
  else {
    const example = options.markers === 'lighttpd too' ? 'git-markers' : 'git';
    const place = { directory: own, documentRoot, sockets };
    web = await startWebServer(server, { ...place, site: example, users: ['ann'] });
  }
  return {
    ...site,
    url: web.url,
    urlOf: (user) => web.url.replace('//', `//${user}:secret@`),
    stop: async () => {
      await web.stop();
      await bridge.stop();
    },
  };
}
