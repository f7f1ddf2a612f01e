/** `scripts/demo`, as its user sees it. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { type AddressInfo, createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { runToEnd } from '../helpers/command.js';
import { git, makeBareRepository, makeWorkTree } from '../helpers/git.js';
import { makeRepository } from '../helpers/mercurial.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { freePort } from '../helpers/webserver.js';

const demo = fileURLToPath(new URL('../../../scripts/demo', import.meta.url));

describe('scripts/demo', () => {
  it('makes repositories, serves them, and leaves nothing behind, also by a link in a hook of git, behind a proxy', async () => {
    const directory = await temporaryDirectory();
    const link = join(directory, 'demo-by-link');
    await symlink(demo, link);
    await makeWorkTree(join(directory, 'mine'), { 'a.txt': 'a' });
    const own = join(directory, 'mine/.git');
    const index = await readFile(join(own, 'index'));
    const env = {
      ...(await envFor(directory)),
      ...{ GIT_DIR: own, GIT_INDEX_FILE: join(own, 'index'), CDPATH: directory },
      ...{ http_proxy: 'http://127.0.0.1:9', HGRCPATH: await hgrcThatFails(directory) },
    };
    const { status, stdout, stderr } = await runToEnd(link, ['--check'], { env });
    assert.equal(status, 0, stdout + stderr);
    assert.deepEqual(await readFile(join(own, 'index')), index);
    assert.deepEqual(checked(stdout), [
      '/bridge.hg/',
      '/group/recipes.hg/',
      '/letters.hg/',
      'hg clone /bridge.hg',
      '/bridge.git/',
      '/group/recipes.git/',
      '/letters.git/',
      'git clone /bridge.git',
    ]);
    await nothingIsLeft(directory);
  });

  it('serves the repositories it is given, whatever their names, and does not write there', async () => {
    const directory = await temporaryDirectory();
    const repos = join(directory, 'my repos');
    await makeRepository(join(repos, 'black & blue'), { 'a.txt': 'a' });
    await makeRepository(join(repos, 'x/y'), { 'b.txt': 'b' });
    await makeWorkTree(join(repos, 'black & blue'), { 'a.txt': 'a' });
    await makeBareRepository(join(repos, 'x/é 1%.git'), { 'c.txt': 'c' }, { exported: false });
    const before = await treeOf(repos);
    const { status, stdout, stderr } = await runToEnd(demo, ['--check', repos], {
      env: await envFor(directory),
    });
    assert.equal(status, 0, stdout + stderr);
    assert.deepEqual(checked(stdout), [
      '/black%20%26%20blue.hg/',
      '/x/y.hg/',
      'hg clone /black%20%26%20blue.hg',
      '/black%20%26%20blue.git/',
      '/x/%C3%A9%201%25.git/',
      'git clone /black%20%26%20blue.git',
    ]);
    assert.deepEqual(await treeOf(repos), before);
    await nothingIsLeft(directory);
  });

  it('serves a single repository, and none that lies beside it', async () => {
    const directory = await temporaryDirectory();
    const repository = join(directory, 'repos/one.git');
    await makeBareRepository(repository, { 'a.txt': 'a' }, { exported: false });
    await git(['clone', '-q', '--bare', repository, join(directory, 'repos/two.git')]);
    const env = await envFor(directory);
    const { status, stdout, stderr } = await runToEnd(demo, ['--check', repository], { env });
    assert.equal(status, 0, stdout + stderr);
    assert.deepEqual(checked(stdout), ['/one.git/', 'git clone /one.git']);
    await nothingIsLeft(directory);
  });

  for (const [who, take, signal] of [
    ['what answers', listen, 'SIGTERM'],
    ['a connection', connect, 'SIGQUIT'],
  ] as const) {
    it(`takes the next port where one is in use by ${who}, and ends as asked on ${signal}`, async () => {
      const directory = await temporaryDirectory();
      const repository = join(directory, 'repos/one');
      await makeRepository(repository, { 'a.txt': 'a' });
      const { port, release } = await take();
      const child = spawn(demo, [repository], {
        env: { ...(await envFor(directory)), PORT: String(port) },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const closed = once(child, 'close');
      let stdout = '';
      for await (const text of child.stdout.setEncoding('utf8')) {
        stdout += String(text);
        if (stdout.includes('Ctrl-C')) child.kill(signal);
      }
      release();
      assert.deepEqual(await closed, [0, null]);
      assert.match(stdout, /^clone +hg clone http:\/\/127\.0\.0\.1:\d+\/one\.hg$/m);
      assert.doesNotMatch(stdout, new RegExp(`:${String(port)}/`));
      await nothingIsLeft(directory);
    });
  }

  it('says what is wrong with a directory without repositories', async () => {
    const directory = await temporaryDirectory();
    const { status, stderr } = await runToEnd(demo, [directory], { env: await envFor(directory) });
    assert.equal(status, 1);
    assert.match(stderr, /^scripts\/demo: .* has no Mercurial and no git repository$/m);
    await nothingIsLeft(directory);
  });
});

interface TakenPort {
  readonly port: number;
  readonly release: () => void;
}

async function listen(): Promise<TakenPort> {
  const listener = createServer((accepted) => accepted.on('error', () => undefined).resume()).listen(
    0,
    '127.0.0.1',
  );
  await once(listener, 'listening');
  return { port: (listener.address() as AddressInfo).port, release: () => listener.close() };
}

/** Takes the port that the system gives to an outgoing connection, at which nothing answers. */
async function connect(): Promise<TakenPort> {
  const peer = await listen();
  const connection = createConnection({ port: peer.port, host: '127.0.0.1' });
  await once(connection, 'connect');
  return {
    port: connection.localPort ?? 0,
    release: () => {
      connection.destroy();
      peer.release();
    },
  };
}

/** A file of settings by which each clone would fail. */
async function hgrcThatFails(directory: string): Promise<string> {
  const path = join(directory, 'hgrc');
  await writeFile(path, '[hooks]\npreoutgoing = false\npreupdate = false\n');
  return path;
}

async function envFor(directory: string): Promise<NodeJS.ProcessEnv> {
  return { ...process.env, DEMO: join(directory, 'demo'), PORT: String(await freePort()) };
}

/** What `--check` has found to be right, without scheme and host. */
function checked(stdout: string): string[] {
  return [...stdout.matchAll(/^ok: (.*)$/gm)].map(([, what]) => String(what).replace(/http:..[^/]*/, ''));
}

async function nothingIsLeft(directory: string): Promise<void> {
  assert.ok(!(await readdir(directory)).includes('demo'), 'the directory of the demo is left');
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    // Not our process, or one that has just ended.
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    const command = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    assert.ok(!`${cwd} ${command}`.includes(directory), `process ${pid} is left: ${command}`);
  }
}

/** All files but the caches, which Mercurial may write whenever it reads. */
async function treeOf(directory: string): Promise<string[]> {
  return (await readdir(directory, { recursive: true })).filter((path) => !path.includes('/cache/')).sort();
}
