/** The mistakes of administrators, one by one: what visitors, the log, the web server's log and `explain` say. */

import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { type Answer, ask } from '../helpers/ask.js';
import { type Bridge, runBridge, startBridge } from '../helpers/bridge.js';
import { empty, makeTree } from '../helpers/file-tree.js';
import { makeBareRepository } from '../helpers/git.js';
import { makeRepository } from '../helpers/mercurial.js';
import { runHere } from '../helpers/run-here.js';
import { page } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';

/** Root may read everything: what may not be read is told by somebody else. */
const USER = process.getuid?.() === 0 ? 'www-data' : undefined;

let directory: string;
let bridge: Bridge;

interface Mistake {
  readonly name: string;
  readonly site: 'markers' | 'exported';
  readonly path: string;
  /** DIR is the directory of it all, WHO is the user who serves. */
  readonly why: string;
}

const isEmptyFile = 'a marker is an empty file';

const mistakes: readonly Mistake[] = [
  {
    name: 'a marker with content',
    site: 'markers',
    path: '/content.hg/log',
    why: `DIR/www/content.hg has 4 bytes in it; ${isEmptyFile}`,
  },
  {
    name: 'a marker that is a link',
    site: 'markers',
    path: '/link.hg',
    why: `DIR/www/link.hg is a symbolic link; ${isEmptyFile}`,
  },
  {
    name: 'a marker that is a directory',
    site: 'markers',
    path: '/directory.hg',
    why: `DIR/www/directory.hg is a directory; ${isEmptyFile}`,
  },
  {
    name: 'no marker',
    site: 'markers',
    path: '/unmarked',
    why: 'there is no marker DIR/www/unmarked.hg; touch makes one',
  },
  {
    name: 'a marker in the wrong group',
    site: 'markers',
    path: '/group/a.hg',
    why: 'there is no DIR/hg/group; the marker is DIR/www/group/a.hg',
  },
  {
    name: 'a marker of no repository',
    site: 'markers',
    path: '/none.hg/log',
    why: 'there is no DIR/hg/none; the marker is DIR/www/none.hg',
  },
  {
    name: 'a marker of a directory that is no repository',
    site: 'markers',
    path: '/plain.hg',
    why: 'DIR/hg/plain is not a repository: there is no DIR/hg/plain/.hg; the marker is DIR/www/plain.hg',
  },
  {
    name: 'a repository that may not be entered',
    site: 'markers',
    path: '/entered.hg',
    why: 'DIR/hg/entered is not a repository: DIR/hg/entered may not be entered by user WHO; the marker is DIR/www/entered.hg',
  },
  {
    name: 'a .hg that may not be read',
    site: 'markers',
    path: '/read.hg',
    why: 'DIR/hg/read/.hg may not be read by user WHO',
  },
  {
    name: 'a directory of markers that may not be entered',
    site: 'markers',
    path: '/closed/a.hg',
    why: 'DIR/www/closed may not be entered by user WHO',
  },
  {
    name: 'a link that leads outside',
    site: 'markers',
    path: '/outside.hg',
    why: 'DIR/hg/outside leads out of --repos',
  },
  {
    name: 'no index',
    site: 'markers',
    path: '/',
    why: 'there is no DIR/www/index.fcgi, an empty file that publishes the list',
  },
  {
    name: 'an alternate that leads outside',
    site: 'exported',
    path: '/git/borrows.git',
    why: 'DIR/git/borrows.git/objects/info/alternates leads out of --repos',
  },
  {
    name: 'no git-daemon-export-ok',
    site: 'exported',
    path: '/git/hidden.git/info/refs',
    why: 'there is no DIR/git/hidden.git/git-daemon-export-ok; touch it, or use --markers or --export-all',
  },
  {
    name: 'no such git repository',
    site: 'exported',
    path: '/git/none.git',
    why: 'there is no DIR/git/none.git',
  },
  {
    name: 'a directory that is no git repository',
    site: 'exported',
    path: '/git/plain/',
    why: 'DIR/git/plain is not a repository: there is no DIR/git/plain/HEAD',
  },
  {
    name: 'a linked working tree whose repository has gone',
    site: 'exported',
    path: '/git/linked/',
    why: 'DIR/git/linked is not a repository: there is no DIR/git/gone.git',
  },
  {
    name: 'a project in the query that is none',
    site: 'exported',
    path: '/git/?p=plain',
    why: 'DIR/git/plain is not a repository: there is no DIR/git/plain/HEAD',
  },
  {
    name: 'a path beside the prefix',
    site: 'exported',
    path: '/hg/a.git',
    why: 'the path is not below --url-prefix /git, or has a NUL, . or .. in it',
  },
  {
    name: 'a path without a slash',
    site: 'markers',
    path: 'a.hg',
    why: 'the path does not begin with /, or has a NUL, . or .. in it',
  },
];

const escaped = (text: string): string => text.replaceAll(/[$()*+.?[\]^{|}]/g, '\\$&');

describe('A refusal', { timeout: 300_000 }, () => {
  before(async () => {
    directory = await temporaryDirectory();
    await chmod(directory, 0o755);
    await makeRepository(join(directory, 'hg/a'), { f: 'f\n' });
    await makeRepository(join(directory, 'hg/writable'), { f: 'f\n' }, '[web]\npush_ssl = no\n');
    await makeBareRepository(join(directory, 'git/a.git'), { f: 'f\n' });
    await makeBareRepository(join(directory, 'git/unwritable.git'), { f: 'f\n' });
    await makeBareRepository(join(directory, 'git/hidden.git'), { f: 'f\n' }, { exported: false });
    await makeBareRepository(join(directory, 'git/borrows.git'), { f: 'f\n' });
    await makeTree(directory, {
      'www/content.hg': { content: 'HG20' },
      'www/link.hg': { link: 'a.hg' },
      'www/directory.hg': 'directory',
      'www/a.hg': empty,
      'www/group/a.hg': empty,
      'www/none.hg': empty,
      'www/plain.hg': empty,
      'www/entered.hg': empty,
      'www/read.hg': empty,
      'www/outside.hg': empty,
      'www/writable.hg': empty,
      'www/closed/a.hg': empty,
      'hg/content/.hg': 'directory',
      'hg/link/.hg': 'directory',
      'hg/directory/.hg': 'directory',
      'hg/unmarked/.hg': 'directory',
      'hg/plain/file': empty,
      'hg/entered/.hg': 'directory',
      'hg/read/.hg': 'directory',
      'hg/closed/a/.hg': 'directory',
      'elsewhere/.hg': 'directory',
      'elsewhere/objects': 'directory',
      'hg/outside': { link: '../elsewhere' },
      'git/plain/file': empty,
      'git/linked/.git': { content: `gitdir: ${directory}/git/gone.git/worktrees/linked\n` },
      'shut/a.git/HEAD': empty,
      'git/borrows.git/objects/info/alternates': { content: `${directory}/elsewhere/objects\n` },
    });
    for (const [path, mode] of [
      ['hg/entered', 0o700],
      ['hg/read/.hg', 0o711],
      ['www/closed', 0o700],
      ['shut', 0o700],
    ] as const) {
      await chmod(join(directory, path), USER === undefined ? mode & 0o077 : mode);
    }
    await chmod(join(directory, 'git/a.git/objects'), 0o777);
    await chmod(join(directory, 'git/unwritable.git/objects'), 0o555);
    const sites = [
      ['markers', 'hg', 'hg', `markers = "${directory}/www"`],
      ['trusting', 'hg', 'hg', `trust-remote-user = true`],
      ['exported', 'git', 'git', `url-prefix = "/git"`],
      ['pushed', 'git', 'git', `trust-remote-user = true`],
      ['shut', 'git', 'shut', 'export-all = true'],
    ].map(([name = '', kind = '', repos = '', more = '']) =>
      [
        `[site.${name}]`,
        `kind = "${kind}"`,
        `repos = "${directory}/${repos}"`,
        `listen = "${directory}/run/${name}"`,
        more,
      ].join('\n'),
    );
    await mkdir(join(directory, 'run'));
    await chmod(join(directory, 'run'), 0o777);
    const asUser = USER === undefined ? '' : `user = "${USER}"`;
    await writeFile(join(directory, 'sites.toml'), [asUser, ...sites, ''].join('\n'));
    await writeFile(join(directory, 'as-is.toml'), [...sites, ''].join('\n'));
    const user = USER === undefined ? [] : ['--user', USER];
    bridge = await startBridge(['serve', '--config', join(directory, 'sites.toml'), ...user]);
  });

  after(async () => {
    await bridge.stop();
    for (const path of ['hg/entered', 'hg/read/.hg', 'www/closed', 'shut', 'git/unwritable.git/objects'])
      await chmod(join(directory, path), 0o755);
  });

  for (const { name, site, path, why } of mistakes) {
    it(`has a reason in three places, and tells strangers nothing: ${name}`, async () => {
      const reason = why.replaceAll('DIR', directory).replaceAll('WHO', USER ?? process.env['USER'] ?? '');
      const [scriptName = '', query = ''] = path.split('?');
      const params = { SCRIPT_NAME: scriptName, QUERY_STRING: query, REQUEST_URI: path };
      const { stdout, stderr } = await ask(join(directory, 'run', site), params);
      const { status, text, id } = page(stdout);
      assert.deepEqual([status, text], [404, 'No repository is published at this address.']);
      assert.match(stdout, /<a href="\/(git\/)?">All repositories<\/a>/);
      assert.equal(stderr, `fcgi2cgi: request refused: ${reason} (request ${id})\n`);
      const line = await bridge.logged(new RegExp(` id=${id} `));
      assert.match(line, new RegExp(` info request refused: ${escaped(reason)} site=`));
      // Only who may not enter or read is told by a process of that user's, which takes longer.
      const [file, run] = why.includes('WHO') ? ['sites.toml', runBridge] : ['as-is.toml', runHere];
      const explained = ['explain', '--config', join(directory, file), '--site', site, '--', path];
      const { stdout: lines, stderr: problems } = await run(explained);
      assert.equal(problems, '');
      assert.match(lines, new RegExp(`^refuses {5}404 .*\\nbecause {5}${escaped(reason)}\\n$`));
    });
  }

  it('is told where a script refuses: a push by nobody, to git and to hg', async () => {
    const known = 'the web server sent no REMOTE_USER, so it has asked for no password';
    for (const [site, path, said] of [
      ['pushed', '/a.git/info/refs?service=git-receive-pack', "Service not enabled: 'receive-pack'"],
      ['trusting', '/writable?cmd=unbundle&heads=0', 'hgweb.cgi: push not authorized, by nobody'],
    ] as const) {
      const [scriptName = '', query = ''] = path.split('?');
      const { stdout, stderr } = await ask(join(directory, 'run', site), {
        ...{ REQUEST_METHOD: site === 'trusting' ? 'POST' : 'GET', CONTENT_LENGTH: '0' },
        ...{ SCRIPT_NAME: scriptName, QUERY_STRING: query, REQUEST_URI: path },
        ...{ SERVER_NAME: 'localhost', SERVER_PORT: '80' },
      });
      assert.match(stdout, /^Status: 40[13] /m);
      const told = `request refused by the script: ${said}; ${known}`;
      assert.ok(stderr.includes(`fcgi2cgi: ${told} (request `), stderr);
      await bridge.logged(new RegExp(` info ${escaped(told)} site=`));
      const explained = ['explain', '--config', join(directory, 'as-is.toml'), '--site', site, '--', path];
      assert.match((await runHere(explained)).stdout, new RegExp(`^if refused {2}${known}$`, 'm'));
    }
  });

  it('says nothing of users where hgweb gives something to nobody: an archive', async () => {
    const { stdout, stderr } = await ask(join(directory, 'run/trusting'), {
      ...{ REQUEST_METHOD: 'GET', SERVER_NAME: 'localhost', SERVER_PORT: '80' },
      ...{ SCRIPT_NAME: '/a/archive/tip.zip', REQUEST_URI: '/a/archive/tip.zip' },
    });
    assert.match(stdout, /^Status: 403 Archive type not allowed/m);
    assert.equal(stderr, '');
  });

  it('is told before anything is pushed: to a git repository that the daemon may not write to', async () => {
    const objects = `${directory}/git/unwritable.git/objects`;
    const why = `${objects} may not be written by user ${USER ?? process.env['USER'] ?? ''}; give the repository to that user`;
    const asked = (path: string, service: string, method: string): Promise<Answer> =>
      ask(join(directory, 'run/pushed'), {
        ...{ REQUEST_METHOD: method, CONTENT_LENGTH: '0', REMOTE_USER: 'ann' },
        ...{ SCRIPT_NAME: `/unwritable.git/${path}`, QUERY_STRING: service },
      });
    for (const [path, service, method] of [
      ['info/refs', 'service=git-receive-pack', 'GET'],
      ['git-receive-pack', '', 'POST'],
    ] as const) {
      const { stdout, stderr } = await asked(path, service, method);
      assert.match(
        stdout,
        /^Status: 403 The server may not write here\r\n[^]*\r\n\r\nThe server may not write here\n/,
      );
      assert.ok(stderr.startsWith(`fcgi2cgi: request refused: ${why}`), stderr);
      await bridge.logged(new RegExp(` info request refused: ${escaped(why)}.*/${path}`));
    }
    assert.match((await asked('info/refs', 'service=git-upload-pack', 'GET')).stdout, /refs\/heads\/main/);
    const path = '/unwritable.git/info/refs?service=git-receive-pack';
    const explained = ['explain', '--config', join(directory, 'sites.toml'), '--site', 'pushed', '--', path];
    const { stdout: lines } = await runBridge(explained);
    assert.match(lines, new RegExp(`^refuses {5}403 .*\nbecause {5}${escaped(why)}`));
  });

  it('names the directory of repositories that may not be entered, and not the interpreter of gitweb', async () => {
    const params = { SCRIPT_NAME: '/', REQUEST_URI: '/', SERVER_NAME: 'localhost', SERVER_PORT: '80' };
    const { stdout } = await ask(join(directory, 'run/shut'), params);
    const { status, text, id } = page(stdout);
    assert.deepEqual([status, text], [500, 'The server could not make this page.']);
    const line = await bridge.logged(new RegExp(` id=${id} `));
    const who = USER ?? process.env['USER'] ?? '';
    assert.match(
      line,
      new RegExp(`could not be started: ${directory}/shut may not be entered by user ${who} `),
    );
  });

  it('is told where nobody can push at all: to who pushes, in the log and by explain', async () => {
    const why = 'nobody can push here: fcgi2cgi runs without --trust-remote-user';
    for (const [site, path] of [
      ['exported', '/git/a.git/info/refs?service=git-receive-pack'],
      ['markers', '/a?cmd=unbundle&heads=0'],
    ] as const) {
      const [scriptName = '', query = ''] = path.split('?');
      const { stdout, stderr } = await ask(join(directory, 'run', site), {
        ...{ REQUEST_METHOD: site === 'markers' ? 'POST' : 'GET', CONTENT_LENGTH: '0', REMOTE_USER: 'ann' },
        ...{ SCRIPT_NAME: scriptName, QUERY_STRING: query, REQUEST_URI: path },
      });
      assert.match(stdout, new RegExp(`^Status: 403 ${why}\r\n[^]*\r\n\r\n${why}\nRequest \\S+\n$`));
      assert.match(stderr, new RegExp(`^fcgi2cgi: request refused: ${why} \\(request \\S+\\)\n$`));
      await bridge.logged(new RegExp(` info request refused: ${why} site=${site} `));
      const as = site === 'markers' ? ['--param', 'REQUEST_METHOD=POST'] : [];
      const explained = [
        'explain',
        '--config',
        join(directory, 'as-is.toml'),
        '--site',
        site,
        ...as,
        '--',
        path,
      ];
      const { stdout: lines, stderr: problems } = await runHere(explained);
      assert.equal(problems, '');
      assert.match(lines, new RegExp(`^refuses {5}403 Forbidden: ${why}\n`));
    }
  });
});
