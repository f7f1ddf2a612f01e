import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { documentBytes } from '../../../src/cgi/document.js';
import { StatusCollector } from '../../../src/daemon/status/collector.js';
import { ownPage } from '../../../src/daemon/status/pages.js';

const collector = await StatusCollector.open(() => true);

/** The answer to GET, with other params if they are given; undefined where it is the site's to answer. */
async function ask(params: Readonly<Record<string, string>>, isAccepting = true) {
  const paths = { statusPath: '/status', healthPath: '/health' };
  const page = ownPage(paths, () => isAccepting, collector);
  const answer = await page?.(Object.entries({ REQUEST_METHOD: 'GET', ...params }));
  if (answer === undefined) return undefined;
  const { status, fields } = answer;
  const headOnly = params['REQUEST_METHOD'] === 'HEAD';
  const body = documentBytes(answer, { headOnly }).toString().split('\r\n\r\n').slice(1).join();
  return { status, body, fields: Object.fromEntries(fields) as Record<string, string> };
}

describe('Pages of the bridge’s own', () => {
  it('are at their paths alone, wherever the web server has cut them', async () => {
    for (const params of [
      { SCRIPT_NAME: '/health' },
      { SCRIPT_NAME: '', PATH_INFO: '/health' },
      { REQUEST_URI: '/h%65alth?x' },
    ]) {
      assert.equal((await ask(params))?.status, 200, JSON.stringify(params));
    }
    for (const path of ['/health/', '/healthy', '/x/health', '/', '//health']) {
      assert.equal(await ask({ SCRIPT_NAME: path }), undefined, path);
    }
    assert.equal(await ask({}), undefined);
  });

  it('show the status to nobody whose path a web server may not have seen', async () => {
    const status = { SCRIPT_NAME: '/status' };
    for (const uri of ['/%73tatus', '/%73tatus?/status', '/statu%73#/status', 'http://host/%2573tatus'])
      assert.equal(await ask({ ...status, REQUEST_URI: uri }), undefined, uri);
    for (const uri of ['/status', '/status?a=%20', '/admin/status', 'http://h%6fst/status', '/elsewhere', ''])
      assert.equal((await ask({ ...status, REQUEST_URI: uri }))?.status, 200, uri);
    const page = ownPage({ statusPath: '/my status', healthPath: undefined }, () => true, collector);
    const params = { REQUEST_METHOD: 'GET', REQUEST_URI: '/my%20status' };
    assert.equal((await page?.(Object.entries(params)))?.status, 200, 'what has to be encoded');
  });

  it('are nowhere unless it was said where', () => {
    assert.equal(
      ownPage({ statusPath: undefined, healthPath: undefined }, () => true, collector),
      undefined,
    );
  });

  it('say of health 200 while new work is taken, and 503 otherwise', async () => {
    const health = { SCRIPT_NAME: '/health' };
    const [well, ill] = [await ask(health), await ask(health, false)];
    assert.deepEqual([well?.status, well?.body], [200, 'accepting\n']);
    assert.deepEqual([ill?.status, ill?.body], [503, 'draining\n']);
    assert.equal(well?.fields['Cache-Control'], 'no-store');
  });

  it('have the form that is asked for', async () => {
    const typeOf = async (params: Record<string, string>): Promise<string | undefined> =>
      (await ask({ SCRIPT_NAME: '/status', ...params }))?.fields['Content-Type'];
    const [html, json, text, prometheus] = [
      'text/html; charset=utf-8',
      'application/json',
      'text/plain; charset=utf-8',
      'text/plain; version=0.0.4; charset=utf-8',
    ];
    assert.equal(await typeOf({ HTTP_ACCEPT: 'text/html,application/xhtml+xml,*/*;q=0.8' }), html);
    assert.equal(await typeOf({ HTTP_ACCEPT: 'application/json' }), json);
    assert.equal(await typeOf({ HTTP_ACCEPT: '*/*' }), text);
    assert.equal(await typeOf({}), text);
    assert.equal(
      await typeOf({ HTTP_ACCEPT: 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4' }),
      prometheus,
    );
    for (const [format, type] of Object.entries({ html, json, text, prometheus })) {
      assert.equal(await typeOf({ QUERY_STRING: `x=1&format=${format}`, HTTP_ACCEPT: 'text/html' }), type);
    }
    const unknown = await ask({ SCRIPT_NAME: '/status', QUERY_STRING: 'format=xml' });
    assert.deepEqual([unknown?.status, (unknown?.body ?? '').includes('html, text, json')], [404, true]);
  });

  it('give HEAD the length without the page, and refuse other methods', async () => {
    const head = await ask({ SCRIPT_NAME: '/health', REQUEST_METHOD: 'HEAD' });
    assert.deepEqual([head?.status, head?.body, head?.fields['Content-Length']], [200, '', '10']);
    for (const path of ['/health', '/status']) {
      const post = await ask({ SCRIPT_NAME: path, REQUEST_METHOD: 'POST' });
      assert.deepEqual([post?.status, post?.fields['Allow']], [405, 'GET, HEAD']);
    }
  });

  it('are loaded anew as often as asked, within reason', async () => {
    const refreshed = async (refresh: string): Promise<boolean> => {
      const page = await ask({ SCRIPT_NAME: '/status', QUERY_STRING: `format=html&refresh=${refresh}` });
      return page?.body.includes('http-equiv') === true;
    };
    assert.ok(await refreshed('5'));
    for (const wrong of ['0', '-1', '5;url=//evil', '99999', '']) assert.ok(!(await refreshed(wrong)), wrong);
  });
});
