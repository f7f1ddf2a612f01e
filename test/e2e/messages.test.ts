/** What goes wrong before a request is answered, and what it is told by: one line, with what to do. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { ask } from '../helpers/ask.js';
import { commandLine } from '../helpers/bridge.js';
import { type Bridge, startCommand } from '../helpers/bridge.js';
import { runToEnd } from '../helpers/command.js';
import { makeTree } from '../helpers/file-tree.js';
import { makeBareRepository } from '../helpers/git.js';
import { hg, makeRepository } from '../helpers/mercurial.js';
import { runHere } from '../helpers/run-here.js';
import { page, serveHere } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const isRoot = process.getuid?.() === 0;

let directory: string;
before(async () => {
  directory = await temporaryDirectory();
  await chmod(directory, 0o755);
});

const script = (content: string, mode = 0o755): { content: string; mode: number } => ({ content, mode });

describe('A command that waits for what never comes', () => {
  it('ends with status 1 and says so', () => {
    const silent = `import processes from 'node:child_process'; import { syncBuiltinESMExports } from 'node:module';
processes.execFile = () => undefined; syncBuiltinESMExports();`;
    const [node, main] = commandLine([]);
    const args = [
      '--import',
      `data:text/javascript,${encodeURIComponent(silent)}`,
      main ?? '',
      'rc',
      'systemd',
    ];
    const { status, stdout, stderr } = spawnSync(node, args, { encoding: 'utf8' });
    assert.deepEqual([status, stdout], [1, '']);
    assert.match(stderr, /^fcgi2cgi: the command waited for something that never came: .*\n$/);
  });
});

describe('A command line that is wrong', () => {
  const mistakes: readonly [name: string, args: readonly string[], status: number, line: RegExp][] = [
    [
      'an unknown option',
      ['hg', '--lisen', '/x', '--repos', '/r'],
      2,
      /^there is no option --lisen; did you mean --listen\?; see fcgi2cgi hg --help$/,
    ],
    [
      'an unknown option of another command',
      ['status', '/x', '--josn'],
      2,
      /^there is no option --josn; did you mean --json\?; see fcgi2cgi status --help$/,
    ],
    [
      'an unknown command',
      ['stats'],
      2,
      /^there is no command stats; did you mean status\?; see fcgi2cgi --help$/,
    ],
    [
      'a missing option',
      ['git', '--listen', '/x'],
      2,
      /^--repos is missing; for example: fcgi2cgi git --repos \/srv\/git .*; see fcgi2cgi git --help$/,
    ],
    [
      'a missing argument',
      ['script'],
      2,
      /^FILE is missing; expected fcgi2cgi script FILE \[ARGUMENT…\]; see fcgi2cgi script --help$/,
    ],
    ['the second argument missing', ['get', '/x'], 2, /^PATH is missing; expected fcgi2cgi get ADDRESS PATH/],
    [
      'an option without a value',
      ['hg', '--repos', '/r', '--listen'],
      2,
      /^--listen is without a value; expected one after it; see fcgi2cgi hg --help$/,
    ],
    [
      'a value that is none of the choices',
      ['hg', '--repos', '/r', '--log-level', 'eror'],
      2,
      /^--log-level eror: expected error, warn, info or debug; did you mean error\?; see fcgi2cgi hg --help$/,
    ],
    [
      'an argument that is none of the choices',
      ['explain', 'gti', '--', '/'],
      2,
      /^SITE-COMMAND gti: expected hg, git, script, dir or worker; did you mean git\?; see/,
    ],
    [
      'an argument that the command does not have',
      ['hg', 'x', '--repos', '/r'],
      2,
      /^nothing is known of the argument x; expected fcgi2cgi hg; see fcgi2cgi hg --help$/,
    ],
    [
      'a file of hgwebdir',
      ['hg', '--repos', '.', '--listen', '/x', '--hgweb-config', 'DIR/hgweb.config'],
      1,
      /^--hgweb-config DIR\/hgweb.config: it has a section \[paths\], which counts for hgwebdir only; .*--markers$/,
    ],
    [
      'a host name that is not in quotes',
      ['serve', '--check', '--config', 'DIR/quotes.toml'],
      2,
      /^DIR\/quotes.toml:1:1: \[site.hg.example.org\] .*; put the name in quotes: \[site."hg.example.org"\]$/,
    ],
    [
      'a missing directory of a socket',
      ['serve', '--check', '--config', 'DIR/socket.toml'],
      1,
      /^DIR\/socket.toml:4:1: \[site.a\] unix:DIR\/none\/sock: there is no directory DIR\/none; make it$/,
    ],
  ];

  before(async () => {
    const site = (listen: string): string => `kind = "script"\nfile = "/bin/true"\nlisten = "${listen}"\n`;
    await makeTree(directory, {
      'hgweb.config': { content: '[web]\nstyle = gitweb\n[paths]\n/ = /srv/hg/**\n' },
      'quotes.toml': { content: `[site.hg.example.org]\n${site('/x')}[site.a]\n${site('/y')}` },
      'socket.toml': { content: `[site.a]\n${site(`${directory}/none/sock`)}` },
      'run.toml': { content: `[site.a]\n${site('/run/fcgi2cgi-none/sock')}` },
    });
  });

  for (const [name, args, expected, line] of mistakes) {
    it(`is told in one line with what would be right: ${name}`, async () => {
      const { status, stderr } = await runHere(args.map((each) => each.replace('DIR', directory)));
      const said = stderr.replaceAll(directory, 'DIR').trimEnd().split('\n');
      assert.deepEqual([status, said.length], [expected, 1], stderr);
      assert.match(said[0] ?? '', new RegExp(line.source.replace('^', '^fcgi2cgi: ')));
    });
  }

  it('is none where the service makes the directory of a socket', async () => {
    const { status, stderr } = await runHere(['serve', '--check', '--config', join(directory, 'run.toml')]);
    assert.equal(status, 0, stderr);
    assert.match(
      stderr,
      /there is no directory \/run\/fcgi2cgi-none; the service has to make it .*RuntimeDirectory=/,
    );
  });
});

describe('A script that can’t be run', { timeout: 120_000 }, () => {
  const windows = 'its first line ends as Windows ends lines (#!/bin/sh\\r); try dos2unix FILE';
  const failures: readonly [name: string, content: string, status: 500 | 502, log: string, but?: string][] = [
    ['Windows line ends', '#!/bin/sh\r\necho\r\n', 500, `FILE could not be started: ${windows}`],
    [
      'Windows line ends, with env',
      '#!/usr/bin/env sh\r\necho\r\n',
      502,
      `without a complete header (RFC 3875 §6): ${windows.replace('/bin/sh', '/usr/bin/env sh')}`,
      windows.replace('/bin/sh', '/usr/bin/env sh'),
    ],
    [
      'an interpreter that is missing',
      '#!/none/perl -w\n',
      500,
      'FILE could not be started: the interpreter that its first line names does not exist: /none/perl',
    ],
    [
      'no header',
      '#!/bin/sh\necho Hello, world\necho more\n',
      502,
      'without a complete header (RFC 3875 §6): its output begins with "Hello, world"',
      '',
    ],
    [
      'no field',
      '#!/bin/sh\necho Hello, world\necho\n',
      502,
      'has a line that is no field: "Hello, world" (RFC 3875 §6.3)',
      '',
    ],
  ];

  for (const [name, content, expected, log, but = log] of failures) {
    it(`is told with the line that is at fault, in the log and by explain: ${name}`, async () => {
      const file = join(await temporaryDirectory(), 'script');
      await writeFile(file, content, { mode: 0o755 });
      const served = await serveHere(['script', file]);
      const { status, text, id } = page((await ask(served.socket)).stdout);
      assert.deepEqual([status, text], [expected, 'The server could not make this page.']);
      const line = await served.logged(new RegExp(` error request failed: .* id=${id} `));
      assert.ok(line.replaceAll(/\\(["\\])/g, '$1').includes(log.replaceAll('FILE', file)), line);
      const explained = await runHere(['explain', 'script', file, '--', '/']);
      assert.equal(explained.status, but === '' ? 0 : 4);
      assert.match(explained.stdout, new RegExp(`^runs {8}${file}\n`));
      assert.equal(/^but {9}(.*)$/m.exec(explained.stdout)?.[1] ?? '', but.replaceAll('FILE', file));
    });
  }

  it(
    'is not told to be executable where its mode has nothing to do with it',
    { skip: !isRoot && 'needs root' },
    async () => {
      const mounted = join(directory, 'noexec');
      await mkdir(mounted);
      await makeTree(directory, {
        'theirs/script': script('#!/bin/sh\n', 0o700),
        'closed/script': script('#!/bin/sh\n'),
        plain: script('#!/bin/sh\n', 0o644),
      });
      await chown(join(directory, 'theirs/script'), 65534, 65534);
      await chmod(join(directory, 'closed'), 0o700);
      const toml = (file: string): string =>
        `user = "www-data"\n[site.a]\nkind = "script"\nfile = "${file}"\nlisten = "${directory}/sock"\n`;
      const said = async (file: string, ...before: readonly string[]): Promise<string> => {
        await writeFile(join(directory, 'site.toml'), toml(join(directory, file)));
        const [program, ...args] = commandLine([
          'serve',
          '--check',
          '--config',
          join(directory, 'site.toml'),
          '--user',
          'www-data',
        ]);
        const [first = '', ...rest] = [...before, program, ...args];
        const { stderr } = await runToEnd(first, rest);
        return stderr.replaceAll(directory, 'DIR');
      };
      assert.match(await said('plain'), /DIR\/plain is not executable; try chmod \+x DIR\/plain\n$/);
      assert.match(
        await said('theirs/script'),
        /script \(mode 0700, of user 65534\) may not be executed by user www-data; change its mode, or serve as its owner\n$/,
      );
      assert.match(await said('closed/script'), /DIR\/closed may not be entered by user www-data\n$/);
      const mount = `mount -t tmpfs -o noexec,mode=755 none ${mounted} && install -m 755 ${directory}/closed/script ${mounted} && exec "$@"`;
      const inNamespace = ['unshare', '-m', 'sh', '-c', mount, 'sh'];
      if (spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', mounted]).status !== 0) return;
      assert.match(
        await said('noexec/script', ...inNamespace),
        /may not be executed, though its mode allows it: is its file system mounted noexec\?\n$/,
      );
    },
  );
});

describe('A repository with a fault', { timeout: 300_000 }, () => {
  const server = { SERVER_NAME: 'localhost', SERVER_PORT: '80' };
  let bridge: Bridge;
  let socket: (site: string) => string;
  let node: string;

  before(async () => {
    const at = join(directory, 'faults');
    await mkdir(join(at, 'run'), { recursive: true });
    await chmod(join(at, 'run'), 0o777);
    socket = (site) => join(at, 'run', site);
    await makeRepository(join(at, 'hg/a'), { f: 'f\n' }, '[web]\nallow-push = *\npush_ssl = no\n');
    await makeRepository(join(at, 'hg/broken'), { f: 'f\n' });
    node = await hg(['log', '-r', 'tip', '-T', '{node}'], join(at, 'hg/a'));
    await writeFile(join(at, 'hg/broken/.hg/hgrc'), '[web]\nstyle = gitweb\n[oops\n');
    await makeBareRepository(join(at, 'git/broken.git'), { f: 'f\n' });
    await writeFile(join(at, 'git/broken.git/config'), '[core\n');
    const mode = isRoot ? 0o755 : 0o555;
    for (const path of ['hg/a/.hg', 'hg/a/.hg/store']) await chmod(join(at, path), mode);
    if (isRoot) await runToEnd('chown', ['-R', 'www-data', join(at, 'git'), join(at, 'hg/broken')]);
    const toml = ['hg', 'git'].map(
      (kind) =>
        `[site.${kind}]\nkind = "${kind}"\nrepos = "${at}/${kind}"\nlisten = "${at}/run/${kind}"\ntrust-remote-user = true\n`,
    );
    await writeFile(join(at, 'hgweb.config'), '');
    await writeFile(
      join(at, 'sites.toml'),
      `${toml.reverse().join('')}hgweb-config = "${at}/hgweb.config"\n`,
    );
    const user = isRoot ? ['--user', 'www-data'] : [];
    bridge = await startCommand(commandLine(['serve', '--config', join(at, 'sites.toml'), ...user]));
  });

  after(async () => {
    await bridge.stop();
    for (const path of ['hg/a/.hg', 'hg/a/.hg/store']) await chmod(join(directory, 'faults', path), 0o755);
  });

  it('is answered with a text, and the log says which file and line: a broken hgrc', async () => {
    const { stdout } = await ask(socket('hg'), { SCRIPT_NAME: '/broken', ...server });
    assert.match(
      stdout,
      /^Status: 500 Broken settings\r\n.*\r\n\r\nThere is an error in the settings [^\n]*\n$/s,
    );
    const line = await bridge.logged(/ warn request failed in the script: hgweb\.cgi: .*hgrc:3: /);
    assert.doesNotMatch(line, /Traceback/);
    await explains('hg', '/broken', 'hg/broken');
  });

  it('is answered with a text, and the log says which file: a --hgweb-config that has gone', async () => {
    const config = join(directory, 'faults', 'hgweb.config');
    await rm(config);
    const { stdout } = await ask(socket('hg'), { SCRIPT_NAME: '/a', ...server });
    await writeFile(config, '');
    assert.match(stdout, /^Status: 500 Broken settings\r\n/);
    await bridge.logged(/ warn request failed in the script: hgweb\.cgi: .*--hgweb-config: .*hgweb\.config/);
    assert.match((await ask(socket('hg'), { SCRIPT_NAME: '/a', ...server })).stdout, /^Status: 200/);
  });

  it('is answered with a text, and the log says which file: a push into an unwritable repository', async () => {
    const { stdout } = await ask(socket('hg'), {
      ...server,
      ...{ SCRIPT_NAME: '/a', REQUEST_METHOD: 'POST', CONTENT_LENGTH: '0', REMOTE_USER: 'ann' },
      QUERY_STRING: `cmd=pushkey&namespace=bookmarks&key=k&old=&new=${node}`,
    });
    assert.match(stdout, /^Status: 403 The server may not write here\r\n/);
    const line = await bridge.logged(
      / info request refused by the script: hgweb\.cgi: .*: Permission denied; this is user/,
    );
    assert.doesNotMatch(line, /Traceback/);
    await explains('hg', '/a?cmd=pushkey', 'hg/a');
  });

  it('is told in the log: a broken configuration of git', async () => {
    for (const path of ['/broken.git', '/broken.git/info/refs?service=git-upload-pack']) {
      const [scriptName = '', query = ''] = path.split('?');
      const { stdout } = await ask(socket('git'), {
        SCRIPT_NAME: scriptName,
        QUERY_STRING: query,
        REQUEST_URI: path,
        ...server,
      });
      // gitweb has a page for what it can't show; git-http-backend says nothing.
      assert.match(stdout, query === '' ? /^Status: 200 OK\r\n[^]*<title>/m : /^Status: 500 /m);
      await bridge.logged(/ warn request failed in the script: fatal: bad config line 1 in file .*config/);
      await explains('git', path, 'git/broken.git');
    }
  });

  /** What happens in the program, `explain` can't know: it names the program and the repository that it gets. */
  async function explains(site: string, path: string, repository: string): Promise<void> {
    const file = join(directory, 'faults/sites.toml');
    const { stdout, status } = await runHere(['explain', '--config', file, '--site', site, '--', path]);
    assert.equal(status, 0, stdout);
    assert.match(stdout, /^runs {8}\S+\n/);
    if (site === 'hg' || path.includes('info/refs'))
      assert.ok(stdout.includes(join('faults', repository)), stdout);
  }

  it('has a socket whose owner, group and mode the log names', async () => {
    const line = await bridge.logged(/ info listening /);
    assert.match(line, /sockets=\["[^": ]+:[^": ]+ 0660","[^": ]+:[^": ]+ 0660"\]/);
  });
});
