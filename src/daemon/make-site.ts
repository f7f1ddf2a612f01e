/** Makes the site that a configuration describes. */

import { type ByteString, fromText } from '../bytes.js';
import { BridgeError } from '../errors.js';
import { directorySite } from '../sites/directory.js';
import { gitSite } from '../sites/git/git-site.js';
import { hgSite } from '../sites/hg/hg-site.js';
import { scriptSite } from '../sites/script.js';
import type { Site } from '../sites/site.js';
import { workerSite } from '../sites/worker.js';
import type { ServedSiteConfiguration } from './configuration.js';
import { findGit } from './find-git.js';
import { findMercurial } from './find-mercurial.js';
import { shippedFile } from './shipped.js';

/** Where programs are found when the daemon itself was not told. */
const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin';

/** @throws BridgeError `ERR_START`, `ERR_MERCURIAL`, `ERR_GIT`: what the configuration names is not there. */
export async function makeSite(configuration: ServedSiteConfiguration): Promise<Site> {
  try {
    return await siteOf(configuration);
  } catch (error) {
    throw located(configuration, error);
  }
}

/** What was thrown for a site's sake, saying where the site is described. */
export function located({ locate }: ServedSiteConfiguration, error: unknown): unknown {
  return error instanceof BridgeError && locate !== undefined ? locate(error) : error;
}

async function siteOf({ site, env, passEnv }: ServedSiteConfiguration): Promise<Site> {
  const environment = { base: baseEnvironment(passEnv), administrator: env };
  switch (site.kind) {
    case 'script':
      return scriptSite({ ...environment, file: site.file, args: site.args });
    case 'worker':
      return workerSite({ command: site.command, directory: site.directory, administrator: env });
    case 'dir':
      return directorySite({ ...environment, root: site.root });
    case 'hg':
      return hgSite({
        ...environment,
        repos: site.repos,
        ...(site.markers === undefined ? {} : { markers: site.markers }),
        ...(site.hgwebConfig === undefined ? {} : { hgwebConfig: site.hgwebConfig }),
        urlPrefix: site.urlPrefix,
        mercurial: await findMercurial(site.hg),
        hgwebScript: shippedFile('scripts/hgweb.cgi'),
      });
    case 'git':
      return gitSite({
        ...environment,
        repos: site.repos,
        publishedBy: site.publishedBy,
        ...(site.gitwebConfig === undefined ? {} : { gitwebConfig: site.gitwebConfig }),
        urlPrefix: site.urlPrefix,
        git: await findGit(site.git, site.gitweb),
        gitwebSettings: shippedFile('scripts/gitweb.conf'),
      });
  }
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
