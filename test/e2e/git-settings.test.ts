/** What the options, the params and gitweb's own parameters can do, and what they can't: asked over the socket. */

import assert from 'node:assert/strict';
import { chmod, copyFile, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { type Answer, ask } from '../helpers/ask.js';
import { textOf } from '../helpers/documents.js';
import { examplesIn } from '../helpers/examples.js';
import { git, makeBareRepository, tryGit } from '../helpers/git.js';
import { type Asked, serveHere } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { fetchRaw } from '../helpers/http.js';
import { startPassing, startWebServerWith } from '../helpers/webserver.js';

const GITWEB = '/usr/share/gitweb/gitweb.cgi';

describe('fcgi2cgi git', { timeout: 300_000 }, () => {
  let directory: string;
  let repos: string;

  before(async () => {
    directory = await temporaryDirectory();
    repos = join(directory, 'repos');
    await makeBareRepository(join(repos, 'one.git'), { 'a.txt': 'a\n', 'page.html': '<script>1</script>' });
    const secret = { secret: 'the secret\n' };
    await makeBareRepository(join(repos, 'hidden.git'), secret, { exported: false });
    await makeBareRepository(join(repos, 'caf\u00e9.git'), { 'a.txt': 'a\n' });
    await makeBareRepository(join(directory, 'outside.git'), secret);
    await symlink(join(directory, 'outside.git'), join(repos, 'linked.git'));
    await writeFile(join(directory, 'secret'), 'the secret\n');
  });

  const start = (options: readonly string[] = []): Promise<Asked> =>
    serveHere(['git', '--repos', repos, ...options]);
  const get = (
    { socket }: Asked,
    path: string,
    params: Readonly<Record<string, string>> = {},
  ): Promise<Answer> => {
    const [scriptName = '', query = ''] = path.split('?');
    return ask(socket, {
      SCRIPT_NAME: scriptName,
      QUERY_STRING: query,
      SERVER_NAME: 'git.example.org',
      HTTP_HOST: 'git.example.org',
      ...params,
    });
  };

  it('can’t be led to what is not published by any of gitweb’s parameters', async () => {
    // Each is a page; the runners' are the same (test/e2e/gitweb-warm.test.ts).
    const served = await start(['--runner', 'warm']);
    const targets = ['hidden.git', '../outside.git', 'one.git/../hidden.git'];
    const names = ['p', 'f', 'fp', 'h', 'hp', 'hb', 'hpb', 'pf', 'a', 's', '%70', 'p%00', 'x;p'];
    const places = ['/?', '/one.git/tree/HEAD?', '/?p=one.git;a=blob_plain;hb=HEAD;'];
    for (const target of targets) {
      for (const name of names) {
        await Promise.all(
          places.map(async (place) => {
            const path = `${place}${name}=${target.replaceAll('/', '%2f')}`;
            const { stdout } = await get(served, path);
            assert.match(stdout, /^(Status: |Content-)/, path);
            assert.doesNotMatch(stdout, /the secret|href="\/(?:hidden|linked|outside)\.git/, path);
          }),
        );
      }
    }
  });

  it('is not steered by params that it sets or drops', async () => {
    const served = await start();
    const config = join(directory, 'evil.conf');
    await writeFile(config, `print "Content-Type: text/plain\\n\\nevil\\n"; exit;`);
    const evil = {
      GITWEB_CONFIG: config,
      GITWEB_CONFIG_COMMON: config,
      GITWEB_CONFIG_SYSTEM: config,
      FCGI2CGI_GITWEB_CONFIG: config,
      FCGI2CGI_GIT: '/bin/false',
      GIT_PROJECT_ROOT: directory,
      GIT_DIR: join(directory, 'outside.git'),
      GIT_EXEC_PATH: '/nowhere',
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'uploadpack.allowFilter',
      GIT_CONFIG_VALUE_0: 'nonsense',
      GIT_OBJECT_DIRECTORY: '/nowhere',
      PATH_TRANSLATED: join(directory, 'outside.git/HEAD'),
      MOD_PERL: '1',
      HOME: '/nowhere',
      SCRIPT_FILENAME: '/x.fcgi',
    };
    const page = await get(served, '/one.git', evil);
    assert.match(page.stdout, /^Status: 200 OK/);
    assert.match(page.stdout, /one\.git\/summary/);
    assert.match((await get(served, '/one.git/HEAD', evil)).stdout, /\nref: refs\/heads\/main\n$/);
    assert.match((await get(served, '/outside.git/HEAD', evil)).stdout, /^Status: 404 /);
    const query = '/one.git/info/refs?service=git-upload-pack';
    const refs = await get(served, query, { ...evil, HTTP_GIT_PROTOCOL: 'version=2' });
    assert.match(refs.stdout, /version 2/);
    assert.doesNotMatch(refs.stdout, /filter/);
  });

  it('publishes every repository with --export-all', async () => {
    const served = await start(['--export-all']);
    assert.match((await get(served, '/')).stdout, /href="\/hidden\.git"/);
    assert.match((await get(served, '/hidden.git/blob_plain/HEAD:/secret')).stdout, /the secret/);
    assert.match((await get(served, '/hidden.git/HEAD')).stdout, /ref: refs\/heads\/main/);
    assert.match((await get(served, '/linked.git')).stdout, /^Status: 404 /);
  });

  it('lies below --url-prefix, also one that would have gitweb speak FastCGI', async () => {
    for (const prefix of ['/git', '/cgi-bin/gitweb.fcgi']) {
      const served = await start(['--url-prefix', prefix]);
      const list = (await get(served, prefix)).stdout;
      assert.ok(list.includes(`href="${prefix}/one.git"`), list);
      assert.ok(list.includes(`<base href="${prefix}/" />`), list);
      const [, style = ''] = /rel="stylesheet" type="text\/css" href="([^"]+)"/.exec(list) ?? [];
      assert.ok(style.startsWith(`${prefix}/`), style);
      assert.match((await get(served, style)).stdout, /^Status: 200 OK\r\nContent-Type: text\/css/);
      const feed = (await get(served, `${prefix}/one.git/atom`)).stdout;
      assert.ok(
        feed.includes(
          `rel="self" type="application/atom+xml" href="http://git.example.org${prefix}/one.git/atom"`,
        ),
      );
      for (const path of ['/one.git', `${prefix}x/one.git`, '/']) {
        assert.match((await get(served, path)).stdout, /^Status: 404 /, path);
      }
    }
  });

  it('links to what is below a --url-prefix of any characters', async () => {
    const prefix = '/g\u00e9 t?%';
    const encoded = '/g%C3%A9%20t%3F%25';
    const served = await start(['--url-prefix', prefix]);
    const asked = (path: string): Promise<Answer> =>
      ask(served.socket, {
        SCRIPT_NAME: Buffer.from(prefix + path).toString('latin1'),
        SERVER_NAME: 'git.example.org',
        HTTP_HOST: 'git.example.org',
      });
    const page = (await asked('/one.git')).stdout;
    const links = [...page.matchAll(/ (?:href|src|action)="([^"#]*)/g)].map(([, link = '']) => link);
    assert.ok(links.length > 10);
    for (const link of links.filter((url) => !url.startsWith('http')))
      assert.ok(link.startsWith(`${encoded}/`), link);
    assert.ok(page.includes(`http://git.example.org${encoded}/one.git</td>`), page);
    assert.ok((await asked('/none.git')).stdout.includes(`href="${encoded}/"`));
    const [, style = ''] = /rel="stylesheet" type="text\/css" href="([^"]+)"/.exec(page) ?? [];
    assert.match((await asked(style.slice(encoded.length))).stdout, /^Status: 200 OK/);
  });

  it('reads --gitweb-config on top of its settings, which can’t change what is published', async () => {
    const config = join(directory, 'gitweb.conf');
    await writeFile(
      config,
      `$site_name = 'The Site'; $feature{snapshot}{default} = []; $prevent_xss = 0;
       $projectroot = '${directory}'; $projects_list = '${directory}'; $strict_export = ''; undef;`,
    );
    const served = await start(['--gitweb-config', config]);
    const page = (await get(served, '/one.git')).stdout;
    assert.match(page, /<title>The Site - one\.git\/summary<\/title>/);
    assert.doesNotMatch(page, /snapshot/);
    assert.match((await get(served, '/?p=outside.git')).stdout, /^Status: 404 /);
    assert.doesNotMatch((await get(served, '/')).stdout, /href="\/(?:hidden|outside|repos)/);
    assert.match(
      (await get(served, '/one.git/blob_plain/HEAD:/page.html')).stdout,
      /^Content-Type: text\/html/m,
    );
  });

  it('says where the error in --gitweb-config is: to the log all, to visitors that there is one', async () => {
    const config = join(directory, 'wrong.conf');
    const served = await (async () => {
      await writeFile(config, '1;');
      return start(['--gitweb-config', config]);
    })();
    for (const [text, why] of [
      ['$x = 1;\n$y = ;\n', /syntax error at \S+wrong\.conf line 2/],
      ['die "oh no"', /oh no at \S+wrong\.conf line 1/],
      ['$site_name = "never ends;\n', /Can't find string terminator/],
      // What they are told is gone by then: no program that gitweb starts has it.
      ['die "sees <" . join(" ", grep { /^FCGI2CGI_/ } keys %ENV) . ">"', /sees <> at \S+wrong\.conf/],
      ['BEGIN { die "early" }', /early at \S+wrong\.conf line 1/],
      ['eval "1 +"; die $@ if $@', /syntax error at/],
      ['$export_auth_hook = sub { 0 };', /\$export_auth_hook and \$export_ok hide pages, but no clone/],
      ['$export_ok = "shown";', /\$export_auth_hook and \$export_ok hide pages, but no clone/],
    ] as const) {
      await writeFile(config, text);
      const { stdout, appStatus } = await get(served, '/one.git');
      assert.equal(appStatus, 1);
      assert.match(stdout, /^Status: 500 Internal Server Error\r\n/);
      assert.doesNotMatch(stdout, /wrong\.conf/);
      assert.match(await served.logged(why), / warn .*--gitweb-config: /);
    }
    await rm(config);
    await mkdir(config);
    assert.match((await get(served, '/one.git')).stdout, /^Status: 500 /);
    await served.logged(/--gitweb-config: .*wrong\.conf is a directory/);
  });

  it('says of a raw file what its bytes say, and lets no browser guess', async () => {
    const utf8 = 'gr\xc3\xbc\xc3\x9fe\n';
    const files = {
      'utf8.txt': utf8,
      'latin1.txt': 'gr\xfc\xdfe\n',
      'late.txt': `${utf8.repeat(9_000)}\xff`,
      'no-end.txt': 'gr\xc3',
      NAME: utf8,
      'empty.txt': '',
      'page.html': utf8,
      'image.png': '\x89PNG\r\n\x1a\n\0\0',
    };
    const contents = Object.entries(files).map(
      ([name, text]) => [name, Buffer.from(text, 'latin1')] as const,
    );
    await makeBareRepository(join(repos, 'raw.git'), Object.fromEntries(contents));
    const served = await start();
    for (const [name, type] of [
      ['utf8.txt', 'text/plain; charset=utf-8'],
      ['latin1.txt', 'text/plain'],
      ['late.txt', 'text/plain'],
      ['no-end.txt', 'text/plain'],
      ['NAME', 'text/plain; charset=utf-8'],
      ['empty.txt', 'text/plain; charset=utf-8'],
      ['page.html', 'text/plain; charset=utf-8'],
      ['image.png', 'image/png'],
    ] as const) {
      const { stdout } = await get(served, `/raw.git/blob_plain/HEAD:/${name}`);
      const end = stdout.indexOf('\r\n\r\n');
      assert.equal(/^Content-Type: (.*?)\r$/m.exec(stdout)?.[1], type, name);
      assert.match(stdout.slice(0, end + 2), /^X-Content-Type-Options: nosniff\r$/im, name);
      assert.equal(stdout.slice(end + 4), files[name], name);
    }
  });

  it('does not start with settings that hide pages, but no clone', async () => {
    const config = join(directory, 'hiding.conf');
    for (const [text, name] of [
      ['1;\n$export_auth_hook = sub { 0 };', '$export_auth_hook'],
      ["  our $export_ok='shown';", '$export_ok'],
    ] as const) {
      await writeFile(config, text);
      const why = new RegExp(`${name.replace('$', '\\$')}, which hides pages, but no clone`);
      await assert.rejects(start(['--gitweb-config', config]), why);
    }
    await writeFile(
      config,
      '# $export_ok = 1;\n$export_auth_hook = undef; $export_ok = ""; $x = $export_ok == 1;',
    );
    assert.match((await get(await start(['--gitweb-config', config]), '/one.git')).stdout, /^Status: 200/);
  });

  it('keeps what repositories have from running scripts in browsers', async () => {
    const { stdout } = await get(await start(), '/one.git/blob_plain/HEAD:/page.html');
    assert.match(stdout, /^Content-Type: text\/plain/m);
  });

  it('runs the gitweb that --gitweb names, with the files beside it or else the system’s', async () => {
    const alone = join(directory, 'alone');
    const withFiles = join(directory, 'with files');
    for (const place of [alone, join(withFiles, 'static')]) await mkdir(place, { recursive: true });
    for (const place of [alone, withFiles]) {
      await copyFile(GITWEB, join(place, 'my.fcgi'));
      await chmod(join(place, 'my.fcgi'), 0o755);
    }
    await writeFile(join(withFiles, 'static/gitweb.css'), 'my style');
    for (const [place, style] of [
      [alone, /font-family/],
      [withFiles, /^my style$/m],
    ] as const) {
      const served = await start(['--gitweb', join(place, 'my.fcgi')]);
      assert.match((await get(served, '/one.git')).stdout, /^Status: 200 OK/);
      assert.match((await get(served, '/index.fcgi/static/gitweb.css')).stdout, style);
    }
  });

  it('serves repositories of another owner, as published, unless it is told not to', async () => {
    const foreign = ['--env', 'GIT_TEST_ASSUME_DIFFERENT_OWNER=1'];
    const strict = [...foreign, '--env', 'GIT_CONFIG_COUNT=0'];
    for (const [options, expected] of [
      [foreign, 0],
      [strict, 128],
    ] as const) {
      const served = await start(options);
      const web = await startPassing('nginx', served.socket);
      try {
        const target = join(await temporaryDirectory(), 'clone');
        const { status, stderr } = await tryGit(['clone', '-q', `${web.url}/one.git`, target]);
        assert.equal(status, expected, stderr);
        if (status === 0) assert.match(await git(['log', '--oneline'], target), /First commit/);
      } finally {
        await web.stop();
      }
      assert.match((await get(served, '/one.git/snapshot/HEAD.zip')).stdout, /application\/x-zip/);
    }
  });

  it('keeps a repository behind a password at all its addresses, by the lines for nginx', async () => {
    const { socket } = await start();
    const passwords = join(directory, 'none.htpasswd');
    await writeFile(passwords, '');
    const lines = examplesIn('src/man/fcgi2cgi-publishing.7').find(({ text }) =>
      text.includes('$git_reader'),
    );
    const settings =
      `${lines?.text ?? ''}${textOf('scripts/webservers/nginx-git.conf').replace(' off;', ' $git_reader;')}`
        .replace('private(', 'one(')
        .replace('/run/fcgi2cgi/git.sock', socket)
        .replace('/etc/nginx/git.htpasswd', passwords);
    const web = await startWebServerWith('nginx', settings);
    try {
      for (const path of [
        ...[
          '/one.git',
          '/one',
          '/one/',
          '//one.git/log',
          '/./one.git',
          '/%6fne',
          '/one/info/refs',
          '/one.git?a=log',
        ],
        ...['/?p=one.git', '/?a=log;p=one.git', '/?a=log&%70=one.git', '/?%u0070=one.git', '/x?p=one.git'],
      ])
        assert.equal((await fetchRaw(web.url, path)).status, 401, path);
      for (const path of ['/', '/caf%C3%A9.git', '/caf%C3%A9/info/refs?service=git-upload-pack'])
        assert.equal((await fetchRaw(web.url, path)).status, 200, path);
    } finally {
      await web.stop();
    }
  });

  it('answers for a file of gitweb’s without a process, also in the log', async () => {
    const served = await start(['--log-level', 'debug']);
    assert.match((await get(served, '/static/gitweb.js')).stdout, /^Status: 200 OK/);
    assert.match(await served.logged(/request answered/), /status=200$/);
  });
});
