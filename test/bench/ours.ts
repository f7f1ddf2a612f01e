/** fcgi2cgi as a contender, in each way in which it can serve a site. */

import { join } from 'node:path';

import { type Bridge, startBridge } from '../helpers/bridge.js';
import { childrenOf } from '../helpers/processes.js';
import { type Contender, directoryFor, type Instance, PROCESSES, WORKERS } from './contender.js';
import type { Site, SiteName } from './sites.js';

/** After so many requests of a kind, a fork server loads what it has learned from them (`runners/warm/warm-script.ts`). */
const LESSONS = 20;
/** So many times that, at most: what goes on learning is not what is to be measured. */
const PATIENCE = 50;

const hgSites: readonly SiteName[] = ['hg', 'hgList', 'hgLongList'];
const gitwebSites: readonly SiteName[] = ['gitweb', 'gitwebList', 'gitwebLongList'];

/** The command that serves a site: pages of hgweb and gitweb by the sites for them, all else by its script. */
const asUsersDo = (site: Site): readonly string[] => {
  if (hgSites.includes(site.name)) return ['hg', '--repos', site.repos];
  if (gitwebSites.includes(site.name)) return ['git', '--export-all', '--repos', site.repos];
  return asScript(site);
};
/** The very script that the peers run. */
const asScript = (site: Site): readonly string[] => ['script', site.script];
const asWorkers = (site: Site): readonly string[] => [
  'worker',
  '--workers',
  String(WORKERS),
  '--',
  site.script,
  '--fcgi',
];

/** Options come before what the site is, as all after `--` is a program's. */
const way = (
  name: string,
  sites: readonly SiteName[],
  command: (site: Site) => readonly string[],
  ...options: string[]
): Contender => ({
  name,
  roles: rolesOf(options),
  serves: (site) => sites.includes(site),
  start: async (site, place) => {
    const socket = join(directoryFor(place, name, site), 'sock');
    const [subcommand = '', ...rest] = command(site);
    const bridge = await startBridge([subcommand, '--listen', socket, ...options, ...rest]);
    const instance: Instance = {
      pid: bridge.process.pid ?? 0,
      upstream: { kind: 'fastcgi', socket },
      stop: () => bridge.stop(),
    };
    if (!options.includes('warm')) return instance;
    return { ...instance, settle: (ask, requests) => settle(bridge, ask, requests) };
  },
});

function rolesOf(options: readonly string[]): readonly string[] {
  if (options.includes('warm')) return ['daemon', 'fork server', 'process'];
  return ['daemon', options.length > 0 ? 'process' : 'worker'];
}

const places = ['--max-processes', String(PROCESSES)];
const warm = [...places, '--runner', 'warm'];

const pages = [...hgSites, ...gitwebSites];
const scripts = ['hg', 'gitweb'] as const;

/** The first one is what the defaults give. */
export const ours: readonly Contender[] = [
  way('ours', ['cgi', 'down', 'up', 'git', ...pages], asUsersDo, ...places),
  way('ours, warm', pages, asUsersDo, ...warm),
  way('ours, script', scripts, asScript, ...places),
  way('ours, script, warm', scripts, asScript, ...warm),
  way('ours, worker', ['gitweb'], asWorkers),
];

/** Asks until fork servers answer, each with all that the requests before have taught loaded. */
async function settle(bridge: Bridge, ask: () => Promise<unknown>, requests: number): Promise<void> {
  const pid = bridge.process.pid ?? 0;
  let before = '';
  for (let count = 0; count < PATIENCE; count++) {
    // Each is its child: one that another is about to take the place of, and one that still loads, are there too.
    const servers = childrenOf(pid);
    const now = servers.join();
    const serving = new Set(
      [...bridge.log().matchAll(/a fork server is ready.* pid=(\d+)/g)].map((match) => Number(match[1])),
    );
    if (now !== '' && now === before && servers.every((each) => serving.has(each))) return;
    before = now;
    for (let done = 0; done < LESSONS; done += requests) await ask();
  }
  throw new Error(`no fork server has settled; it logged:\n${bridge.log()}`);
}
