/** What the daemon and programs are born into: where they run, and what the files that they make are permitted. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { ask } from '../helpers/ask.js';
import { type Bridge, commandLine, runBridge, startCommand } from '../helpers/bridge.js';
import { runToEnd } from '../helpers/command.js';
import { commandWithDescriptor, startThrough } from '../helpers/descriptors.js';
import { makeTree } from '../helpers/file-tree.js';
import { childrenOf, until } from '../helpers/processes.js';
import { serve } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { answersTheSame } from '../helpers/verified.js';

/** What scripts print: their umask and where they run. */
const head = 'Content-Type: text/plain\\n\\n';

/** Where the scripts are, and where the daemon runs. */
let scripts: string;
let elsewhere: string;
before(async () => {
  const directory = await temporaryDirectory();
  [scripts, elsewhere] = [join(directory, 'scripts'), join(directory, 'else where')];
  await chmod(directory, 0o755);
  await mkdir(elsewhere);
  await makeTree(scripts, {
    'shows.sh': { content: `#!/bin/sh\nprintf '${head}'\necho $(umask) $(pwd)\n`, mode: 0o755 },
    'shows.python': {
      content: `#!/usr/bin/python3\nimport os\nprint('${head}%04o %s' % (os.umask(0), os.getcwd()))\n`,
      mode: 0o755,
    },
    'shows.perl': {
      content: `#!/usr/bin/perl\nuse Cwd;\nprintf "${head}%04o %s\\n", umask, getcwd;\n`,
      mode: 0o755,
    },
    'wants-077.sh': {
      content: `#!/usr/bin/python3\nimport os\nprint('Status: %d\\n' % (200 if os.umask(0) == 0o077 else 500))\n`,
      mode: 0o755,
    },
  });
});

const started: Pick<Bridge, 'stop'>[] = [];
after(async () => {
  for (const { stop } of started) await stop();
});

const directoryOf = (pid: number | undefined): string => readlinkSync(`/proc/${String(pid)}/cwd`);
const umaskOf = (pid: number | undefined): string | undefined =>
  /^Umask:\t(\d+)$/m.exec(readFileSync(`/proc/${String(pid)}/status`, 'latin1'))?.[1];
const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);
const bodyOf = async (socket: string): Promise<string> => (await ask(socket)).stdout.split('\n\n')[1] ?? '';

describe('A directory that is gone', { timeout: 300_000 }, () => {
  it('is no place to start in, and is said to be none', async () => {
    const [node, ...words] = commandLine(['script', '/bin/true', '--listen', join(elsewhere, 'sock')]);
    const gone = join(elsewhere, 'gone');
    const { status, stderr } = await runToEnd('sh', [
      ...['-c', 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"'],
      ...[gone, node, ...words],
    ]);
    const why = 'the directory that this was started in is gone; go to one that is there, such as /';
    assert.deepEqual([status, stderr], [1, `fcgi2cgi: ${why}\n`]);
  });
});

describe('--chdir', { timeout: 300_000 }, () => {
  it('is where the daemon runs, and no CGI script', async () => {
    const { socket, process } = await serve(['script', '--chdir', elsewhere, join(scripts, 'shows.sh')]);
    assert.equal(directoryOf(process.pid), elsewhere);
    assert.match(await bodyOf(socket), new RegExp(` ${scripts}\n$`));
  });

  it('is the root directory, where nothing else was said', async () => {
    const { process } = await serve(['script', join(scripts, 'shows.sh')]);
    assert.equal(directoryOf(process.pid), '/');
  });

  it('counts, as all relative paths, from where the daemon is started', async () => {
    const from = join(elsewhere, '..');
    const options = ['--chdir', 'else where', '--listen', 'unix:relative', '--access-log', 'relative.log'];
    const command = commandLine(['script', ...options, 'scripts/shows.sh']);
    started.push(await startCommand(['env', '-C', from, ...command]));
    assert.match(await bodyOf(join(from, 'relative')), new RegExp(` ${scripts}\n$`));
    assert.ok(existsSync(join(from, 'relative.log')));
  });

  it('is where the processes of a FastCGI application run', async () => {
    const application = ['--workers', '1', '--', '/bin/sh', '-c', 'pwd >&2; exec sleep 100'];
    const bridge = await serve(['worker', '--chdir', elsewhere, ...application]);
    await bridge.logged(new RegExp(` worker: ${elsewhere}\\b`));
    const socket = join(await temporaryDirectory(), 'sock');
    const args = ['worker', '--chdir', elsewhere, ...application];
    const { process, stop } = await startThrough(commandWithDescriptor(socket, 0, args));
    started.push({ stop });
    const { pid = 0 } = process;
    await until(() => childrenOf(pid).length === 1);
    assert.deepEqual([pid, ...childrenOf(pid)].map(directoryOf), [elsewhere, elsewhere]);
  });

  it('has to be there, or nothing is left of the start', async () => {
    const socket = join(await temporaryDirectory(), 'sock');
    const args = ['script', '--listen', socket, '--chdir', '/no/such', join(scripts, 'shows.sh')];
    const { status, stderr } = await runBridge(args);
    assert.match(stderr, /^fcgi2cgi: --chdir \/no\/such: ENOENT: no such file or directory/m);
    assert.equal(status, 1);
    assert.ok(!existsSync(socket));
  });

  it(
    'has to be permitted to whoever serves',
    { skip: process.getuid?.() !== 0 && 'needs root' },
    async () => {
      const [ofRoot, socket] = [await temporaryDirectory(), join(await temporaryDirectory(), 'sock')];
      const options = ['--user', 'www-data', '--listen', socket, '--chdir', ofRoot];
      const { status, stderr } = await runBridge(['script', ...options, join(scripts, 'shows.sh')]);
      assert.match(stderr, /--chdir .*: EACCES: permission denied/);
      assert.equal(status, 1);
    },
  );
});

describe('--umask', { timeout: 300_000 }, () => {
  for (const [language, ...way] of [
    ['sh', '--spawn-method', 'posix'],
    ['sh', '--spawn-method', 'node'],
    ['python', '--runner', 'warm'],
    ['perl', '--runner', 'warm'],
  ]) {
    it(`is that of a script, with ${way.join(' ')} (${String(language)})`, async () => {
      const script = join(scripts, `shows.${String(language)}`);
      const bridge = await serve(['script', '--umask', '027', ...way, script]);
      assert.match(await bodyOf(bridge.socket), /^0027 /);
      if (!way.includes('warm')) return;
      await bridge.logged(/ a fork server is ready /);
      assert.match(await bodyOf(bridge.socket), /^0027 /);
    });
  }

  it('is that of files which the daemon makes, and not of its sockets', async () => {
    const directory = await temporaryDirectory();
    const [accessLog, pidFile] = [join(directory, 'access'), join(directory, 'pid')];
    const files = ['--access-log', accessLog, '--pid-file', pidFile];
    const { socket } = await serve(['script', '--umask', '77', ...files, join(scripts, 'shows.sh')]);
    assert.deepEqual([accessLog, pidFile, socket].map(modeOf), ['600', '600', '660']);
  });

  it('is that of the processes of a FastCGI application, and of who keeps it running', async () => {
    const socket = join(await temporaryDirectory(), 'sock');
    const args = ['worker', '--umask', '077', '--workers', '1', '--', '/bin/sleep', '100'];
    const { process, stop } = await startThrough(commandWithDescriptor(socket, 0, args));
    started.push({ stop });
    const { pid = 0 } = process;
    await until(() => childrenOf(pid).length === 1);
    assert.deepEqual([pid, ...childrenOf(pid)].map(umaskOf), ['0077', '0077']);
  });

  it('holds, as --chdir does, for all sites of a configuration file, and when they are verified', async () => {
    const [file, socket] = [join(elsewhere, 'sites.toml'), join(elsewhere, 'sock')];
    const site = `[site.one]\nkind = "script"\nfile = "../scripts/wants-077.sh"\nlisten = "unix:sock"\n`;
    await writeFile(file, `umask = "077"\nchdir = "../scripts"\n${site}`);
    const bridge = await startCommand(commandLine(['serve', '--config', file]));
    started.push(bridge);
    assert.match((await ask(socket)).stdout, /^Status: 200/);
    assert.equal(directoryOf(bridge.process.pid), scripts);
    await answersTheSame(['--config', file], { '/': 200 });
  });

  it('is that of verify, too', () =>
    answersTheSame(['script', '--umask', '077', join(scripts, 'wants-077.sh')], { '/': 200 }));
});
