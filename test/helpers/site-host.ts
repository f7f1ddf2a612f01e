/** A web server with the configuration that the README shows, before a site with something of every kind in it. */

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type Bridge, fixture, startBridge } from './bridge.js';
import { git, makeBareRepository } from './git.js';
import { startGitSite } from './git-site.js';
import { startHgSite, touch } from './hg-site.js';
import { makeRepository } from './mercurial.js';
import { addressesFor, startWebServer, type WebServerName } from './webserver.js';
import { isFull, webServers } from './webserver-table.js';

export interface SiteHost {
  readonly url: string;
  readonly server: WebServerName;
  readonly bridge: Bridge;
  /** The access log from when this web server was started. */
  readonly log: () => Promise<string>;
  /** What HOLD is for the programs of test/fixtures that hold a clone. */
  readonly hold: string;
  /** The repository that is published as /public.hg or /public.git; beside it, `open` takes pushes from everybody. */
  readonly repository: string;
  /** The web server's document root. */
  readonly markers: string;
  /** An empty directory. */
  readonly work: string;
  stop(): Promise<void>;
}

/** By name, as byte strings; each has itself for its content. */
export const files = ['read.me', 'sub/deep.txt', 'caf\xe9 (1).txt', '100% sure.txt'];

/** So that what is left of a clone is more than a web server reads before it writes. */
const LARGE_BYTES = 4_000_000;

/** How much the script writes: more than any web server takes in at once, or lets come up unless it is told to. */
export const largeMiB = isFull ? 32 : 4;

/** What a script does, by the first part of the path. */
const program = `case $REQUEST_URI in
/range) case $HTTP_RANGE in
  bytes=2-5) printf 'Status: 206 Partial Content\\nContent-Range: bytes 2-5/10\\nContent-Length: 4\\n\\n2345' ;;
  *) printf 'Accept-Ranges: bytes\\nContent-Length: 10\\n\\n0123456789' ;;
  esac ;;
/count) printf 'Content-Type: text/plain\\n\\n'
  case $CONTENT_LENGTH in *[!0-9]*) echo "CONTENT_LENGTH=$CONTENT_LENGTH" ;; esac; wc -c ;;
/large) printf 'Content-Type: text/plain\\n\\n'; head -c ${String(largeMiB)}M /dev/zero ;;
/complain) echo 'nothing is well' >&2; sleep 0.2; printf 'Content-Type: text/plain\\n\\nall is well' ;;
/for-ever) printf 'Content-Type: text/plain\\n\\n%s\\n' $$; while sleep 0.05; do head -c 10000 /dev/zero; done ;;
*) printf 'Content-Type: text/plain\\n\\n%s' "$REQUEST_URI" ;;
esac`;

/** A bridge before which one web server after the other is put. */
export interface SharedSite {
  readonly bridge: Bridge;
  /** Puts a web server before it; `directory` is for that one alone. */
  readonly startHost: (server: WebServerName, directory: string) => Promise<SiteHost>;
}

/** Starts a bridge for one kind of site, at the addresses that any web server may want. */
export async function startSite(site: 'hg' | 'git' | 'script', directory: string): Promise<SharedSite> {
  const [hold, run] = [join(directory, 'hold'), join(directory, 'run')];
  for (const path of [hold, run]) await mkdir(path);
  const accessLog = join(directory, 'access.log');
  const paths = await addressesFor('lighttpd', run);
  const tcp = await addressesFor('apache-tcp', run);
  const listen = [...paths.listen, ...tcp.listen];
  // Warm: so that most of a test's time is not the start of interpreters.
  const options = ['--runner', 'warm', '--access-log', accessLog, '--env', `HOLD=${hold}`];
  const { bridge, markers, repository } = await startBridgeFor(site, directory, listen, options);
  return {
    bridge,
    startHost: async (server, own) => {
      const work = join(own, 'work');
      await mkdir(work);
      const logged = existsSync(accessLog) ? (await stat(accessLog)).size : 0;
      const { sockets } = webServers[server].isOverTcp === true ? tcp : paths;
      const web = await startWebServer(server, {
        ...{ directory: join(own, 'web'), documentRoot: markers, sockets },
        ...(site === 'hg' ? {} : { site: 'git' }),
        users: ['ann'],
      });
      const log = async (): Promise<string> => (await readFile(accessLog)).subarray(logged).toString();
      return { url: web.url, server, bridge, log, hold, repository, markers, work, stop: () => web.stop() };
    },
  };
}

async function startBridgeFor(
  site: 'hg' | 'git' | 'script',
  directory: string,
  listen: readonly string[],
  options: readonly string[],
): Promise<{ readonly bridge: Bridge; readonly markers: string; readonly repository: string }> {
  const contents = {
    ...Object.fromEntries(files.map((name) => [name, Buffer.from(name, 'latin1')])),
    large: randomBytes(LARGE_BYTES),
  };
  if (site === 'hg') {
    const { bridge, repos, markers } = await startHgSite(directory, listen, { options });
    const repository = join(repos, 'public');
    // Copied, for Python writes what it makes of it beside it.
    const holder = join(directory, 'holds-a-clone.py');
    await copyFile(fixture('holds-a-clone.py'), holder);
    const extension = `[extensions]\nholds-a-clone = ${holder}\n`;
    await makeRepository(repository, contents, `[web]\nallow-push = ann\npush_ssl = no\n${extension}`);
    await makeRepository(join(repos, 'private'), contents, '[web]\nallow_read = ann\n');
    const hgrc = '[web]\nallow-push = ann\npush_ssl = no\n[extensions]\nlfs =\n';
    for (const name of ['small', 'large']) await makeRepository(join(repos, name), { small: 'small' }, hgrc);
    await makeRepository(join(repos, 'open'), { small: 'small' }, '[web]\nallow-push = *\npush_ssl = no\n');
    for (const name of ['index.fcgi', 'public.hg', 'private.hg', 'open.hg', 'small.hg', 'large.hg'])
      await touch(join(markers, name));
    return { bridge, markers, repository };
  }
  if (site === 'git') {
    const config = join(directory, 'gitconfig');
    await writeFile(config, `[uploadpack]\npackObjectsHook = ${fixture('holds-a-clone.sh')}\n`);
    // So that a page tells for whom it was made.
    const gitwebConfig = join(directory, 'gitweb.conf');
    await writeFile(gitwebConfig, "$site_name = 'for <' . ($ENV{REMOTE_USER} // '') . '>';");
    const own = [...options, '--env', `GIT_CONFIG_GLOBAL=${config}`, '--gitweb-config', gitwebConfig];
    const { bridge, repos, markers } = await startGitSite(directory, listen, { options: own });
    const repository = join(repos, 'public.git');
    await makeBareRepository(repository, contents);
    const open = join(repos, 'open.git');
    await makeBareRepository(open, { small: 'small' });
    await git(['config', 'http.receivepack', 'true'], open);
    await git(['branch', 'victim'], open);
    return { bridge, markers, repository };
  }
  const own = [...listen.flatMap((address) => ['--listen', address]), '--kill-grace', '200ms'];
  const bridge = await startBridge(['script', ...own, '/bin/sh', '--', '-c', program]);
  return { bridge, markers: directory, repository: '' };
}
