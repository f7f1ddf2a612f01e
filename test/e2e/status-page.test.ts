/** The status and health pages behind real web servers, and as a person sees them. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import type { Browser } from 'playwright-core';

import { connect } from '../helpers/ask.js';
import { launchBrowser } from '../helpers/browser.js';
import { fixture } from '../helpers/bridge.js';
import { textOf } from '../helpers/documents.js';
import { examplesIn } from '../helpers/examples.js';
import { fetchRaw } from '../helpers/http.js';
import { answered, serve, type Served } from '../helpers/served.js';
import {
  startPassing,
  startWebServerWith,
  type WebServer,
  type WebServerName,
} from '../helpers/webserver.js';

/** What a browser would run, a terminal obey, or a reader be fooled by. */
const hostile = '/"><script>document.title="owned"</script><img src=x onerror=alert(1)>\u001b[31m\u202e';
/** More than anybody wants to read, without a place to break it. */
const long = 'x'.repeat(900);

for (const name of ['nginx', 'lighttpd'] satisfies WebServerName[]) {
  describe(`The daemon’s own pages behind ${name}`, { timeout: 300_000 }, () => {
    let served: Served;
    let web: WebServer;
    let busy: ReturnType<typeof connect>;

    before(async () => {
      served = await serve([
        'script',
        ...[
          '--status-path',
          '/status',
          '--health-path',
          '/health',
          '--max-processes',
          '1',
          '--max-queue',
          '0',
        ],
        fixture('cgi/ignores-term.sh'),
      ]);
      web = await startPassing(name, served.socket);
      // It takes the only place, and keeps it.
      busy = connect(served.socket);
      const request = busy.send([
        ['REQUEST_METHOD', 'GET'],
        ['REQUEST_URI', Buffer.from(hostile + long).toString('latin1')],
      ]);
      request.stdin.end();
      await answered(request, /\d+\n/);
    });
    after(async () => {
      busy.close();
      await web.stop();
    });

    it('are answered though all slots are taken', async () => {
      assert.equal((await fetchRaw(web.url, '/')).status, 503);
      const health = await fetchRaw(web.url, '/health');
      assert.deepEqual([health.status, health.body.toString()], [200, 'accepting\n']);
      const text = await fetchRaw(web.url, '/status');
      assert.match(text.body.toString(), /1 of 1 slots taken/);
      assert.match(text.body.toString(), /not-admitted +1/);
      assert.doesNotMatch(text.body.toString(), /[\u001b\u202e]/);
      const head = await fetchRaw(web.url, '/status?format=json', { method: 'HEAD' });
      assert.deepEqual([head.status, head.body.length], [200, 0]);
      assert.equal((await fetchRaw(web.url, '/status', { method: 'POST' })).status, 405);
    });

    it('have the form that the Accept field or the query asks for', async () => {
      const typeOf = async (path: string, accept: string): Promise<string | undefined> =>
        (await fetchRaw(web.url, path, { headers: { accept } })).headers['content-type'];
      assert.equal(await typeOf('/status', 'text/html'), 'text/html; charset=utf-8');
      assert.equal(await typeOf('/status', 'application/json'), 'application/json');
      assert.equal(
        await typeOf('/status?format=prometheus', '*/*'),
        'text/plain; version=0.0.4; charset=utf-8',
      );
    });

    it('show what is hostile as the text that it is, in a browser that would run it', async () => {
      const browser: Browser = await launchBrowser();
      try {
        const page = await browser.newPage();
        const problems: string[] = [];
        page.on('console', (message) => problems.push(message.text()));
        page.on('pageerror', (error) => problems.push(error.message));
        page.on('dialog', (dialog) => {
          problems.push(dialog.message());
          void dialog.dismiss();
        });
        // A browser asks for an icon, which has nothing to do with the page.
        await page.route('**/favicon.ico', (route) => route.fulfill({ status: 204 }));
        const requested: string[] = [];
        page.on('request', (request) => requested.push(new URL(request.url()).pathname));
        await page.goto(`${web.url}/status`, { waitUntil: 'load' });
        assert.equal(await page.title(), 'fcgi2cgi: 1 active');
        const shown = await page.locator('td.w code').first().innerText();
        assert.equal(
          shown,
          `GET ${hostile.replace('\u001b', '\\u001b').replace('\u202e', '\\u202e')}${long}`,
        );
        assert.equal(await page.locator('script, img').count(), 0);
        const font = await page.evaluate("getComputedStyle(document.querySelector('h1')).fontWeight");
        assert.equal(font, '700', 'its own style holds');
        assert.match(
          await page.locator('.sites tbody tr').innerText(),
          /^script\s+\d\.\d\s+1 max 1\s+0 max 0\s+[1-9]\d*$/,
        );
        assert.deepEqual(await page.locator('figcaption').allInnerTexts(), [
          'requests at most 1 in 10 s',
          'running at most 1 at once, waiting at most 0 at once',
          'errors at most 1 in 10 s',
        ]);
        const graph = await page.locator('svg').first().boundingBox();
        assert.ok(graph !== null && graph.width > 200 && graph.height > 30, 'there is something to see');
        const process = await page.locator('h3:has-text("processes") + div tbody tr').first().innerText();
        assert.match(process, /\tsleep\t\d.* m?s\t\d.* [kM]B$/);
        assert.match(
          await page.locator('li').first().innerText(),
          /^GET \/\n1 processes run .*--max-queue\)\n503 not-admitted · .*[\da-f]{8}-\d+ · \d{4}-/,
        );
        await page.emulateMedia({ colorScheme: 'dark' });
        const colour = "getComputedStyle(document.querySelector('h1')).color";
        assert.equal(await page.evaluate(colour), 'rgb(255, 255, 255)', 'in the dark it is light');
        // On a telephone.
        await page.setViewportSize({ width: 390, height: 800 });
        assert.ok(Number(await page.evaluate('document.documentElement.scrollWidth')) <= 390);
        const table = "document.querySelector('.sites > div')";
        assert.ok(
          await page.evaluate(`${table}.scrollWidth <= ${table}.clientWidth`),
          'a row of a site fits',
        );
        const row = await page.locator('tr:has(td.w)').first().boundingBox();
        const what = await page.locator('td.w').first().boundingBox();
        assert.ok(row !== null && row.height < 100, 'a long URI does not push others away');
        assert.ok(what !== null && what.x + what.width <= 390, 'what runs is seen without scrolling');
        await page.getByText('again every 5 s').click();
        await page.locator('meta[http-equiv=refresh][content="5"]').waitFor({ state: 'attached' });
        assert.deepEqual(
          requested.filter((path) => path !== '/status' && path !== '/favicon.ico'),
          [],
        );
        assert.deepEqual(problems, []);
      } finally {
        await browser.close();
      }
    });
  });
}

describe('The lines for nginx in the manual', () => {
  it('keep strangers from the status page at all its addresses, and nobody from anything else', async () => {
    const [lines] = examplesIn('src/man/fcgi2cgi-troubleshooting.7').filter(({ text }) =>
      text.includes('deny all'),
    );
    const args = ['script', '--status-path', '/fcgi2cgi-status', fixture('cgi/prints-environment.sh')];
    const served = await serve(args);
    const shipped = textOf('scripts/webservers/nginx-hg.conf');
    const statusesFor = async (reader: string, paths: readonly string[]): Promise<number[]> => {
      const settings = shipped
        .replace(/^ {4}location /m, `${lines?.text ?? ''}$&`)
        .replace('127.0.0.1', reader)
        .replaceAll('/run/fcgi2cgi/hg.sock', served.socket);
      const web = await startWebServerWith('nginx', settings);
      try {
        const answers = await Promise.all(paths.map((path) => fetchRaw(web.url, path)));
        return answers.map(({ status }) => status);
      } finally {
        await web.stop();
      }
    };
    const path = '/fcgi2cgi-status';
    assert.deepEqual(await statusesFor('127.0.0.1', [path, '/']), [200, 200]);
    const odd = [path, `/${path}`, '/%66cgi2cgi-status', `/x/..${path}`, `${path}?format=json`];
    assert.deepEqual(await statusesFor('192.0.2.1', [...odd, '/']), [403, 403, 403, 403, 403, 200]);
    await served.stop();
  });
});
