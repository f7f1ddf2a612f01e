/**
 * The configurations of scripts/webservers, each with every site: what the README's table of web servers says.
 *
 * A web server that can't do a case says so in the table of helpers/webserver-table.ts, with what happens instead.
 *
 * `scripts/test --full` runs every case with every web server. Else each web server has each kind of case once: a kind
 * that several sites have is asked of them in turn, and Apache has some by a Unix socket and the others by TCP.
 */

import assert from 'node:assert/strict';

import { after, before, describe, it } from 'node:test';

import { type Case, gitCases, hgCases, scriptCases } from './web-server-cases.js';
import { gitLeavers, hgLeavers } from './web-server-leavers.js';
import { gitStrangers, hgStrangers } from './web-server-strangers.js';
import { type SharedSite, type SiteHost, startSite } from '../helpers/site-host.js';
import { lacking } from '../helpers/release.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { isFull, type WebServerName, webServerNames, webServers } from '../helpers/webserver-table.js';

const sites = {
  hg: [...hgCases, ...hgLeavers],
  git: [...gitCases, ...gitLeavers],
  script: scriptCases,
} as const satisfies Record<string, readonly Case[]>;
type Site = keyof typeof sites;
/**
 * Where something is wrong with these, strangers push: no web server's configuration goes without them. Who is asked for
 * a password is the same by each of a program's ways to the bridge.
 */
const always: Readonly<Record<Site, readonly Case[]>> = { hg: hgStrangers, git: gitStrangers, script: [] };
const siteNames = Object.keys(sites) as Site[];

const kindOf = ({ kind, title }: Case): string => kind ?? title;
const programOf = (server: WebServerName): string => server.replace(/-tcp$/, '');
const distinct = <T>(all: readonly T[]): readonly T[] => [...new Set(all)];
const kinds = distinct(siteNames.flatMap((site) => sites[site].map(kindOf)));
const programs = distinct(webServerNames.map(programOf));

/** Each program has each kind of case at one of the sites that have it, and by one of its ways to the bridge. */
function isChosen(server: WebServerName, site: Site, each: Case): boolean {
  const turn = programs.indexOf(programOf(server)) + kinds.indexOf(kindOf(each));
  const having = siteNames.filter((name) => sites[name].some((one) => kindOf(one) === kindOf(each)));
  const ways = webServerNames.filter((name) => programOf(name) === programOf(server));
  return (
    having[turn % having.length] === site && ways[Math.floor(turn / having.length) % ways.length] === server
  );
}

interface Part {
  readonly server: WebServerName;
  readonly site: Site;
  readonly cases: readonly Case[];
}

const chosen = webServerNames.flatMap((server) =>
  siteNames.map((site) => ({
    server,
    site,
    cases: sites[site].filter((one) => isChosen(server, site, one)),
  })),
);

describe('The cases of a run that is not full', () => {
  it('have each two of web server, site and kind of case in one of them, where these can meet', () => {
    const pairs = (all: readonly Part[]): readonly string[] =>
      distinct(
        all.flatMap(({ server, site, cases }) =>
          cases.flatMap((each) => [
            `${programOf(server)}: ${kindOf(each)}`,
            `${site}: ${kindOf(each)}`,
            `${server}: ${site}`,
          ]),
        ),
      ).toSorted();
    assert.deepEqual(pairs(chosen), pairs(chosen.map((each) => ({ ...each, cases: sites[each.site] }))));
  });
});

for (const site of siteNames) {
  describe(`Before ${site}`, () => {
    let shared: SharedSite;
    before(async () => {
      shared = await startSite(site, await temporaryDirectory());
    });
    after(() => shared.bridge.stop());

    for (const { server, cases } of chosen.filter((part) => part.site === site)) {
      describe(server, { timeout: 300_000, skip: lacking(...webServers[server].program) }, () => {
        let host: SiteHost;
        before(async () => {
          host = await shared.startHost(server, await temporaryDirectory());
        });
        after(() => host.stop());

        const strangers = isFull || programOf(server) === server ? always[site] : [];
        for (const { title, run } of [...(isFull ? sites[site] : cases), ...strangers]) {
          const instead = webServers[server].cannot[title];
          if (instead === undefined) it(title, () => run(host));
          else it(`can’t ${title}`, () => assert.rejects(run(host), instead));
        }
      });
    }
  });
}
