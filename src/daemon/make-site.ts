/** Makes the site that a configuration describes. */

import { directorySite } from '../sites/directory.js';
import { gitSite } from '../sites/git/git-site.js';
import { findGit } from '../sites/git/installation.js';
import { hgSite } from '../sites/hg/hg-site.js';
import { findMercurial } from '../sites/hg/installation.js';
import { scriptSite, workerSite } from '../sites/script.js';
import type { Site } from '../sites/site.js';
import { located, type ServedSiteConfiguration } from './configuration.js';
import { shippedFile } from './package.js';
import { baseEnvironment, findProgram } from './programs.js';

/** @throws BridgeError `ERR_START`, `ERR_MERCURIAL`, `ERR_GIT`: what the configuration names is not there. */
export async function makeSite(configuration: ServedSiteConfiguration): Promise<Site> {
  try {
    return await siteOf(configuration);
  } catch (error) {
    throw located(configuration, error);
  }
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
