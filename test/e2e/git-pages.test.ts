/**
 * Gitweb's pages of published repositories, through real lighttpd, nginx and Apache as the README configures them. Of
 * pages of many kinds, each is seen behind one of them, unless all are wanted.
 */

import assert from 'node:assert/strict';
import { cp, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';

import { git, makeBareRepository, makeWorkTree } from '../helpers/git.js';
import { type GitHost, startGitHost } from '../helpers/git-site.js';
import { touch } from '../helpers/hg-site.js';
import { fetchRaw, type HttpAnswer } from '../helpers/http.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { isFull, type WebServerName } from '../helpers/webserver-table.js';
import { strangers } from './web-server-strangers.js';

/** The links of a list's first column. */
const listed = (page: string): string[] =>
  [...page.matchAll(/<td><a class="list" href="([^"]+)">/g)].map(([, href = '']) => href).sort();

/** An answer without what differs in any two: the date and the request's id. */
const same = ({ status, headers, body }: HttpAnswer): unknown => [
  status,
  { ...headers, date: '', 'content-length': '' },
  body.toString('latin1').replace(/Request [0-9a-f-]+/, ''),
];

/** What lies in --repos, and beside it. */
let made: string;
before(async () => {
  made = await temporaryDirectory();
  const repos = join(made, 'repos');
  const one = join(repos, 'one.git');
  const files = {
    'read me.txt': 'hello\n',
    'caf\xe9.txt': Buffer.of(0, 255),
    'sub/\xc3\xa9.c': 'int x;\n',
  };
  const work = await makeBareRepository(one, files);
  await git(['tag', '-a', '-m', 'tagged', 'v1.0'], work);
  await git(['commit', '-q', '--allow-empty', '-m', 'Second'], work);
  await git(['push', '-q', '--tags', one, 'main'], work);
  await git(['config', 'gitweb.owner', 'Bela Bánki'], one);
  await writeFile(join(one, 'description'), 'First & <best>\n');
  await makeBareRepository(join(repos, 'group/b c+%é.git'), { a: 'a\n' });
  await makeWorkTree(join(repos, 'tree'), { a: 'a\n' });
  await touch(join(repos, 'tree/.git/git-daemon-export-ok'));
  await makeBareRepository(join(made, 'outside.git'), { secret: 'the secret\n' }, { exported: false });
  // The last as the bytes of the one above are when they are taken for characters.
  for (const name of ['hidden.git', 'group/hidden.git', 'group/b c+%Ã©.git'])
    await cp(join(made, 'outside.git'), join(repos, name), { recursive: true });
  await touch(join(made, 'outside.git/git-daemon-export-ok'));
});

const servers = ['lighttpd', 'nginx', 'apache'] as const satisfies WebServerName[];

for (const [number, server] of servers.entries()) {
  describe(`gitweb behind ${server}`, { timeout: 300_000 }, () => {
    /** Those of them that are seen behind this one. */
    const own = <T>(all: readonly T[]): readonly T[] =>
      all.filter((_, index) => isFull || index % servers.length === number);
    let host: GitHost;
    const get = (path: string, headers: Record<string, string> = {}): Promise<HttpAnswer> =>
      fetchRaw(host.url, path, { headers });
    const shown = async (path: string): Promise<string> => {
      const { status, body } = await get(path);
      assert.equal(status, 200, `${path}: ${body.toString()}`);
      return body.toString();
    };

    before(async () => {
      const directory = await temporaryDirectory();
      // By both runners, whose pages are the same; what is started for each page is most of a test's time.
      const options = ['--runner', server === 'lighttpd' ? 'spawn' : 'warm'];
      host = await startGitHost(server, directory, { options });
      await cp(made, directory, { recursive: true });
      await symlink(join(directory, 'outside.git'), join(host.repos, 'linked.git'));
    });
    after(() => host.stop());

    it('lists what is published, with owner and description', async () => {
      const page = await shown('/');
      assert.deepEqual(listed(page), ['/group/b c+%25%C3%A9.git', '/one.git', '/tree']);
      assert.match(page, /First &amp; &lt;best&gt;/);
      assert.match(page, /<i>Bela Bánki<\/i>/);
      assert.deepEqual(listed(await shown('/group/')), ['/group/b c+%25%C3%A9.git']);
      assert.deepEqual(listed(await shown('/?a=project_list;pf=group')), ['/group/b c+%25%C3%A9.git']);
      assert.deepEqual(listed(await shown('/?s=First')), ['/one.git']);
      assert.match(
        await shown('/?a=project_index'),
        /^group\/b\+c%2B%25%C3%A9\.git \S*\none\.git Bela\+B%C3%A1nki$/m,
      );
      assert.match(await shown('/?a=opml'), /xmlUrl="http:\/\/[^"/]+\/one\.git\/rss"/);
    });

    it('shows the same by path and by query', async () => {
      for (const action of own(['summary', 'log', 'commitdiff', 'tree'])) {
        const path = await shown(`/one.git/${action}`);
        for (const query of [
          `p=one.git;a=${action}`,
          `a=${action}&p=one%2egit`,
          `p=one.git;a=${action};p=x`,
        ]) {
          assert.equal(await shown(`/?${query}`), path, query);
        }
        assert.equal(await shown(`/group/?p=one.git;a=${action}`), path, 'what the query names counts more');
      }
    });

    it('gives files, differences, blame, search, feeds and snapshots', async () => {
      const pages = {
        'blob_plain/HEAD:/read%20me.txt': /^hello\n$/,
        'blob/v1.0:/sub/%C3%A9.c': /int&nbsp;x;/,
        'blame/HEAD:/read%20me.txt': /Ann Ärcher/,
        'history/HEAD:/read%20me.txt': /First commit/,
        'search?s=Second;st=commit': /<span class="match">Second<\/span>/,
        'search?s=int;st=grep': /<span class="match">int<\/span>/,
        rss: /<managingEditor>Bela Bánki<\/managingEditor>/,
        atom: /<title type="html">Second<\/title>/,
        'patch/v1.0': /^\+hello$/m,
      };
      for (const [path, expected] of own(Object.entries(pages)))
        assert.match(await shown(`/one.git/${path}`), expected);
      assert.deepEqual((await get('/one.git/blob_plain/HEAD:/caf%E9.txt')).body, Buffer.of(0, 255));
      for (const [type, magic] of own(Object.entries({ 'tar.gz': '\x1f\x8b', zip: 'PK' }))) {
        const { body, headers } = await get(`/one.git/snapshot/HEAD.${type}`);
        assert.equal(body.toString('latin1', 0, 2), magic);
        assert.match(String(headers['content-disposition']), /one-HEAD/);
      }
    });

    it('gives snapshots of the repository whose name has these bytes, and of no other', async () => {
      const { body } = await get('/group/b%20c+%25%C3%A9.git/snapshot/HEAD.tar.gz');
      const archive = gunzipSync(body).toString('latin1');
      assert.match(archive, /\0a\n\0/);
      assert.doesNotMatch(archive, /the secret/);
    });

    it('says where to clone from', async () => {
      const [, url] = /<td>URL<\/td><td>([^<]*)</.exec(await shown('/one.git')) ?? [];
      assert.equal(url, `${host.url}/one.git`);
    });

    it('shows its style, script and images without more ado', async () => {
      const page = await shown('/one.git/tree/HEAD');
      const found = [...page.matchAll(/(?:href|src)="([^"]*static[^"]*)"/g)].map(([, path = '']) => path);
      const types: Record<string, string> = {
        'gitweb.css': 'text/css; charset=utf-8',
        'gitweb.js': 'text/javascript; charset=utf-8',
        'git-logo.png': 'image/png',
        'git-favicon.png': 'image/png',
      };
      assert.deepEqual(found.map((path) => path.replace(/.*\//, '')).sort(), Object.keys(types).sort());
      for (const path of found) {
        const { status, headers, body } = await get(path);
        const name = path.replace(/.*\//, '');
        assert.deepEqual([status, headers['content-type']], [200, types[name]], path);
        assert.equal(headers['cache-control'], 'max-age=3600');
        const again = await get(path, { 'If-None-Match': String(headers.etag) });
        assert.deepEqual([again.status, again.body.length], [304, 0]);
        const head = await fetchRaw(host.url, path, { method: 'HEAD' });
        // Apache leaves it out.
        const length = server === 'apache' ? undefined : String(body.length);
        assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, length, 0]);
        assert.deepEqual((await get(`/static/${name}`)).body, body);
      }
      assert.deepEqual((await get('/favicon.ico')).headers['content-type'], 'image/png');
      for (const name of ['none.css', 'gitweb.cgi', '..%2fgitweb.cgi', '.', 'gitweb.css/x', '']) {
        assert.equal((await get(`/index.fcgi/static/${name}`)).status, 404, name);
      }
    });

    it('answers 404 for all that is not published, and tells nobody whether it is there', async () => {
      const pairs = [
        ['/hidden.git', '/none.git'],
        ['/hidden.git/', '/none.git/'],
        ['/hidden.git/log', '/none.git/log'],
        ['/hidden', '/none'],
        ['/group/hidden.git/tree/HEAD', '/group/none.git/tree/HEAD'],
        ['/linked.git', '/none.git'],
        ['/hidden.git/HEAD', '/none.git/HEAD'],
        ['/hidden.git/info/refs?service=git-upload-pack', '/none.git/info/refs?service=git-upload-pack'],
        ['/?p=hidden.git', '/?p=none.git'],
        ['/?p=hidden.git;a=log', '/?p=none.git;a=log'],
        ['/?p=group/hidden.git', '/?p=group/none.git'],
        ['/one.git?p=hidden.git', '/one.git?p=none.git'],
        ['/one.git/blob/HEAD:/x?p=hidden.git', '/one.git/blob/HEAD:/x?p=none.git'],
        ['/?%70=hidden.git', '/?%70=none.git'],
        ['/?p=hidden%2Egit&p=one.git', '/?p=none%2Egit&p=one.git'],
        ['/?p=linked.git', '/?p=none.git'],
      ];
      for (const [unpublished = '', missing = ''] of pairs) {
        const answer = await get(unpublished);
        assert.equal(answer.status, 404, unpublished);
        assert.deepEqual(same(answer), same(await get(missing)), unpublished);
      }
    });

    it('never leads out of the directories', async () => {
      for (const path of [
        '/../outside.git',
        '/x/../../outside.git',
        '/..%2foutside.git',
        '/%2e%2e/outside.git',
        '/one.git%2f..%2f..%2foutside.git',
        '/one.git%00',
        '/one.git/../hidden.git/HEAD',
        '/one.git/objects/../../hidden.git/HEAD',
        '/?p=one.git%00hidden.git',
      ]) {
        const answer = await get(path);
        assert.ok([400, 404].includes(answer.status), `${path}: ${String(answer.status)}`);
      }
    });

    it('answers 404 for paths that gitweb would take for its list', async () => {
      for (const path of [
        '/nothing',
        '/one.gitx',
        '/group/nothing/',
        '/index.fcgi/x',
        '/on',
        '/.git',
        '/static',
      ]) {
        assert.equal((await get(path)).status, 404, path);
      }
    });

    it('finds NAME.git where nothing is called NAME', async () => {
      assert.equal((await get('/one')).status, 200);
    });

    it('answers 405 to what is neither GET nor HEAD', async () => {
      const { status, headers } = await fetchRaw(host.url, '/one.git', {
        method: 'POST',
        body: Buffer.from('a=log'),
      });
      assert.deepEqual([status, headers.allow], [405, 'GET, HEAD']);
    });

    it('publishes with touch and withdraws with rm, from the next request on', async () => {
      const marker = join(host.repos, 'hidden.git/git-daemon-export-ok');
      await touch(marker);
      assert.equal((await get('/hidden.git')).status, 200);
      assert.ok(listed(await shown('/')).includes('/hidden.git'));
      assert.equal((await get('/hidden.git/HEAD')).body.toString(), 'ref: refs/heads/main\n');
      await rm(marker);
      assert.equal((await get('/hidden.git')).status, 404);
      assert.equal((await get('/hidden.git/HEAD')).status, 404);
    });
  });
}

for (const markers of [true, 'lighttpd too'] as const) {
  describe(markers === true ? 'git with --markers' : 'git with --markers that lighttpd looks for too', () => {
    let host: GitHost;
    const status = async (path: string): Promise<number> => (await fetchRaw(host.url, path)).status;
    before(async () => {
      host = await startGitHost('lighttpd', await temporaryDirectory(), { markers });
      await makeBareRepository(join(host.repos, 'one.git'), { a: 'a\n' }, { exported: false });
      await makeBareRepository(join(host.repos, 'two'), { a: 'a\n' }, { exported: false });
      await makeWorkTree(join(host.repos, 'group/three'), { a: 'a\n' });
      await makeBareRepository(join(host.repos, 'hidden.git'), { a: 'a\n' });
      for (const name of ['one.git', 'two.git', 'group/three.git', 'index.fcgi', 'none.git']) {
        await touch(join(host.markers, name));
      }
    });
    after(() => host.stop());

    it('publishes what they name, and nothing for another reason', async () => {
      const page = await fetchRaw(host.url, '/');
      assert.deepEqual(listed(page.body.toString()), ['/group/three.git', '/one.git', '/two.git']);
      for (const path of ['/one.git', '/two.git/log', '/group/three.git/tree/HEAD', '/?p=two.git']) {
        assert.equal(await status(path), 200, path);
      }
      for (const path of ['/hidden.git', '/hidden', '/none.git', '/?p=hidden.git', '/?p=hidden']) {
        assert.equal(await status(path), 404, path);
      }
      const work = join(await temporaryDirectory(), 'clone');
      await git(['clone', '-q', `${host.url}/group/three.git`, work]);
      await git(['push', '-q', `${host.urlOf('ann')}/one.git`, 'HEAD:refs/heads/pushed'], work);
      assert.equal(await status('/one.git/log/pushed'), 200);
    });

    it('asks for a password where a push begins, and where it is', async () => {
      for (const headers of strangers) {
        const begun = '/one.git/info/refs?service=git-receive-pack';
        const asked = await fetchRaw(host.url, begun, { headers });
        const pushed = await fetchRaw(host.url, '/one.git/git-receive-pack', { method: 'POST', headers });
        // What is no name and password at all is 400.
        for (const { status } of [asked, pushed]) assert.ok(status === 401 || status === 400, String(status));
      }
    });

    /** Where a page has its style, which must be there. */
    const styleOf = async (path: string): Promise<string> => {
      const page = await fetchRaw(host.url, path);
      assert.equal(page.status, 200, path);
      const [, style = ''] = /href="([^"]+\/gitweb\.css)"/.exec(page.body.toString()) ?? [];
      assert.equal(await status(style), 200, style);
      return style;
    };

    it('publishes the list with index.fcgi, and the style in any case', async () => {
      assert.equal(await styleOf('/'), '/index.fcgi/static/gitweb.css');
      assert.equal(await styleOf('/group/three.git'), '/index.fcgi/static/gitweb.css');
      await rm(join(host.markers, 'index.fcgi'));
      // Where lighttpd finds no index of a directory it says 403, as soon as it has looked again.
      const hidden = (given: number): boolean => given === 404 || (given === 403 && markers !== true);
      assert.ok(hidden(await status('/')));
      assert.ok(hidden(await status('/?a=project_index')));
      assert.ok(hidden(await status('/group/')));
      assert.equal(await styleOf('/one.git'), '/one.git/index.fcgi/static/gitweb.css');
      assert.equal(await status('/one.git/index.fcgi/static/gitweb.cgi'), 404);
      await touch(join(host.markers, 'group/index.fcgi'));
      assert.equal(await styleOf('/group/'), '/group/index.fcgi/static/gitweb.css');
      assert.equal(await styleOf('/group/three.git'), '/group/index.fcgi/static/gitweb.css');
      assert.ok(hidden(await status('/')));
    });
  });
}
