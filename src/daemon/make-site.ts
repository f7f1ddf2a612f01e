/** Makes the site that a configuration describes, and finds the programs that sites, commands and limits name. */

import { type ByteString, fromText, toText } from '../base/bytes.js';
import { BridgeError, OptionError, throwReasons } from '../base/errors.js';
import { candidatesOf, isExecutable, isMissing, whyNotExecutable } from '../base/executable.js';
import { type SetLimits, setLimits } from '../process/limits.js';
import { statOrAbsent } from '../sites/contain.js';
import { directorySite } from '../sites/directory.js';
import { gitSite } from '../sites/git/git-site.js';
import { findGit, requireGit } from '../sites/git/installation.js';
import { hgSite } from '../sites/hg/hg-site.js';
import { findMercurial, requireHg } from '../sites/hg/installation.js';
import { scriptSite, workerSite } from '../sites/script.js';
import type { Site } from '../sites/site.js';
import { atSite, type ServedSiteConfiguration } from './configuration.js';
import { shippedFile } from './package.js';

/** Where programs are found when the daemon itself was not told. */
const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin';

/** @throws BridgeError `ERR_START`, `ERR_MERCURIAL`, `ERR_GIT`: what the configuration names is not there. */
export function makeSite(configuration: ServedSiteConfiguration): Promise<Site> {
  return atSite(configuration, () => siteOf(configuration));
}

async function siteOf({ site, env, passEnv }: ServedSiteConfiguration): Promise<Site> {
  const environment = { base: baseEnvironment(passEnv), administrator: env };
  switch (site.kind) {
    case 'script':
      return scriptSite({ ...site, ...environment });
    case 'worker': {
      const [name, ...args] = site.command;
      const file = await findProgram(name, new Map([...environment.base, ...env]));
      return workerSite({ ...site, command: [file, ...args], administrator: env });
    }
    case 'dir':
      return directorySite({ ...site, ...environment });
    case 'hg':
      return hgSite({
        ...site,
        ...environment,
        mercurial: await findMercurial(site.hg),
        hgwebScript: shippedFile('scripts/hgweb.cgi'),
      });
    case 'git':
      return gitSite({
        ...site,
        ...environment,
        publishedBy:
          site.markers === undefined ? (site.exportAll ? 'all' : 'export-ok') : { markers: site.markers },
        git: await findGit(site.git, site.gitweb),
        gitwebSettings: shippedFile('scripts/gitweb.conf'),
      });
  }
}

/**
 * Runs nothing, and so can be asked by root for the user who will serve.
 *
 * @throws BridgeError `ERR_START`, `ERR_MERCURIAL`, `ERR_GIT`: a program that a site names is there for nobody
 */
export async function requirePrograms(sites: readonly ServedSiteConfiguration[]): Promise<void> {
  const asked = sites.map((served) => atSite(served, () => requireProgram(served)));
  throwReasons(await Promise.allSettled(asked));
}

async function requireProgram({ site, env, passEnv }: ServedSiteConfiguration): Promise<void> {
  const environment = new Map([...baseEnvironment(passEnv), ...env]);
  const isNowhere = (program: ByteString): Promise<boolean> => isMissing(program, environment.get('PATH'));
  if (site.kind === 'hg') await requireHg(site.hg);
  if (site.kind === 'git') await requireGit(site.git, site.gitweb);
  if (site.kind === 'worker' && (await isNowhere(site.command[0])))
    await findProgram(site.command[0], environment);
  if (site.kind === 'script' && (await isNowhere(site.file)))
    await scriptSite({ ...site, base: environment, administrator: env });
}

/** The variables of the daemon's own that programs get. */
export function baseEnvironment(passEnv: readonly string[]): ReadonlyMap<ByteString, ByteString> {
  const base = new Map([['PATH', fromText(process.env['PATH'] ?? DEFAULT_PATH)]]);
  for (const name of passEnv) {
    const value = process.env[name];
    if (value !== undefined) base.set(fromText(name), fromText(value));
  }
  return base;
}

/**
 * The path of the program: itself where it has a slash, else the first of that name in the directories of the
 * environment's PATH.
 *
 * @throws BridgeError `ERR_START` if it is missing.
 */
export async function findProgram(
  name: ByteString,
  environment: ReadonlyMap<ByteString, ByteString>,
): Promise<ByteString> {
  let problem = name.includes('/') ? 'there is no such file' : 'there is no such program in PATH';
  const shown = toText(name);
  for (const candidate of candidatesOf(name, environment.get('PATH') ?? '')) {
    const stats = await statOrAbsent(candidate);
    if (stats?.isFile() !== true) continue;
    if (await isExecutable(candidate)) return candidate;
    if (name.includes('/')) problem = whyNotExecutable(shown, stats);
  }
  throw new BridgeError('ERR_START', `worker ${shown}: ${problem}`);
}

/** @throws OptionError `ERR_START` where there are limits, and nothing to set them with. */
export async function findLimits({ limits }: Pick<ServedSiteConfiguration, 'limits'>): Promise<SetLimits> {
  return setLimits(limits, async () => {
    try {
      return await findProgram('prlimit', baseEnvironment([]));
    } catch {
      const option = limits.memoryBytes === undefined ? 'max-cpu' : 'max-memory';
      throw new OptionError('ERR_START', {
        option,
        why: 'needs prlimit(1) of util-linux, which is not in PATH',
      });
    }
  });
}
