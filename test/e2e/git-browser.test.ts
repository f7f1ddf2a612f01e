/** Gitweb as a person sees it: every link, style, script and image, in a real browser. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { Browser, Page } from 'playwright-core';

import { launchBrowser } from '../helpers/browser.js';
import { git, makeBareRepository } from '../helpers/git.js';
import { type GitHost, startGitHost } from '../helpers/git-site.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import type { WebServerName } from '../helpers/webserver.js';
import { isFull } from '../helpers/webserver-table.js';

describe('gitweb in a browser', { timeout: 240_000 }, () => {
  let browser: Browser;
  before(async () => {
    browser = await launchBrowser();
  });
  after(() => browser.close());

  for (const server of ['lighttpd', 'nginx'] satisfies WebServerName[]) {
    it(`leads from the list to a raw file and a snapshot, with no broken link, behind ${server}`, async () => {
      const host = await makeHost(server);
      try {
        await click(host.url, server === 'lighttpd' || isFull);
      } finally {
        await host.stop();
      }
    });
  }

  async function makeHost(server: WebServerName): Promise<GitHost> {
    const options = ['--runner', 'warm'];
    const host = await startGitHost(server, await temporaryDirectory(), { options });
    const one = join(host.repos, 'group/one +é.git');
    const files = {
      'read me.txt': 'hello\n',
      'caf\xe9 #1?.txt': 'x\n',
      'sub dir/\xc3\xa9t\xc3\xa9.c': 'int x;\n',
    };
    const work = await makeBareRepository(one, files);
    await git(['tag', '-a', '-m', 'tagged', 'v1.0'], work);
    await git(['rm', '-q', 'sub dir/été.c'], work);
    await git(['commit', '-q', '-m', 'Second & <last>'], work);
    await git(['push', '-q', '--tags', one, 'main', 'main:feature/x'], work);
    await makeBareRepository(join(host.repos, 'two.git'), { a: 'a\n' });
    return host;
  }

  /** Goes the way that people go; on each page, fetches what it links to where that is wanted. */
  async function click(base: string, isFetching: boolean): Promise<void> {
    const context = await browser.newContext();
    const page = await context.newPage();
    const problems: string[] = [];
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) problems.push(`${page.url()}: ${message.text()}`);
    });
    page.on('pageerror', (error) => problems.push(`${page.url()}: ${error.message}`));
    page.on('requestfailed', (request) => {
      // A page that is left may still be waiting for its icon.
      if (request.failure()?.errorText !== 'net::ERR_ABORTED') problems.push(`${request.url()} failed`);
    });
    page.on('response', (response) => {
      if (response.status() >= 400) problems.push(`${response.url()} gives ${String(response.status())}`);
    });
    const fetched = new Set<string>();
    const check = async (): Promise<void> => {
      if (!isFetching) return;
      for (const link of (await linksOf(page)).filter((each) => each.startsWith(`${base}/`))) {
        if (fetched.has(link)) continue;
        fetched.add(link);
        const response = await context.request.get(link);
        if (response.status() !== 200)
          problems.push(`${page.url()}: ${link} gives ${String(response.status())}`);
      }
    };
    const follow = async (text: string, title: RegExp): Promise<void> => {
      await page
        .locator('a', { hasText: new RegExp(`^${text}$`) })
        .first()
        .click();
      await page.waitForLoadState('load');
      assert.match(await page.title(), title);
      await check();
    };
    await page.goto(base, { waitUntil: 'load' });
    await check();
    const background = await page.evaluate(
      'getComputedStyle(document.querySelector(".page_header")).backgroundColor',
    );
    assert.equal(background, 'rgb(217, 216, 209)', 'the page has its style');
    await follow('group/one \\+é\\.git', /one \+é\.git\/summary$/);
    await follow('log', /\/log$/);
    await follow('commit', /\/commit$/);
    await follow('commitdiff', /\/commitdiff$/);
    await follow('tree', /\/tree$/);
    await follow('blob', /\/blob - caf/);
    await follow('raw', /^$/);
    assert.equal(await page.textContent('body'), 'x\n');
    await page.goBack({ waitUntil: 'load' });
    await follow('projects', /Git$/);
    await follow('two\\.git', /two\.git\/summary$/);
    const downloading = page.waitForEvent('download');
    await page
      .locator('a', { hasText: /^tar\.gz$/ })
      .first()
      .click();
    const download = await downloading;
    assert.match(download.suggestedFilename(), /^two-[0-9a-f]{7}\.tar\.gz$/);
    assert.equal(await download.failure(), null);
    await context.close();
    assert.deepEqual(problems, []);
    assert.ok(!isFetching || fetched.size > 60, `only ${String(fetched.size)} links`);
  }
});

/** All links of a page; the browser knows what they are relative to. */
async function linksOf(page: Page): Promise<string[]> {
  const links = await page.$$eval('a[href], link[href], form[action]', (elements) =>
    elements.map((element) => {
      const { href, action } = element as unknown as { href?: string; action?: string };
      return href ?? action ?? '';
    }),
  );
  return links.map((link) => link.replace(/#.*$/, ''));
}
