/** scripts/setup, in a copy of the tree that has nothing else, on a machine that has only what is put there. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { type Ended, runToEnd } from '../helpers/command.js';
import { pathOf } from '../helpers/release.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const source = fileURLToPath(new URL('../../../scripts/setup', import.meta.url));
/** What the script needs itself. */
const own = ['awk', 'cat', 'dirname', 'find', 'flock', 'grep', 'install', 'realpath', 'rm'];
const built = ['dist/bin/bundled/fcgi2cgi.js', 'node_modules/.package-lock.json', 'node_modules/.bin/tsc'];

let top: string;

beforeEach(async () => {
  top = await temporaryDirectory();
  for (const path of ['scripts/warm', 'bin', 'src', 'test', 'dist/bin/bundled', 'node_modules/.bin'])
    await mkdir(join(top, path), { recursive: true });
  const text = (await readFile(source, 'utf8'))
    .replace(/^policy=.*$/m, `policy=${top}/policy`)
    .replace(/^PATH=.*$/m, `PATH=${top}/bin`)
    // Patterns of files are looked for on the real machine.
    .replaceAll(/(?<=[ (])'?\/usr\/[^ )]*/g, '');
  await writeFile(join(top, 'scripts/setup'), text, { mode: 0o755 });
  // No links: nothing of the real machine is written to by its name here.
  for (const name of own) await put(name, `exec ${pathOf(name) ?? assert.fail(name)} "$@"`);
  await put('node', 'echo v20.19.0');
  for (const name of ['npm', 'hg', 'lighttpd', 'git']) await put(name, `echo ${name} "$@" >>${top}/done`);
  for (const path of ['package-lock.json', 'package.json', 'tsconfig.json', 'src/a.ts', ...built])
    await writeFile(join(top, path), '');
  await age();
});

/** Makes a command of that machine. */
async function put(name: string, script: string): Promise<void> {
  await writeFile(join(top, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

/** Makes all older than what is built, but for what is named. */
async function age(...newer: readonly string[]): Promise<void> {
  const seconds = (path: string): number =>
    newer.includes(path) ? 3_000 : built.includes(path) ? 2_000 : 1_000;
  const sources = [
    'src/a.ts',
    'src',
    'test',
    'scripts/setup',
    'scripts/warm',
    'scripts',
    'package-lock.json',
  ];
  for (const path of [...sources, 'package.json', 'tsconfig.json', ...built])
    await utimes(join(top, path), seconds(path), seconds(path));
}

const setup = (...args: readonly string[]): Promise<Ended> => {
  const env = { ...process.env, DEBIAN_FRONTEND: undefined };
  return runToEnd(join(top, 'scripts/setup'), args, { env });
};

const done = (): Promise<string> => readFile(join(top, 'done'), 'utf8').catch(() => '');

describe('scripts/setup', () => {
  it('does nothing where nothing is missing, and brings or builds again what is older than what it is made of', async () => {
    for (const [newer, what, expected] of [
      [[], 'demo', ''],
      [['package-lock.json'], 'test', 'npm ci --no-audit --no-fund --loglevel=error\n'],
      [['src/a.ts'], 'bench', 'npm run build\n'],
      [['src'], 'demo', 'npm run build\n'],
      [['package.json'], 'demo', 'npm run build\n'],
      // Python has written there what it has compiled.
      [['scripts/warm'], 'demo', ''],
      [['src/a.ts'], 'test', ''],
    ] as const) {
      await age(...newer);
      await writeFile(join(top, 'done'), '');
      // Else these would be packages of the bench and the tests that are missing.
      for (const name of commandsOf(await readFile(join(top, 'scripts/setup'), 'utf8')))
        if (!existsSync(join(top, 'bin', name))) await put(name, 'exit 1');
      const ended = await setup(what);
      assert.deepEqual(ended, { status: 0, stdout: '', stderr: '' }, newer.join());
      assert.equal(await done(), expected, newer.join());
    }
  });

  it('installs what npm has left out, and not while another one does', async () => {
    await rm(join(top, 'node_modules/.bin/tsc'));
    await put(
      'npm',
      `echo begin >>${top}/done; while [ -e ${top}/wait ]; do :; done; echo end >>${top}/done`,
    );
    await writeFile(join(top, 'wait'), '');
    const both = Promise.all([setup('demo'), setup('demo')]);
    while ((await done()) === '') await setImmediate();
    await rm(join(top, 'wait'));
    for (const { status, stderr } of await both) assert.equal(status, 0, stderr);
    assert.equal(await done(), 'begin\nend\nbegin\nend\n');
  });

  it('wants Node 20.19 or later, and to know what for', async () => {
    for (const [version, isEnough] of [
      ['v20.18.9', false],
      ['v18.20.0', false],
      ['v20.19.0', true],
      ['v22.0.0', true],
    ] as const) {
      await put('node', `echo ${version}`);
      const { status, stderr } = await setup('demo');
      assert.equal(status, isEnough ? 0 : 1, version);
      if (!isEnough) assert.match(stderr, /^scripts\/setup: Node 20\.19 or later is needed, and .* is v/);
    }
    for (const args of [[], ['dance']]) assert.equal((await setup(...args)).status, 2);
  });

  it('installs what is missing and known as root alone, and starts no service of it', async () => {
    for (const name of ['hg', 'lighttpd', 'git']) await rm(join(top, 'bin', name));
    const { status, stderr } = await setup('demo');
    // This machine has no apt-get yet.
    assert.equal(status, 1);
    assert.match(stderr, /please install: mercurial git lighttpd$/m);

    // What this release does not have, nobody asks for; before apt has its lists nobody knows.
    await put('apt-cache', `printf '%s | 1 | x\\n' dpkg`);
    assert.equal((await setup('demo')).status, 0);
    await put('apt-get', 'exit 1');
    assert.equal((await setup('demo')).status, 0);
    await put('apt-cache', `test ! -e ${top}/done || printf '%s | 1 | x\\n' dpkg mercurial git`);
    if (process.getuid?.() === 0) {
      await chmod(top, 0o755);
      const asNobody = [
        '--reuid=65534',
        '--regid=65534',
        '--clear-groups',
        join(top, 'scripts/setup'),
        'demo',
      ];
      const refused = await runToEnd('setpriv', asNobody);
      assert.match(
        refused.stderr,
        /please run: sudo apt-get install --no-install-recommends mercurial git /m,
      );
    }
    await put(
      'apt-get',
      `echo apt-get "$@" "$DEBIAN_FRONTEND" >>${top}/done; ${top}/policy; echo policy $? >>${top}/done`,
    );
    await put('npm', `test -e ${top}/policy; echo npm $? >>${top}/done`);
    await age('package-lock.json');
    const ended = await setup('demo');
    if (process.getuid?.() !== 0) {
      assert.match(
        ended.stderr,
        /please run: sudo apt-get install --no-install-recommends mercurial git lighttpd$/m,
      );
      return;
    }
    assert.equal(ended.status, 0, ended.stderr);
    assert.match(ended.stdout, /no package lighttpd; what needs it does not run\nInstalling mercurial git\n/);
    const install = 'apt-get install --no-install-recommends -qq -y mercurial git noninteractive';
    const expected = `apt-get -qq update noninteractive\npolicy 127\n${install}\npolicy 101\nnpm 1\n`;
    assert.equal(await done(), expected);
    assert.ok(!existsSync(join(top, 'policy')));

    // A policy of the administrator's own stays, and is the one that counts.
    await writeFile(join(top, 'policy'), '#!/bin/sh\nexit 7\n', { mode: 0o755 });
    await setup('demo');
    assert.match(await done(), /policy 7\nnpm 0\n$/);
    assert.ok(existsSync(join(top, 'policy')));
    // And none stays where an installation fails.
    await rm(join(top, 'policy'));
    await put('apt-get', `[ "$1" != install ] || { test -x ${top}/policy && exit 3; }`);
    assert.equal((await setup('demo')).status, 3);
    assert.ok(!existsSync(join(top, 'policy')));
    // Nor that of one that was killed.
    await writeFile(join(top, 'policy'), "# by fcgi2cgi's scripts/setup");
    for (const name of ['hg', 'git']) await put(name, '');
    assert.equal((await setup('demo')).status, 0);
    assert.ok(!existsSync(join(top, 'policy')));
  });
});

/** The commands that the lists of needed packages have. */
function commandsOf(script: string): readonly string[] {
  const lists = /^demo=[^]*?(?=^fail)/m.exec(script)?.[0] ?? '';
  return [...lists.matchAll(/(?<=[ (\n])([\w-]+):[\w-]+/g)].map(([, name = '']) => name);
}
