/** The pages as a person sees them: every link, style, script and image, in a real browser. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { Browser } from 'playwright-core';

import { launchBrowser } from '../helpers/browser.js';
import { type HgSite, startHgSite, touch } from '../helpers/hg-site.js';
import { hg, makeRepository } from '../helpers/mercurial.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { isFull } from '../helpers/webserver-table.js';
import { addressesFor, startWebServer, type WebServerName } from '../helpers/webserver.js';

const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);
/** Links that give a file and no page; they are fetched, not shown. */
const download = /\/(archive|raw-file|raw-rev|static)\/|\/(atom|rss)-|\/(raw|json)-/;

const byKind = (path: string): string => path.replace(/(\.hg\/[\w-]+).*/, '$1');
/**
 * What pages have in common of which one is asked for: with a second web server, or of a second repository, which has
 * nothing that the first one lacks but where it lies, no more than the kind is looked at.
 */
const shapeBehind = {
  lighttpd: (path: string) =>
    path.startsWith('/other/two.hg/')
      ? byKind(path)
      : path.replace(/\b[0-9a-f]{12}\b|(?<=\/help\/).+|[?]revcount=.*/g, ''),
  nginx: byKind,
} as const;

/** What kind of page a path is: the index, or a command of hgweb's. */
function kindOf(path: string): string {
  return /^\/[^?]*\.hg\/?([\w-]*)/.exec(path)?.[1] ?? 'index';
}

describe('hg in a browser', () => {
  let browser: Browser;
  let site: HgSite;
  let sockets: string;
  before(async () => {
    browser = await launchBrowser();
    const directory = await temporaryDirectory();
    let listen: readonly string[];
    ({ listen, sockets } = await addressesFor('lighttpd', directory));
    site = await makeSite(directory, listen);
  });
  after(async () => {
    await browser.close();
    await site.bridge.stop();
  });

  for (const server of ['lighttpd', 'nginx'] satisfies WebServerName[]) {
    it(`finds no broken link, failed sub-request or console error behind ${server}`, async () => {
      const place = { directory: await temporaryDirectory(), documentRoot: site.markers, sockets };
      const host = await startWebServer(server, place);
      try {
        const visited = await crawl(host.url, isFull ? (path) => path : shapeBehind[server]);
        assert.ok(visited.length > 60, `only ${String(visited.length)} pages: ${visited.join(' ')}`);
        for (const kind of [
          '/index.fcgi',
          '/one.hg/rev/',
          '/one.hg/file/',
          '/one.hg/graph',
          '/other/two.hg/',
          '/one.hg/archive/',
        ]) {
          assert.ok(
            kind === '/index.fcgi' || visited.some((path) => path.startsWith(kind)),
            `${kind} was not linked`,
          );
        }
      } finally {
        await host.stop();
      }
    });
  }

  async function makeSite(directory: string, listen: readonly string[]): Promise<HgSite> {
    // What is started for each page would be most of the test's time.
    const made = await startHgSite(directory, listen, { options: ['--runner', 'warm'] });
    const one = join(made.repos, 'one');
    const files = {
      'read.me': 'hello\n',
      'picture.png': PIXEL,
      'caf\xe9 #1?.txt': 'x\n',
      'sub dir/\xc3\xa9t\xc3\xa9.c': 'int x;\n',
    };
    await makeRepository(one, files, '[web]\nallow-archive = gz\ndescription = First & <best>\n');
    await hg(['branch', '-q', 'feature/x'], one);
    await hg(['commit', '-q', '-m', 'On a branch with a slash'], one);
    await hg(['tag', 'v1.0 beta'], one);
    await hg(['bookmark', 'work'], one);
    await makeRepository(join(made.repos, 'other/two'), { a: 'a\n' });
    for (const name of ['index.fcgi', 'one.hg', 'other/two.hg', 'other/index.fcgi'])
      await touch(join(made.markers, name));
    return made;
  }

  /**
   * Shows the index, the repositories’ pages and one page of each kind; fetches all that these link to; gives the paths.
   * Of paths that have the same shape it asks for one.
   */
  async function crawl(base: string, shapeOf: (path: string) => string): Promise<string[]> {
    const context = await browser.newContext();
    const page = await context.newPage();
    const problems: string[] = [];
    const depths = new Map([['/', 0]]);
    const shown = new Set<string>();
    const asked = new Set<string>();
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning')
        problems.push(`${page.url()}: ${message.text()}`);
    });
    page.on('pageerror', (error) => problems.push(`${page.url()}: ${error.message}`));
    page.on('requestfailed', (request) => {
      // The icon comes last, and the next page may be asked for before it is there: then it is fetched later.
      if (request.failure()?.errorText === 'net::ERR_ABORTED')
        depths.set(new URL(request.url()).pathname, 99);
      else problems.push(`${page.url()}: ${request.url()} failed`);
    });
    page.on('response', (response) => {
      if (response.status() >= 400)
        problems.push(`${page.url()}: ${response.url()} gives ${String(response.status())}`);
    });
    for (const [path, depth] of depths) {
      const shape = shapeOf(path);
      if (asked.has(shape)) continue;
      asked.add(shape);
      if (((depth > 1 || path.includes('?')) && shown.has(kindOf(path))) || download.test(path)) {
        const response = await context.request.get(base + path);
        if (response.status() !== 200) problems.push(`${path} gives ${String(response.status())}`);
        continue;
      }
      shown.add(kindOf(path));
      await page.goto(base + path, { waitUntil: 'load' });
      const links = await page.$$eval('a[href]', (anchors) =>
        anchors.map((anchor) => (anchor as unknown as { href: string }).href),
      );
      for (const target of links.map((link) => new URL(link))) {
        const found = target.pathname + target.search;
        if (target.origin === base && !depths.has(found)) depths.set(found, depth + 1);
      }
    }
    await context.close();
    assert.deepEqual(problems, []);
    return [...depths.keys()];
  }
});
