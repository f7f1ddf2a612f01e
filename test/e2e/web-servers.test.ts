/**
 * The configurations of scripts/webservers, each with every site: what the README's table of web servers says.
 *
 * A web server that can't do a case says so in the table of helpers/webserver-table.ts, with what happens instead.
 */

import assert from 'node:assert/strict';

import { after, before, describe, it } from 'node:test';

import { type Case, gitCases, hgCases, scriptCases } from './web-server-cases.js';
import { gitLeavers, hgLeavers } from './web-server-leavers.js';
import { startHost, type SiteHost } from '../helpers/site-host.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { webServerNames, webServers } from '../helpers/webserver-table.js';

const sites: Readonly<Record<'hg' | 'git' | 'script', readonly Case[]>> = {
  hg: [...hgCases, ...hgLeavers],
  git: [...gitCases, ...gitLeavers],
  script: scriptCases,
};

for (const server of webServerNames) {
  for (const [site, cases] of Object.entries(sites)) {
    describe(`${server} before ${site}`, { timeout: 300_000 }, () => {
      let host: SiteHost;
      before(async () => {
        const directory = await temporaryDirectory();
        host = await startHost(server, site as keyof typeof sites, directory);
      });
      after(() => host.stop());

      for (const { title, run } of cases) {
        const instead = webServers[server].cannot[title];
        if (instead === undefined) it(title, () => run(host));
        else it(`can’t ${title}`, () => assert.rejects(run(host), instead));
      }
    });
  }
}
