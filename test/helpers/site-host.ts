/** A web server with the configuration that the README shows, before a site with something of every kind in it. */

import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type Bridge, fixture, startBridge } from './bridge.js';
import { makeBareRepository } from './git.js';
import { startGitHost } from './git-site.js';
import { startHgHost, touch } from './hg-site.js';
import { makeRepository } from './mercurial.js';
import { addressesFor, startWebServer, type WebServerName } from './webserver.js';

export interface SiteHost {
  readonly url: string;
  readonly server: WebServerName;
  readonly bridge: Bridge;
  readonly accessLog: string;
  /** What HOLD is for the programs of test/fixtures that hold a clone. */
  readonly hold: string;
  /** The repository that is published as /public.hg or /public.git. */
  readonly repository: string;
  /** An empty directory. */
  readonly work: string;
  stop(): Promise<void>;
}

/** By name, as byte strings; each has itself for its content. */
export const files = ['read.me', 'sub/deep.txt', 'caf\xe9 (1).txt', '100% sure.txt'];

/** So that what is left of a clone is more than a web server reads before it writes. */
const LARGE_BYTES = 4_000_000;

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

export async function startHost(
  server: WebServerName,
  site: 'hg' | 'git' | 'script',
  directory: string,
): Promise<SiteHost> {
  const contents = {
    ...Object.fromEntries(files.map((name) => [name, Buffer.from(name, 'latin1')])),
    large: randomBytes(LARGE_BYTES),
  };
  const work = join(directory, 'work');
  const hold = join(directory, 'hold');
  const accessLog = join(directory, 'access.log');
  for (const path of [work, hold]) await mkdir(path);
  // Warm: so that most of a test's time is not the start of interpreters.
  const options = ['--runner', 'warm', '--access-log', accessLog, '--env', `HOLD=${hold}`];
  const known = { server, accessLog, hold, work };
  if (site === 'hg') {
    const host = await startHgHost(server, directory, { options });
    const repository = join(host.repos, 'public');
    // Copied, for Python writes what it makes of it beside it.
    const holder = join(directory, 'holds-a-clone.py');
    await copyFile(fixture('holds-a-clone.py'), holder);
    const extension = `[extensions]\nholds-a-clone = ${holder}\n`;
    await makeRepository(repository, contents, `[web]\nallow-push = ann\npush_ssl = no\n${extension}`);
    for (const name of ['index.fcgi', 'public.hg']) await touch(join(host.markers, name));
    return { ...known, url: host.url, bridge: host.bridge, repository, stop: host.stop };
  }
  if (site === 'git') {
    const config = join(directory, 'gitconfig');
    await writeFile(config, `[uploadpack]\npackObjectsHook = ${fixture('holds-a-clone.sh')}\n`);
    const own = [...options, '--env', `GIT_CONFIG_GLOBAL=${config}`];
    const host = await startGitHost(server, directory, { options: own });
    const repository = join(host.repos, 'public.git');
    await makeBareRepository(repository, contents);
    return { ...known, url: host.url, bridge: host.bridge, repository, stop: host.stop };
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
  return { ...known, url: web.url, bridge, repository: '', stop };
}
