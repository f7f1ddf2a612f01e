import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readlinkSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, it } from 'node:test';

import { ask } from '../helpers/ask.js';
import { commandLine, startBridge } from '../helpers/bridge.js';
import { type Ended, runToEnd } from '../helpers/command.js';
import { makeTree } from '../helpers/file-tree.js';
import { commandWithDescriptor } from '../helpers/descriptors.js';
import { vanished, isRunning, processesWith } from '../helpers/processes.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const linux = process.platform === 'linux';

let directory: string;
let socket: string;
let log: string;
let options: readonly string[];

beforeEach(async () => {
  directory = await temporaryDirectory();
  socket = `${directory}/sock`;
  log = `${directory}/log`;
  await makeTree(directory, {
    'cgi/hello': { content: '#!/bin/sh\nprintf "A: b\\n\\nhello"\n', mode: 0o755 },
  });
  options = [
    'script',
    `${directory}/cgi/hello`,
    '--daemon',
    '--log-file',
    log,
    '--pid-file',
    `${directory}/pid`,
  ];
});

/** Whatever a test has started in the background and not stopped. */
afterEach(async () => {
  for (const pid of processesWith(`${directory}/`)) {
    process.kill(pid, 'SIGKILL');
    await vanished(pid);
  }
});

const start = (
  args: readonly string[] = ['--listen', socket],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Ended> => {
  const [file, ...words] = commandLine([...options, ...args]);
  return runToEnd(file, words, { env });
};

const pidOf = async (): Promise<number> => Number(await readFile(`${directory}/pid`, 'utf8'));

async function stop(pid: number): Promise<void> {
  process.kill(pid, 'SIGTERM');
  await vanished(pid);
}

async function assertAnswers(): Promise<void> {
  assert.equal((await ask(socket)).stdout, 'A: b\n\nhello');
}

/** The start fails with this one line and leaves no process and no file but these. */
async function assertFails(ended: Ended, line: RegExp, files: readonly string[]): Promise<void> {
  assert.deepEqual([ended.status, ended.stdout], [1, ''], ended.stderr);
  assert.match(ended.stderr, /^fcgi2cgi: [^\n]+\n$/);
  assert.match(ended.stderr, line);
  assert.deepEqual((await readdir(directory)).sort(), [...files].sort());
}

describe('--daemon', { skip: !linux && 'needs Linux', timeout: 300_000 }, () => {
  it('returns without a word when the daemon listens', async () => {
    assert.deepEqual(await start(), { status: 0, stdout: '', stderr: '' });
    await assertAnswers();
    await stop(await pidOf());
    assert.deepEqual((await readdir(directory)).sort(), ['cgi', 'log']);
    assert.match(readFileSync(log, 'utf8'), / info listening .* info stopped\n$/s);
  });

  it('lets go of the starter’s standard output and error, so that who reads them is not kept waiting', async () => {
    const [file, ...words] = commandLine([...options, '--listen', socket]);
    const starter = spawn(file, words, {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    starter.stdout.resume();
    starter.stderr.resume();
    await Promise.all([once(starter.stdout, 'end'), once(starter.stderr, 'end'), once(starter, 'exit')]);
    await assertAnswers();
    await stop(await pidOf());
  });

  it('runs in a session of its own, without a terminal, in no directory, with the log as its standard error', async () => {
    const before = processesWith(directory);
    assert.deepEqual(before, []);
    // A terminal of its own, which is gone when the starter has ended.
    const command = commandLine([...options, '--listen', socket])
      .map((word) => `'${word}'`)
      .join(' ');
    const terminal = await runToEnd('script', ['-qec', command, '/dev/null']);
    assert.equal(terminal.status, 0, terminal.stdout);
    const pid = await pidOf();
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    const [session, terminalNumber] = [stat[3], stat[4]];
    assert.deepEqual([session, terminalNumber], [String(pid), '0']);
    assert.equal(readlinkSync(`/proc/${String(pid)}/cwd`), '/');
    assert.equal(readlinkSync(`/proc/${String(pid)}/fd/2`), log);
    assert.equal(readlinkSync(`/proc/${String(pid)}/fd/1`), '/dev/null');
    await assertAnswers();
    await stop(pid);
  });

  it('tells scripts nothing of how it was started', async () => {
    await makeTree(directory, {
      'cgi/env': { content: '#!/bin/sh\necho A: b\necho\nexec env\n', mode: 0o755 },
    });
    options = options.map((word) => word.replace('cgi/hello', 'cgi/env'));
    await start();
    const { stdout } = await ask(socket);
    assert.match(stdout, /^PATH=/m);
    assert.doesNotMatch(stdout, /FCGI2CGI_|NODE_CHANNEL/);
    await stop(await pidOf());
  });

  it('listens on a descriptor that it was given', async () => {
    const [file = '', ...args] = commandWithDescriptor(socket, 5, [...options, '--listen', 'fd:5']);
    assert.deepEqual(await runToEnd(file, args), { status: 0, stdout: '', stderr: '' });
    await assertAnswers();
    await stop(await pidOf());
  });

  it('prints why it can’t listen where another daemon does', async () => {
    const other = await startBridge(['script', '/bin/true', '--listen', socket]);
    try {
      await assertFails(await start(), /sock: another process listens there/, ['cgi', 'log', 'sock']);
      assert.deepEqual(processesWith(`${directory}/cgi`), []);
      assert.match(readFileSync(log, 'utf8'), / error unix:.*another process listens there/);
    } finally {
      await other.stop();
    }
  });

  it('prints what is missing that it is to serve', async () => {
    options = ['hg', '--repos', `${directory}/missing`, ...options.slice(2)];
    await assertFails(await start(), /--repos .*missing: there is no such directory/, ['cgi', 'log']);
    assert.deepEqual(processesWith(directory), []);
  });

  it('prints that its log can’t be opened', async () => {
    await mkdir(log);
    await assertFails(await start(), /--log-file .*log can't be opened: EISDIR/, ['cgi', 'log']);
    assert.deepEqual(processesWith(directory), []);
  });

  it('prints how it ended where it could say nothing itself', async () => {
    const preload = `${directory}/preload.cjs`;
    await writeFile(preload, `if (process.env.FCGI2CGI_STARTED_AGAIN) process.kill(process.pid, 'SIGKILL');`);
    const ended = await start(['--listen', socket], { ...process.env, NODE_OPTIONS: `--require=${preload}` });
    await assertFails(ended, /ended before it listened \(SIGKILL\); see .*log$/m, [
      'cgi',
      'log',
      'preload.cjs',
    ]);
  });

  it('does not serve where the command was interrupted before the daemon had begun', async () => {
    const mark = 'FCGI2CGI_STARTED_AGAIN';
    const late = `if (process.env.${mark} === 'gone') await new Promise((gone) => process.once('disconnect', gone));`;
    const [node, ...words] = commandLine([...options, '--listen', socket]);
    const args = ['--import', `data:text/javascript,${encodeURIComponent(late)}`, ...words];
    const daemon = spawn(node, args, {
      env: { ...process.env, [mark]: 'gone' },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    daemon.disconnect();
    await once(daemon, 'exit');
    assert.deepEqual(processesWith(`${directory}/`), []);
    assert.deepEqual((await readdir(directory)).sort(), ['cgi', 'log']);
  });

  it('without a log file is not understood', async () => {
    options = options.filter((word) => word !== '--log-file' && word !== log);
    const ended = await start();
    assert.equal(ended.status, 2);
    assert.match(ended.stderr, /^fcgi2cgi: --daemon needs a file for its log.*--log-file.*\n$/);
    assert.deepEqual(await readdir(directory), ['cgi']);
  });
});

describe('The pid file of a daemon', { skip: !linux && 'needs Linux', timeout: 300_000 }, () => {
  it('has the process that serves, and is gone with it', async () => {
    await start();
    const pid = await pidOf();
    assert.deepEqual(processesWith(`${directory}/cgi`), [pid]);
    await stop(pid);
    assert.deepEqual((await readdir(directory)).sort(), ['cgi', 'log']);
  });

  it('keeps a second one from starting, which leaves the first alone', async () => {
    await start();
    const pid = await pidOf();
    const second = await start(['--listen', `${directory}/second`]);
    await assertFails(
      second,
      new RegExp(`--pid-file .*pid: already running as process ${String(pid)}$`, 'm'),
      ['cgi', 'log', 'pid', 'sock'],
    );
    assert.equal(await pidOf(), pid);
    await assertAnswers();
    assert.deepEqual(processesWith(`${directory}/cgi`), [pid]);
    await stop(pid);
  });

  it('is replaced after kill -9', async () => {
    await start();
    const killed = await pidOf();
    process.kill(killed, 'SIGKILL');
    await vanished(killed);
    assert.deepEqual(await start(), { status: 0, stdout: '', stderr: '' });
    const pid = await pidOf();
    assert.notEqual(pid, killed);
    assert.equal(isRunning(pid), true);
    await assertAnswers();
    await stop(pid);
  });

  it('is not left behind by a start that fails', async () => {
    await assertFails(await start(['--listen', `${directory}/missing/sock`]), /there is no directory/, [
      'cgi',
      'log',
    ]);
  });
});
