/** Root has this very process run as another user: what stays as it was, and what has to be there for it. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, chown, lchown, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';

import { ask } from '../helpers/ask.js';
import { type Bridge, commandLine, main, startCommand } from '../helpers/bridge.js';
import { runToEnd, succeed } from '../helpers/command.js';
import { commandWithDescriptor } from '../helpers/descriptors.js';
import { makeTree } from '../helpers/file-tree.js';
import { receive } from '../helpers/notified.js';
import { childrenOf, until, vanished } from '../helpers/processes.js';
import { activated, startActivated } from '../helpers/socket-activation.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const USER = 'www-data';
const uid = await succeed('id', ['-u', USER]);
const isRoot = process.getuid?.() === 0;

/** Root's, and open to everybody. */
let directory: string;
let socket: string;
let script: string;
beforeEach(async () => {
  directory = await temporaryDirectory();
  await chmod(directory, 0o755);
  [socket, script] = [join(directory, 'sock'), join(directory, 'says')];
  await makeTree(directory, {
    says: { content: `#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nid -u\n`, mode: 0o755 },
  });
});

const started: Bridge[] = [];
after(async () => {
  for (const bridge of started) await bridge.stop();
});

async function start(bridge: Promise<Bridge>): Promise<Bridge> {
  started.push(await bridge);
  return bridge;
}

const command = (...args: readonly string[]): [string, ...string[]] => [
  ...commandLine(['script', '--user', USER, ...args]),
  script,
];

const answerOf = async (where: string | number): Promise<string> =>
  (await ask(where)).stdout.split('\n\n')[1] ?? '';

/** What the system says of a process, by the names of /proc/PID/status. */
function statusOf(pid: number | undefined, name: string): string {
  const status = readFileSync(`/proc/${String(pid)}/status`, 'utf8');
  return new RegExp(`^${name}:\\t(.*?) *$`, 'm').exec(status)?.[1] ?? '';
}

const run = (...args: readonly string[]): ReturnType<typeof runToEnd> => {
  const [file, ...rest] = commandLine(args);
  return runToEnd(file, rest);
};

const idOf = (bridge: Bridge): string => statusOf(bridge.process.pid, 'Uid').split('\t')[0] ?? '';

describe('Root’s process as another user', { skip: !isRoot && 'needs root', timeout: 300_000 }, () => {
  it('answers those who have connected before it was the user', async () => {
    // Root goes on binding these while somebody connects to the first.
    const more = Array.from({ length: 30 }, (_, index) => ['--listen', `${socket}${String(index)}`]).flat();
    const bridge = start(startCommand(command('--listen', socket, ...more)));
    await until(() => existsSync(socket));
    assert.equal(await answerOf(socket), uid);
    await bridge;
  });

  it('listens on descriptors that it was started with, and on TCP', async () => {
    for (const [descriptor, listen] of [
      [0, []],
      [7, ['--listen', 'fd:7', '--listen', '127.0.0.1:0']],
    ] as const) {
      const path = `${socket}-${String(descriptor)}`;
      const args = ['script', '--user', USER, ...listen, script];
      const bridge = await start(startCommand(commandWithDescriptor(path, descriptor, args)));
      assert.equal(await answerOf(path), uid);
      const port = /127\.0\.0\.1:(\d+)/.exec(bridge.log())?.[1];
      if (port !== undefined) assert.equal(await answerOf(Number(port)), uid);
    }
  });

  it('listens on systemd’s sockets, and tells systemd how it is', async () => {
    const notify = join(directory, 'notify');
    const messages = await receive(notify);
    await chmod(notify, 0o666);
    const env = [`NOTIFY_SOCKET=${notify}`, 'WATCHDOG_USEC=200000'];
    const sockets = { web: socket };
    const bridge = await start(
      startActivated(activated(sockets, command('--listen', 'systemd:web'), env), socket),
    );
    assert.equal(await answerOf(socket), uid);
    assert.equal(idOf(bridge), uid.trim());
    await until(() => messages.filter((message) => message['WATCHDOG'] === '1').length >= 2);
    assert.equal(messages[0]?.['READY'], '1');
    assert.equal(await bridge.stop(), 0);
    await until(() => messages.some((message) => message['STOPPING'] === '1'));
  });

  it('is a daemon as well, whose crash leaves its trace in the user’s log', async () => {
    const [pidFile, log] = [join(directory, 'pid'), join(directory, 'log')];
    const [file, ...args] = command(
      ...['--daemon', '--listen', socket, '--pid-file', pidFile, '--log-file', log],
    );
    assert.deepEqual(await runToEnd(file, args), { status: 0, stdout: '', stderr: '' });
    const pid = Number(await readFile(pidFile, 'utf8'));
    try {
      assert.equal(await answerOf(socket), uid);
      assert.equal(statusOf(pid, 'Uid').split('\t')[0], uid.trim());
      assert.equal(await succeed('readlink', [`/proc/${String(pid)}/fd/2`]), `${log}\n`);
      assert.deepEqual(childrenOf(pid), []);
    } finally {
      process.kill(pid, 'SIGTERM');
      await vanished(pid);
    }
  });

  it('says why it can’t start, with the exit status that it had', async () => {
    for (const [args, status, reason] of [
      [['--listen', socket, '--chdir', join(directory, 'missing')], 1, /^fcgi2cgi: --chdir \S+: ENOENT/],
      [
        ['--listen', '192.0.2.1:1', '--allow-from', '192.0.2.2'],
        1,
        /^fcgi2cgi: 192\.0\.2\.1:1: can't listen/,
      ],
      [['--listen', join(directory, 'no', 'sock')], 1, /^fcgi2cgi: unix:\S+: can't listen: there is no dir/],
    ] as const) {
      const [file, ...all] = command(...args);
      const ended = await runToEnd(file, all);
      assert.match(ended.stderr, reason);
      assert.equal(ended.stderr.split('\n').length, 2, 'in one line');
      assert.equal(ended.status, status);
    }
  });

  it('leaves nothing behind of what it has opened before it fails', async () => {
    const files = ['--listen', socket, '--pid-file', `${socket}-pid`, '--control', `${socket}-control`];
    for (const [[file, ...args], reason] of [
      [command(...files, '--listen', script), /the file there is no socket/],
      [
        ['setpriv', '--bounding-set=-setuid,-setgid', ...command(...files)],
        /^fcgi2cgi: --user www-data: the system does not let us change to it: .*\n$/,
      ],
    ] as const) {
      const ended = await runToEnd(file, args);
      assert.match(ended.stderr, reason);
      assert.equal(ended.status, 1);
      assert.deepEqual(await readdir(directory), ['says']);
    }
  });

  it('looks for the programs that it needs before it opens anything', async () => {
    const log = join(directory, 'log');
    const files = ['--user', USER, '--listen', socket, '--pid-file', `${socket}-pid`, '--log-file', log];
    const missing = join(directory, 'missing');
    for (const [args, reason] of [
      [['hg', '--repos', directory, '--hg', missing], /--hg \S+: there is no such program; install/],
      [
        ['hg', '--repos', directory, '--hg', 'no-such-hg'],
        /--hg no-such-hg: there is no such program; install/,
      ],
      [['git', '--repos', directory, '--git', missing], /--git \S+: there is no such program; install/],
      [['git', '--repos', directory, '--gitweb', missing], /--gitweb \S+: not an executable file/],
      [['script', missing], /script \S+: there is no such file/],
      [['worker', '--', 'no-such-program'], /worker no-such-program: there is no such program in PATH/],
    ] as const) {
      const [kind, ...rest] = args;
      const { status, stderr } = await run(kind, ...files, ...rest);
      assert.match(stderr, reason);
      assert.deepEqual([status, stderr.split('\n').length], [1, 2], stderr);
      assert.match(readFileSync(log, 'utf8').split('\n').at(-2) ?? '', reason);
      assert.deepEqual(await readdir(directory), ['log', 'says']);
    }
  });

  it('leaves its number in no pid file where the user may not open the log or read the configuration', async () => {
    await mkdir(join(directory, 'roots'), { mode: 0o700 });
    const [pidFile, file] = [`${socket}-pid`, join(directory, 'roots', 'sites.toml')];
    await writeFile(file, `[site.a]\nkind = "script"\nfile = "${script}"\nlisten = "${socket}"\n`);
    const serving = command('--listen', socket, '--log-file', join(directory, 'roots', 'log'));
    const reading = commandLine(['serve', '--config', file, '--user', USER]);
    for (const [node, ...args] of [serving, reading]) {
      const { status, stderr } = await runToEnd(node, [...args, '--pid-file', pidFile]);
      assert.deepEqual([status, stderr.includes('EACCES'), stderr.split('\n').length], [1, true, 2], stderr);
      assert.equal(readFileSync(pidFile, 'utf8'), '');
    }
  });

  it('says that the user has to be able to read the program, or the configuration', async () => {
    await mkdir(join(directory, 'roots'), { mode: 0o700 });
    const copy = join(directory, 'roots', 'fcgi2cgi.js');
    await writeFile(copy, `import ${JSON.stringify(main)};\n`);
    const closed = await runToEnd(process.execPath, [copy, ...command('--listen', socket).slice(2)]);
    assert.match(
      closed.stderr,
      /^fcgi2cgi: --user www-data: that user has to be able to read this program, and run it: EACCES: .*; install/m,
    );
    assert.equal(closed.status, 1);
    const config = join(directory, 'sites.toml');
    const site = `[site.a]\nkind = "script"\nfile = "${script}"\nlisten = "unix:${socket}"\n`;
    await writeFile(config, site, { mode: 0o600 });
    const [file, ...args] = commandLine(['serve', '--user', USER, '--config', config]);
    const secret = await runToEnd(file, args);
    assert.match(
      secret.stderr,
      /^fcgi2cgi: --config \S+: EACCES: .*; the user who serves has to be able to read it\n$/,
    );
    assert.equal(secret.status, 1);
  });

  it('looks with that user’s eyes where it only explains or verifies', async () => {
    await chmod(script, 0o700);
    const of = ['dir', '--root', directory, '--param', `SCRIPT_FILENAME=${script}`];
    assert.equal((await run('explain', ...of, '--', '/')).status, 0);
    const explained = await run('explain', ...of, '--user', USER, '--', '/');
    assert.match(explained.stdout, /^refuses +403 .*\n[^]*says .* may not be executed by user www-data;/);
    assert.equal(explained.status, 3);
    const verified = await run('verify', ...of, '--user', USER, '--', '/');
    assert.match(verified.stdout, /^no program +GET \/: 403 /);
  });

  it('says what to do where koffi is missing', async () => {
    const hide = join(directory, 'hide.cjs');
    await writeFile(
      hide,
      `const { Module } = require('node:module'); const { _resolveFilename: resolve } = Module;
Module._resolveFilename = (name, ...rest) => resolve(name === 'koffi' ? '/nonexistent' : name, ...rest);\n`,
    );
    const [node, ...args] = command('--listen', socket);
    const { status, stderr } = await runToEnd(node, ['--require', hide, ...args]);
    assert.match(
      stderr,
      /^fcgi2cgi: --user www-data: koffi is not installed, .*: install it, or start this as/,
    );
    assert.equal(status, 1);
    assert.ok(!existsSync(socket), 'nothing was opened');
  });

  it('has a socket given to others in a directory of the user’s', async () => {
    const own = join(directory, 'own');
    await mkdir(own);
    await chown(own, Number(uid), 0);
    const path = join(own, 'sock');
    const bridge = await start(startCommand(command('--listen', path, '--socket-group', 'daemon')));
    const { uid: owner, gid, mode } = await stat(path);
    const daemons = Number((await succeed('getent', ['group', 'daemon'])).split(':')[2]);
    assert.deepEqual([owner, gid, mode & 0o777], [Number(uid), daemons, 0o660]);
    assert.equal(await bridge.stop(), 0);
    assert.deepEqual(await readdir(own), []);
  });

  it('makes nothing where a link of the user’s leads', async () => {
    const [own, roots] = [join(directory, 'own'), join(directory, 'roots')];
    for (const each of [own, roots]) await mkdir(each);
    await symlink(roots, join(own, 'link'));
    for (const path of [own, join(own, 'link')]) await lchown(path, Number(uid), 0);
    for (const [options, reason] of [
      [['--listen', join(own, 'link', 'sock')], /EACCES/],
      [['--listen', socket, '--log-file', join(own, 'link', 'log')], /EACCES/],
      [['--listen', socket, '--access-log', join(own, 'link', 'log')], /EACCES/],
      [['--listen', socket, '--pid-file', join(own, 'link', 'pid')], /EACCES/],
      [['--listen', `${socket}-control`, '--control', join(own, 'link', 'sock')], /EACCES/],
    ] as const) {
      const [file, ...args] = command(...options);
      const { status, stderr } = await runToEnd(file, args);
      assert.match(stderr, reason);
      assert.equal(status, 1);
      assert.deepEqual(await readdir(roots), [], options.join(' '));
    }
  });

  it('finds what the user has to open in the user’s own directories', async () => {
    const own = join(directory, 'own');
    await mkdir(own);
    await chown(own, Number(uid), Number(await succeed('id', ['-g', USER])));
    const [path, pidFile, log] = ['sock', 'pid', 'log'].map((name) => join(own, name)) as [
      string,
      string,
      string,
    ];
    const bridge = startCommand(command('--listen', path, '--pid-file', pidFile, '--access-log', log));
    await start(bridge);
    for (const file of [path, pidFile, log]) assert.equal((await stat(file)).uid, Number(uid), file);
    assert.equal(await answerOf(path), uid);
    assert.equal(await (await bridge).stop(), 0);
    for (const file of [path, pidFile]) assert.ok(!existsSync(file), `${file} is removed`);
  });
});
