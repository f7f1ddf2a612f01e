/** Root becomes the user that it was told, after it has bound its sockets and before it reads from them. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { chmod, chown, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';

import { ask } from '../helpers/ask.js';
import { commandLine, main } from '../helpers/bridge.js';
import { type Ended, runToEnd, succeed } from '../helpers/command.js';
import { commandWithDescriptor, startThrough } from '../helpers/descriptors.js';
import { makeTree } from '../helpers/file-tree.js';
import { childrenOf, until, vanished } from '../helpers/processes.js';
import { temporaryDirectory } from '../helpers/temporary.js';

/** A user of every Debian, with a number of its own there. */
const USER = 'www-data';
const asUser = ['--user', USER];
const [uid, gid] = await Promise.all(
  ['-u', '-g'].map(async (what) => Number(await succeed('id', [what, USER]))),
);
const skip = process.getuid?.() !== 0 && 'needs root';

/** Root's, and open to everybody: there is a script in it that says who it is. */
let directory: string;
let socket: string;
let script: string;
beforeEach(async () => {
  directory = await temporaryDirectory();
  [socket, script] = [join(directory, 'sock'), join(directory, 'who')];
  await chmod(directory, 0o755);
  await makeTree(directory, {
    who: {
      content: `#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\necho "$(id -u) $(id -g) $(id -G)"\n`,
      mode: 0o755,
    },
  });
});

type Started = Awaited<ReturnType<typeof startThrough>>;
const started: Started[] = [];
after(async () => {
  for (const { stop } of started) await stop();
});

async function start(command: readonly string[]): Promise<Started> {
  const bridge = await startThrough(command);
  started.push(bridge);
  return bridge;
}

const command = (...args: readonly string[]): string[] => [
  ...commandLine(['script', ...asUser, '--listen', socket, ...args]),
  script,
];

const run = ([file = '', ...args]: readonly string[]): Promise<Ended> => runToEnd(file, args);

/** What the system says of a process: the numbers of its users, groups and capabilities. */
function rightsOf(pid: number | undefined): Readonly<Record<string, string>> {
  const status = readFileSync(`/proc/${String(pid)}/status`, 'utf8');
  return Object.fromEntries(
    [...status.matchAll(/^(PPid|Uid|Gid|Groups|CapEff|CapPrm|CapAmb):\t(.*?) *$/gm)].map(
      ([, name = '', value = '']) => [name, value],
    ),
  );
}

const four = (id: number | undefined): string => Array(4).fill(String(id)).join('\t');

const answerOf = async (where: string): Promise<string> => (await ask(where)).stdout.split('\n\n')[1] ?? '';

describe('Root', { skip, timeout: 300_000 }, () => {
  it('has to say whom to serve as', async () => {
    const { status, stderr } = await runToEnd(process.execPath, [main, 'script', '--listen', socket, script]);
    assert.match(stderr, /^fcgi2cgi: --user is missing, and this is root: .* --user www-data; --user root, /);
    assert.equal(status, 2);
  });

  it('may say that it has to be root', async () => {
    await start(commandLine(['script', '--user', 'root', '--listen', socket, script]));
    assert.match(await answerOf(socket), /^0 0 /);
  });

  it('becomes that user for good, in the same process and alone, and so are programs', async () => {
    const bridge = await start(command('--env', 'X=1'));
    const rights = rightsOf(bridge.process.pid);
    const none = '0000000000000000';
    const groups = (await succeed('id', ['-G', USER])).trim().split(' ');
    assert.deepEqual(
      { ...rights, Groups: rights['Groups']?.split(' ').sort() },
      {
        ...{ PPid: String(process.pid), Uid: four(uid), Gid: four(gid), Groups: groups.sort() },
        ...{ CapPrm: none, CapEff: none, CapAmb: none },
      },
    );
    assert.deepEqual(childrenOf(bridge.process.pid ?? 0), []);
    assert.match(await answerOf(socket), new RegExp(`^${String(uid)} ${String(gid)} `));
    assert.match(bridge.log(), / info serving as user www-data /);
    assert.equal(await bridge.stop(), 0);
  });

  it('takes the user’s further groups along, and a group in place of the user’s own', async () => {
    const groups = join(directory, 'group');
    const others = `${await readFile('/etc/group', 'utf8')}\nfirst:x:54321:${USER}\nsecond:x:54322:${USER}\nthird:x:54323:\n`;
    await writeFile(groups, others);
    const within = [
      'unshare',
      '--mount',
      'sh',
      '-c',
      'mount --no-mtab --bind "$0" /etc/group && exec "$@"',
      groups,
    ];
    await start([...within, ...command('--group', 'third')]);
    assert.match(await answerOf(socket), new RegExp(`^${String(uid)} 54323 54323 .*\\b54321 54322\\b`));
  });

  it('becomes a number that has no name, given a group', async () => {
    const number = ['--user', '54321', '--listen', socket, script];
    const { status, stderr } = await run(commandLine(['script', ...number]));
    assert.match(stderr, /^fcgi2cgi: --user 54321: the system has no entry for it, .* name one with --group/);
    assert.equal(status, 2);
    await start(commandLine(['script', '--group', '54322', ...number]));
    assert.equal(await answerOf(socket), '54321 54322 54322\n');
  });

  it('gives the user’s home to programs that get one', async () => {
    await makeTree(directory, {
      home: { content: `#!/bin/sh\nprintf 'A: b\\n\\n'\necho "$HOME $USER $LOGNAME"\n`, mode: 0o755 },
    });
    script = join(directory, 'home');
    await start(command('--pass-env', 'HOME', '--pass-env', 'USER', '--pass-env', 'LOGNAME'));
    assert.equal(await answerOf(socket), `/var/www ${USER} ${USER}\n`);
  });

  it('makes sockets where the user could not, and gives them to it unless to another', async () => {
    await start(command('--listen', `${socket}2`));
    for (const path of [socket, `${socket}2`]) {
      const { uid: owner, gid: group, mode } = await stat(path);
      assert.deepEqual([owner, group, mode & 0o777], [uid, gid, 0o660]);
    }
    const other = join(directory, 'other');
    await start(commandLine(['script', ...asUser, '--listen', other, '--socket-owner', 'nobody', script]));
    assert.equal((await stat(other)).uid, 65_534);
  });

  it('leaves a socket and empties a pid file that the user may not remove, and takes both at the next start', async () => {
    const pidFile = join(directory, 'pid');
    const bridge = await start(command('--pid-file', pidFile));
    assert.equal(await readFile(pidFile, 'utf8'), `${String(bridge.process.pid)}\n`);
    assert.equal((await stat(pidFile)).uid, 0, 'what is in it says whom root signals');
    assert.equal(await bridge.stop(), 0);
    assert.match(
      bridge.log(),
      new RegExp(` warn the next start replaces unix:${socket}, which can't be removed: EACCES`),
    );
    assert.equal(await readFile(pidFile, 'utf8'), '');
    const again = await start(command('--pid-file', pidFile));
    assert.match(await answerOf(socket), /^\d/);
    assert.equal(await readFile(pidFile, 'utf8'), `${String(again.process.pid)}\n`);
    await again.stop();
  });

  it('makes log files for the user, who opens them anew where somebody has made them after the drop', async () => {
    const [log, access] = [join(directory, 'log'), join(directory, 'access')];
    const socketOfIts = ['--listen', socket, '--pid-file', join(directory, 'pid')];
    const files = ['--log-file', log, '--access-log', access];
    const ended = await run(commandLine(['script', ...asUser, '--daemon', ...socketOfIts, ...files, script]));
    assert.deepEqual(ended, { status: 0, stdout: '', stderr: '' });
    const pid = Number(await readFile(join(directory, 'pid'), 'utf8'));
    try {
      for (const path of [log, access]) {
        const { uid: owner, gid: group, mode } = await stat(path);
        assert.deepEqual([owner, group, mode & 0o777], [uid, gid, 0o640]);
      }
      for (const path of [log, access]) await rename(path, `${path}.1`);
      process.kill(pid, 'SIGHUP');
      const old = async (): Promise<string> => readFile(`${log}.1`, 'utf8');
      await until(async () => (await old()).includes(`--access-log ${access} can't be opened: EACCES`));
      assert.match(
        await old(),
        / error --log-file \S+ can't be opened: EACCES.*; it goes on in the file that it had /,
      );
      const hasALine = async (path: string): Promise<boolean> => {
        return (await readFile(path, 'utf8')).includes(' completed ');
      };
      await ask(socket);
      await until(() => hasALine(`${access}.1`));
      // As logrotate's "create 0640 www-data adm" does.
      for (const path of [log, access])
        await succeed('install', ['-o', USER, '-m', '640', '/dev/null', path]);
      process.kill(pid, 'SIGHUP');
      await until(async () => (await readFile(log, 'utf8')).includes('log opened again'));
      await ask(socket);
      await until(() => hasALine(access));
    } finally {
      process.kill(pid, 'SIGTERM');
      await vanished(pid);
    }
  });

  it('does not write to a log file of its own for the user, nor through a link of the user’s', async () => {
    const own = join(directory, 'logs');
    await mkdir(own);
    await chown(own, uid ?? 0, gid ?? 0);
    const secret = join(directory, 'secret');
    await writeFile(secret, 'secret\n', { mode: 0o600 });
    await makeTree(own, { log: { link: secret }, dangling: { link: join(directory, 'made') } });
    for (const name of ['log', 'dangling']) {
      const log = join(own, name);
      const { status, stderr } = await run(command('--log-file', log));
      assert.match(stderr, new RegExp(`^fcgi2cgi: --log-file ${log} can't be opened: EACCES`));
      assert.equal(status, 1);
    }
    assert.equal(await readFile(secret, 'utf8'), 'secret\n');
    await assert.rejects(stat(join(directory, 'made')), { code: 'ENOENT' });
  });

  it('serves nothing that only root could read, and --check says so as well', async () => {
    await mkdir(join(directory, 'closed'), { mode: 0o700 });
    const root = join(directory, 'closed', 'cgi');
    await mkdir(root);
    await mkdir(join(directory, 'run'));
    await chown(join(directory, 'run'), uid ?? 0, gid ?? 0);
    socket = join(directory, 'run', 'sock');
    const config = join(directory, 'sites.toml');
    await writeFile(
      config,
      `user = "${USER}"\n[site.x]\nkind = "dir"\nroot = "${root}"\nlisten = "unix:${socket}"\n`,
    );
    for (const more of [[], ['--check']]) {
      const { status, stderr } = await runToEnd(process.execPath, [
        main,
        'serve',
        '--config',
        config,
        ...more,
      ]);
      assert.match(
        stderr,
        /^fcgi2cgi: \S+sites\.toml:4:1: \[site\.x\] root = "\S+": \S+closed may not be entered by user www-data$/m,
      );
      assert.equal(status, 1);
    }
    await assert.rejects(stat(socket), { code: 'ENOENT' });
  });

  it('gives the workers that a web server has it run to the user, too', async () => {
    const args = ['worker', ...asUser, '--chdir', '/', '--workers', '1', '--', 'sleep', '1000'];
    const bridge = await start(commandWithDescriptor(socket, 0, args));
    await until(() => childrenOf(bridge.process.pid ?? 0).length === 1);
    const [worker] = childrenOf(bridge.process.pid ?? 0);
    assert.equal(rightsOf(worker)['Uid'], four(uid));
  });
});

describe('A user who is not root', { skip, timeout: 300_000 }, () => {
  /** Nobody, who may enter a checkout of root's with root's right to pass. */
  const rights = '+dac_override,+dac_read_search';
  const asNobody = [
    ...['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'],
    ...[`--inh-caps=${rights}`, `--ambient-caps=${rights}`],
  ];
  const withUser = (...user: readonly string[]): string[] => [
    ...asNobody,
    ...commandLine(['script', ...user, '--listen', socket, script], { byRoot: false }),
  ];

  it('serves as himself, whether he is told to or not', async () => {
    for (const user of [[], ['--user', 'nobody', '--group', '65534']]) {
      const bridge = await start(withUser(...user));
      assert.match(await answerOf(socket), /^65534 65534 /);
      await bridge.stop();
    }
  });

  it('can’t be somebody else', async () => {
    for (const [option, name] of [
      ['--user', USER],
      ['--user', 'root'],
      ['--user', '0'],
      ['--group', USER],
      ['--group', 'root'],
    ] as const) {
      const { status, stderr } = await run(withUser(option, name));
      assert.equal(
        stderr,
        `fcgi2cgi: ${option} ${name}: only root may change its ${option.slice(2)}; start it as root, or as that one\n`,
      );
      assert.equal(status, 2);
    }
  });
});
