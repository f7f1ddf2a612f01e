/** One daemon with several sites of a configuration file, behind one nginx. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { type Bridge, fixture, runBridge, startBridge } from '../helpers/bridge.js';
import { git, makeBareRepository } from '../helpers/git.js';
import { fetchRaw } from '../helpers/http.js';
import { touch } from '../helpers/hg-site.js';
import { makeRepository } from '../helpers/mercurial.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { nginxServer } from '../helpers/webserver-table.js';
import { startWebServerWith, type WebServer } from '../helpers/webserver.js';

const configuration = `
access-log = "access.log"
log-level = "debug"
kill-grace = "200ms"
stop-grace = "500ms"

[site."hg.example.org"]
kind = "hg"
repos = "repos"
markers = "www"
listen = "unix:hg.sock"

[site.git]
kind = "git"
repos = "git"
export-all = true
url-prefix = "/git"
listen = "unix:git.sock"

[site.cgi]
kind = "dir"
root = "cgi-bin"
listen = "unix:cgi.sock"
env = ["SITE=cgi"]

[site.report]
kind = "script"
file = "report"
argument = ["-v"]
listen = "unix:report.sock"
max-processes = 1
max-queue = 0

[site.application]
kind = "worker"
command = ["./application", "notes"]
workers = 1
listen = "unix:application.sock"
`;

let directory: string;
let bridge: Bridge;
let web: WebServer;

before(async () => {
  directory = await temporaryDirectory();
  await mkdir(join(directory, 'cgi-bin'));
  await copyFile(fixture('cgi/prints-environment.sh'), join(directory, 'cgi-bin/environment'));
  await copyFile(fixture('cgi/prints-invocation.py'), join(directory, 'report'));
  await copyFile(fixture('fastcgi/does-as-asked.pl'), join(directory, 'application'));
  await makeRepository(join(directory, 'repos/hello'), { 'read.me': 'hello\n' });
  await touch(join(directory, 'www/hello.hg'));
  await makeBareRepository(join(directory, 'git/hello.git'), { 'read.me': 'hello\n' }, { exported: false });
  await writeFile(join(directory, 'sites.toml'), configuration);
  bridge = await startBridge(['serve', '--config', join(directory, 'sites.toml')]);
  const params = 'include /etc/nginx/fastcgi_params;';
  web = await startWebServerWith(
    'nginx',
    nginxServer(`
    location / { ${params} fastcgi_pass unix:${directory}/hg.sock; }
    location /git { ${params} fastcgi_pass unix:${directory}/git.sock; }
    location /report { ${params} fastcgi_pass unix:${directory}/report.sock; }
    location /application { ${params} fastcgi_pass unix:${directory}/application.sock; }
    location /cgi-bin/ {
      ${params}
      fastcgi_param SCRIPT_FILENAME ${directory}$fastcgi_script_name;
      fastcgi_pass unix:${directory}/cgi.sock;
    }`),
  );
});
after(async () => {
  await web.stop();
  await bridge.stop();
});

const get = async (path: string): Promise<{ status: number; body: string }> => {
  const { status, body } = await fetchRaw(web.url, path);
  return { status, body: body.toString('latin1') };
};

describe('One daemon with several sites', () => {
  it('serves each through its own listeners, with its own options', async () => {
    const page = await get('/hello.hg/file/tip/read.me');
    assert.equal(page.status, 200);
    assert.match(page.body, /hello/);
    const commit = await get('/git/hello.git/commit/HEAD');
    assert.equal(commit.status, 200);
    assert.match(commit.body, /First commit/);
    await git(['clone', '-q', `${web.url}/git/hello.git`, join(directory, 'clone')]);
    assert.equal(await readFile(join(directory, 'clone/read.me'), 'utf8'), 'hello\n');
    const environment = await get('/cgi-bin/environment?x');
    assert.match(environment.body, /^SITE=cgi$/m);
    assert.match(environment.body, /^QUERY_STRING=x$/m);
    const report = await get('/report');
    assert.match(report.body, new RegExp(`^argument ${Buffer.from('-v').toString('hex')}$`, 'm'));
    assert.doesNotMatch(report.body, /SITE=cgi/);
    assert.match((await get('/application')).body, /^\d+\n$/);
    assert.match(await readFile(join(directory, 'notes'), 'utf8'), /^\d+ GET {2}\n$/);
  });

  it('names the site in its logs, and where each listens', async () => {
    await get('/cgi-bin/missing');
    await bridge.logged(/info request refused: .*missing does not exist site=cgi id=/);
    assert.match(bridge.log(), /info serving site=hg.example.org listen=\["unix:.*\/hg.sock"\]/);
    const lines = (await readFile(join(directory, 'access.log'), 'utf8')).trim().split('\n');
    const sites = lines.map((line) => /"(\/[^"?]*).* (\S+)$/.exec(line)?.slice(1).join(' '));
    assert.ok(sites.includes('/cgi-bin/missing "cgi"'), lines.join('\n'));
    assert.ok(sites.includes('/report "report"'), lines.join('\n'));
    assert.ok(sites.includes('/git/hello.git/git-upload-pack "git"'), lines.join('\n'));
    assert.ok(sites.includes('/hello.hg/file/tip/read.me "hg.example.org"'), lines.join('\n'));
  });

  it('names the sites in the order of the file, whichever was found first', () => {
    const named = [...bridge.log().matchAll(/ info serving site=(\S+)/g)].map(([, name]) => name);
    assert.deepEqual(named, ['hg.example.org', 'git', 'cgi', 'report', 'application']);
  });

  it('admits requests for each site by itself: a busy one takes no other’s places', async () => {
    await copyFile(fixture('cgi/sleeps-before-header.sh'), join(directory, 'report'));
    const both = [get('/report'), get('/report')];
    // One runs, and for the other there is neither a place nor a queue.
    assert.equal((await Promise.race(both)).status, 503);
    assert.match((await get('/cgi-bin/environment')).body, /^SITE=cgi$/m);
    await bridge.stop();
    await Promise.all(both);
    for (const name of ['hg', 'git', 'cgi', 'report', 'application'])
      assert.ok(!existsSync(join(directory, `${name}.sock`)), name);
  });
});

describe('A configuration file', () => {
  it('is looked through with --check, and nothing is started', async () => {
    const file = join(directory, 'sites.toml');
    const { status, stdout, stderr } = await runBridge(['serve', '--config', file, '--check']);
    assert.deepEqual([status, stderr], [0, '']);
    assert.equal(
      stdout.replaceAll(directory, 'DIR'),
      `DIR/sites.toml is in order:
  hg.example.org hg unix:DIR/hg.sock
  git git unix:DIR/git.sock
  cgi dir unix:DIR/cgi.sock
  report script unix:DIR/report.sock
  application worker unix:DIR/application.sock
`,
    );
    assert.ok(!existsSync(join(directory, 'hg.sock')));
  });

  it('with mistakes ends the command with status 2 and a line for each', async () => {
    const file = join(directory, 'wrong.toml');
    await writeFile(file, 'colour = "red"\n[site.a]\nkind = "dir"\nroot = "/"\n');
    for (const more of [[], ['--check']]) {
      const { status, stdout, stderr } = await runBridge(['serve', '--config', file, ...more]);
      assert.deepEqual([status, stdout], [2, '']);
      assert.equal(
        stderr,
        `fcgi2cgi: ${file}:1:1: colour = "red": there is no such key
fcgi2cgi: ${file}:2:1: [site.a] listen is missing; expected listen = ["…"]
`,
      );
    }
  });

  it('that names what is not there ends it with status 1, a line for each site, and no listener', async () => {
    const file = join(directory, 'missing.toml');
    await writeFile(
      file,
      `[site.a]
kind = "dir"
root = "/"
listen = "unix:a.sock"
[site.b]
kind = "dir"
root = "nowhere"
listen = "unix:b.sock"
[site.c]
kind = "script"
file = "nothing"
listen = "unix:c.sock"
`,
    );
    for (const more of [[], ['--check'], ['--daemon', '--log-file', join(directory, 'missing.log')]]) {
      const { status, stderr } = await runBridge(['serve', '--config', file, ...more]);
      assert.equal(status, 1);
      assert.equal(
        stderr.replaceAll(directory, 'DIR'),
        `fcgi2cgi: DIR/missing.toml:7:1: [site.b] root = "nowhere": there is no such directory
fcgi2cgi: DIR/missing.toml:11:1: [site.c] file = "nothing": there is no such file
`,
      );
      assert.ok(!existsSync(join(directory, 'a.sock')));
    }
    const log = await readFile(join(directory, 'missing.log'), 'utf8');
    assert.match(log, /error .*missing.toml:7:1: .*\n.* error .*missing.toml:11:1: /);
  });

  it('that can’t listen where it says ends it with status 1 and that line', async () => {
    const file = join(directory, 'listen.toml');
    await writeFile(file, '[site.a]\nkind = "dir"\nroot = "/"\nlisten = ["/nowhere/sock"]\n');
    const { status, stderr } = await runBridge(['serve', '--config', file]);
    assert.equal(status, 1);
    assert.equal(
      stderr,
      `fcgi2cgi: ${file}:4:1: [site.a] unix:/nowhere/sock: can't listen: there is no directory /nowhere\n`,
    );
  });
});
