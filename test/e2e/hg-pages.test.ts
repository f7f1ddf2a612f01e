/**
 * Published repositories through real lighttpd, nginx and Apache, as the README configures them. Of what takes one process
 * a page or file, each is seen behind one of them, unless all are wanted.
 */

import assert from 'node:assert/strict';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { fetchRaw, type HttpAnswer } from '../helpers/http.js';
import { type HgHost, type HgSite, startHgHost, startHgSite, touch } from '../helpers/hg-site.js';
import { makeRepository, startHgServe } from '../helpers/mercurial.js';
import { hgPages } from '../helpers/pages.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { addressesFor, startWebServer, type WebServer, type WebServerName } from '../helpers/webserver.js';
import { isFull } from '../helpers/webserver-table.js';

const LATIN1_NAME = 'caf\xe9 (1).txt';
const UTF8_NAME = 'gr\xc3\xbc\xc3\x9fe.txt';
const ALL_OCTETS = Buffer.from(Array.from({ length: 256 }, (_, octet) => octet));

const servers = ['lighttpd', 'nginx', 'apache'] as const satisfies WebServerName[];

/** What hg serve shows, by paths. */
const reference: Record<string, string> = {
  '/': '',
  '/group/': '',
  '/public.hg/': '',
  '/public.hg/file/tip/': '',
  '/group/inner.hg/graph': '',
  '/public.hg/nope': '',
};

let site: HgSite;
let sockets: string;
before(async () => {
  const directory = await temporaryDirectory();
  let listen: readonly string[];
  ({ listen, sockets } = await addressesFor('lighttpd', directory));
  // What is started for each page would be most of a test's time; test/e2e/hg-warm.test.ts compares these pages.
  site = await startHgSite(directory, listen, { options: ['--runner', 'warm'] });
  const files = {
    'read.me': 'hello\n',
    [LATIN1_NAME]: ALL_OCTETS,
    [UTF8_NAME]: 'gr\xfc\xdfe\n',
    'sub/deep.txt': 'deep\n',
  };
  await makeRepository(
    join(site.repos, 'public'),
    files,
    '[web]\nname = public\nallow-archive = gz zip bz2\n',
  );
  await makeRepository(join(site.repos, 'group/inner'), { a: 'a\n' }, '[web]\nname = inner\n');
  await makeRepository(join(site.repos, 'private'), { a: 'a\n' });
  await makeRepository(join(directory, 'outside'), { secret: 'secret\n' });
  await symlink(join(directory, 'outside'), join(site.repos, 'linked'));
  await mkdir(join(site.repos, 'no-repository'));
  const published = ['index.fcgi', 'public.hg', 'group/inner.hg', 'linked.hg'];
  for (const name of [...published, 'no-repository.hg', 'missing.hg']) await touch(join(site.markers, name));
  const names = { 'group/inner.hg': 'group/inner', 'public.hg': 'public' };
  const theirs = await startHgServe(site.repos, names);
  for (const path of Object.keys(reference))
    reference[path] = (await fetchRaw(theirs.url, path)).body.toString('latin1');
  await theirs.stop();
});
after(() => site.bridge.stop());

for (const [number, server] of servers.entries()) {
  describe(`hg behind ${server}`, () => {
    let host: WebServer;
    /** Those of them that are seen behind this one. */
    const own = <T>(all: readonly T[]): readonly T[] =>
      all.filter((_, index) => isFull || index % servers.length === number);
    const get = (path: string, headers: Record<string, string> = {}): Promise<HttpAnswer> =>
      fetchRaw(host.url, path, { headers });
    const status = async (path: string): Promise<number> => (await get(path)).status;
    const listed = async (path = '/'): Promise<string[]> => {
      const page = (await get(path)).body.toString();
      return [
        ...new Set([...page.matchAll(/href="\/([\w./-]+\.hg)\/"/g)].map((match) => match[1] ?? '')),
      ].sort();
    };

    before(async () => {
      const place = { directory: await temporaryDirectory(), documentRoot: site.markers, sockets };
      host = await startWebServer(server, place);
    });
    after(() => host.stop());

    it('lists exactly the repositories that have a marker', async () => {
      assert.deepEqual(await listed(), ['group/inner.hg', 'public.hg']);
      assert.deepEqual(await listed('/group/'), ['group/inner.hg']);
    });

    it('shows the pages of each', async () => {
      for (const [page, expected] of own(Object.entries(hgPages))) {
        assert.equal(await status(`/public.hg/${page}`), expected, `/public.hg/${page}`);
      }
      for (const page of own(['', 'log', 'file/tip/', 'rev/tip', 'graph', 'help'])) {
        assert.equal(await status(`/group/inner.hg/${page}`), 200, `/group/inner.hg/${page}`);
      }
      assert.equal(await status('/public.hg'), 200);
    });

    it('publishes with touch and withdraws with rm, from the next request on', async () => {
      for (let round = 0; round < (isFull ? 3 : 1); round++) {
        assert.equal(await status('/private.hg/'), 404);
        await touch(join(site.markers, 'private.hg'));
        assert.equal(await status('/private.hg/'), 200);
        assert.deepEqual(await listed(), ['group/inner.hg', 'private.hg', 'public.hg']);
        await rm(join(site.markers, 'private.hg'));
        assert.equal(await status('/private.hg/'), 404);
        assert.deepEqual(await listed(), ['group/inner.hg', 'public.hg']);
      }
    });

    it('withdraws the index with its index.fcgi', async () => {
      await rm(join(site.markers, 'index.fcgi'));
      assert.notEqual(await status('/'), 200);
      await touch(join(site.markers, 'index.fcgi'));
      assert.equal(await status('/'), 200);
    });

    it('answers 404 for a static file that there is not', async () => {
      assert.equal(await status('/index.fcgi/static/nothing.css'), 404);
      assert.equal(await status('/public.hg/static/nothing.css'), 404);
      assert.equal(await status('/index.fcgi/static/mercurial.js'), 200);
    });

    it('answers 404 for what is not published, however it is asked for', async () => {
      for (const path of ['/private.hg/', '/private/', '/missing.hg/', '/no-repository.hg/', '/linked.hg/']) {
        assert.equal(await status(path), 404, path);
      }
      for (const path of ['/group/private.hg/', '/.hg/', '/public.hg.hg/', '/outside.hg/', '/public.hgx/']) {
        assert.equal(await status(path), 404, path);
      }
    });

    it('never leads out of the directories', async () => {
      const paths = [
        '/../outside.hg/',
        '/x/../../outside.hg/',
        '/..%2foutside.hg/',
        '/%2e%2e/outside.hg/',
        '/%2e%2e%2foutside.hg/',
      ];
      for (const path of [
        ...paths,
        '/public.hg%2f..%2f..%2foutside.hg/',
        '/public.hg%00/',
        '/%00.hg/',
        '/linked.hg/file/tip/secret',
      ]) {
        const answer = await get(path);
        assert.ok([400, 404].includes(answer.status), `${path}: ${String(answer.status)}`);
        assert.doesNotMatch(answer.body.toString(), /secret\n/);
      }
    });

    it('gives raw files whose names are not UTF-8, octet by octet', async () => {
      const latin1 = await get('/public.hg/raw-file/tip/caf%E9%20(1).txt');
      assert.equal(latin1.status, 200);
      assert.deepEqual(latin1.body, ALL_OCTETS);
      assert.equal(
        latin1.headers['content-disposition'],
        `inline; filename="caf_ (1).txt"; filename*=ISO-8859-1''caf%E9%20%281%29.txt`,
      );
      const utf8 = await get('/public.hg/raw-file/tip/gr%C3%BC%C3%9Fe.txt');
      assert.equal(utf8.body.toString('latin1'), Buffer.from('gr\xfc\xdfe\n').toString('latin1'));
      assert.match(String(utf8.headers['content-disposition']), /filename\*=UTF-8''gr%C3%BC%C3%9Fe\.txt$/);
    });

    it('gives archives that hold every file', async () => {
      for (const type of own(['tar.gz', 'zip', 'tar.bz2'])) {
        const archive = await get(`/public.hg/archive/tip.${type}`);
        assert.equal(archive.status, 200, type);
        assert.match(
          String(archive.headers['content-disposition']),
          new RegExp(`public-[0-9a-f]{12}\\.${type}$`),
        );
        assert.ok(archive.body.length > 300);
      }
    });

    it('answers HEAD without a body and If-None-Match with 304', async () => {
      const head = await fetchRaw(host.url, '/public.hg/', { method: 'HEAD' });
      assert.equal(head.status, 200);
      assert.equal(head.body.length, 0);
      const etag = String(head.headers.etag);
      assert.equal((await get('/public.hg/', { 'If-None-Match': etag })).status, 304);
    });

    it('is not led astray by Expect, a Proxy header or others that the requester chooses', async () => {
      const headers = { Expect: '100-continue', Proxy: 'http://127.0.0.1:1', 'X-Repo-Name': 'private' };
      const answer = await get('/public.hg/', headers);
      assert.equal(answer.status, 200);
      assert.match(answer.body.toString(), /First changeset/);
    });

    it('shows the pages that hg serve shows, to the letter', async () => {
      for (const [page, theirs] of own(Object.entries(reference))) {
        const ours = (await get(page)).body.toString('latin1');
        assert.equal(ours.replaceAll('/index.fcgi/static/', '/static/'), theirs, page);
      }
    });
  });
}

describe('hg without --markers', () => {
  let host: HgHost;
  before(async () => {
    const directory = await temporaryDirectory();
    host = await startHgHost('nginx', directory, { markers: false });
    await makeRepository(join(host.repos, 'one'), { a: 'a\n' });
    await makeRepository(join(host.repos, 'group/two'), { a: 'a\n' });
    await makeRepository(join(directory, 'outside'), { a: 'a\n' });
    await symlink(join(directory, 'outside'), join(host.repos, 'linked'));
  });
  after(() => host.stop());

  it('serves every repository under its own name', async () => {
    const index = await fetchRaw(host.url, '/');
    assert.deepEqual(
      [...index.body.toString().matchAll(/<td><a href="(\/[\w/]+\/)">/g)].map((match) => match[1]),
      ['/group/two/', '/one/'],
    );
    for (const path of ['/one/', '/group/two/rev/tip', '/group/']) {
      assert.equal((await fetchRaw(host.url, path)).status, 200, path);
    }
  });

  it('serves nothing else', async () => {
    for (const path of ['/linked/', '/one.hg/', '/two/', '/one/../linked/', '/nothing/']) {
      assert.equal((await fetchRaw(host.url, path)).status, 404, path);
    }
  });
});

describe('the settings of hg', () => {
  it('reads --hgweb-config after Mercurial’s own files and serves below --url-prefix', async () => {
    const directory = await temporaryDirectory();
    const config = join(directory, 'hgweb.config');
    await writeFile(config, '[web]\nstyle = gitweb\nmotd = Greetings from the administrator\n');
    const options = ['--hgweb-config', config, '--url-prefix', '/hg/'];
    const host = await startHgHost('nginx', directory, { options });
    try {
      await makeRepository(join(host.repos, 'one'), { a: 'a\n' });
      await makeRepository(join(host.repos, 'group/two'), { a: 'a\n' });
      for (const name of ['one.hg', 'group/two.hg', 'index.fcgi']) await touch(join(host.markers, name));
      const index = await fetchRaw(host.url, '/hg/');
      assert.match(index.body.toString(), /Greetings from the administrator/);
      assert.match(index.body.toString(), /href="\/hg\/index\.fcgi\/static\/style-gitweb\.css"/);
      assert.match(index.body.toString(), /href="\/hg\/one\.hg\/"/);
      const group = (await fetchRaw(host.url, '/hg/group/')).body.toString();
      assert.match(group, /<a href="\/hg">hg<\/a>.*<a href="\/hg\/group">group<\/a>/s);
      assert.equal((await fetchRaw(host.url, '/hg/index.fcgi/static/style-gitweb.css')).status, 200);
      const page = await fetchRaw(host.url, '/hg/one.hg/');
      assert.match(page.body.toString(), /href="\/hg\/one\.hg\/static\/style-gitweb\.css"/);
      assert.equal((await fetchRaw(host.url, '/one.hg/')).status, 404);
    } finally {
      await host.stop();
    }
  });
});
