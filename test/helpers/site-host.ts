/** A web server with the configuration that the README shows, before a site with something of every kind in it. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { type Bridge, startBridge } from './bridge.js';
import { makeBareRepository } from './git.js';
import { startGitHost } from './git-site.js';
import { startHgHost, touch } from './hg-site.js';
import { makeRepository } from './mercurial.js';
import { addressesFor, startWebServer, type WebServerName } from './webserver.js';

export interface SiteHost {
  readonly url: string;
  readonly bridge: Bridge;
  /** The repository that is published as /public.hg or /public.git. */
  readonly repository: string;
  /** An empty directory. */
  readonly work: string;
  stop(): Promise<void>;
}

/** By name, as byte strings; each has itself for its content. */
export const files = ['read.me', 'sub/deep.txt', 'caf\xe9 (1).txt', '100% sure.txt'];

/** What a script does, by the first part of the path. */
const program = `case $REQUEST_URI in
/range) case $HTTP_RANGE in
  bytes=2-5) printf 'Status: 206 Partial Content\\nContent-Range: bytes 2-5/10\\nContent-Length: 4\\n\\n2345' ;;
  *) printf 'Accept-Ranges: bytes\\nContent-Length: 10\\n\\n0123456789' ;;
  esac ;;
/count) printf 'Content-Type: text/plain\\n\\n'; wc -c ;;
/large) printf 'Content-Type: text/plain\\n\\n'; head -c 33554432 /dev/zero ;;
/for-ever) printf 'Content-Type: text/plain\\n\\n%s\\n' $$; while sleep 0.05; do head -c 10000 /dev/zero; done ;;
*) printf 'Content-Type: text/plain\\n\\n%s' "$REQUEST_URI" ;;
esac`;

/** So that most of a test's time is not the start of interpreters. */
const options = ['--runner', 'warm'];

export async function startHost(
  server: WebServerName,
  site: 'hg' | 'git' | 'script',
  directory: string,
): Promise<SiteHost> {
  const contents = Object.fromEntries(files.map((name) => [name, Buffer.from(name, 'latin1')]));
  const work = join(directory, 'work');
  await mkdir(work);
  if (site === 'hg') {
    const host = await startHgHost(server, directory, { options });
    const repository = join(host.repos, 'public');
    await makeRepository(repository, contents, '[web]\nallow-push = ann\npush_ssl = no\n');
    for (const name of ['index.fcgi', 'public.hg']) await touch(join(host.markers, name));
    return { url: host.url, bridge: host.bridge, repository, work, stop: host.stop };
  }
  if (site === 'git') {
    const host = await startGitHost(server, directory, { options });
    const repository = join(host.repos, 'public.git');
    await makeBareRepository(repository, contents);
    return { url: host.url, bridge: host.bridge, repository, work, stop: host.stop };
  }
  const { listen, sockets } = await addressesFor(server, directory);
  const own = ['--listen', listen[0], '--kill-grace', '200ms'];
  const bridge = await startBridge(['script', ...own, '/bin/sh', '--', '-c', program]);
  const web = await startWebServer(server, {
    ...{ directory: join(directory, 'web'), documentRoot: directory, sockets },
    site: 'git',
  });
  const stop = async (): Promise<void> => {
    await web.stop();
    await bridge.stop();
  };
  return { url: web.url, bridge, repository: '', work, stop };
}
