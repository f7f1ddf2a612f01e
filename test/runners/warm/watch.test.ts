/** What a fork server hears of files from the system: each change, before the next request; and where it can't, it looks. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { before, describe, it } from 'node:test';

import { fromText } from '../../../src/base/bytes.js';
import type { Invocation } from '../../../src/cgi/invocation.js';
import { shippedFile } from '../../../src/daemon/package.js';
import { childrenOf, until } from '../../helpers/processes.js';
import { temporaryDirectory } from '../../helpers/temporary.js';
import { Warm } from '../../helpers/warm.js';

/** Says whether it was quiet before its input begins, and after. */
const perl = `
my $watch = Fcgi2cgi::Inotify->new;
$watch->begin('/', @ARGV);
sub say_it { syswrite STDOUT, ($watch->is_quiet ? 'True' : 'False') . "\\n" }
say_it();
sysread STDIN, my $line, 1;
say_it();
`;

/**
 * Watches what is named as `file` after `make`, and says whether it was quiet before `change`, and after it: with a fork
 * server's Perl if that is told, or else with its Python.
 */
const driver = `
import mmap, os, sys
from os import chmod, fsencode, getcwdb, link, makedirs, mkdir, path, rename, symlink, system, truncate, unlink, utime
sys.path.insert(0, sys.argv[1])
import fcgi2cgi_watch
from fcgi2cgi_watch import Watch
def write(path, text='new', mode='w'):
    with open(path, mode) as file: file.write(text)
def read(path):
    with open(path) as file: file.read()
def hears(perl, make, file, change):
    exec(make)
    files = [path.join(getcwdb(), fsencode(each)) for each in file.split()]
    if perl:
        from subprocess import PIPE, Popen
        command = ['perl', '-T', '-I', sys.argv[1] + '/../perl', '-MFcgi2cgi::Messages', '-MFcgi2cgi::Inotify', '-e', perl]
        with Popen([*command, *files], stdin=PIPE, stdout=PIPE, encoding='ascii') as process:
            before = process.stdout.readline().strip()
            exec(change)
            return before, process.communicate('x')[0].strip()
    watch = Watch()
    watch.begin(files, getcwdb())
    before = watch.is_quiet()
    exec(change)
    return before, watch.is_quiet()
def map_and_write():
    with open('f', 'r+b') as file, mmap.mmap(file.fileno(), 0) as map: map[0:1] = b'N'
print(*hears(*sys.argv[2:]))
`;

/** What is done before, what is watched, and what then happens. */
const changes: Readonly<Record<string, readonly [make: string, file: string, change: string]>> = {
  'that it is written to': [`write('f')`, 'f', `write('f', 'old', 'r+')`],
  'that something is added by another name': [
    `write('f'); link('f', 'other')`,
    'f',
    `write('other', 'x', 'a')`,
  ],
  'that it is cut short': [`write('f')`, 'f', `truncate('f', 1)`],
  'another time': [`write('f')`, 'f', `utime('f', (1, 1))`],
  'another mode': [`write('f')`, 'f', `chmod('f', 0o600)`],
  'that it is written to through memory': [`write('f')`, 'f', `map_and_write()`],
  'that another one takes its place': [`write('f'); write('g')`, 'f', `rename('g', 'f')`],
  'that another one takes the place of one of its names': [
    `write('f'); link('f', 'other'); write('g')`,
    'f',
    `rename('g', 'f')`,
  ],
  'that it goes elsewhere': [`write('f')`, 'f', `rename('f', 'g')`],
  'that it is removed': [`write('f')`, 'f', `unlink('f')`],
  'that a directory above goes elsewhere': [`makedirs('a/b'); write('a/b/f')`, 'a/b/f', `rename('a', 'c')`],
  'that nobody may enter a directory above': [`makedirs('a/b'); write('a/b/f')`, 'a/b/f', `chmod('a', 0)`],
  'where a link leads': [
    `write('f'); write('g'); symlink('f', 'l'); symlink('g', 'm')`,
    'l',
    `rename('m', 'l')`,
  ],
  'what a link leads to': [`write('f'); symlink('f', 'l'); symlink('l', 'k')`, 'k', `write('f', 'x', 'a')`],
  'where a link on the way leads': [
    `makedirs('a/b'); makedirs('c/b'); symlink('a', 'l'); symlink('c', 'm'); write('a/b/f'); write('c/b/f')`,
    'l/b/f',
    `rename('m', 'l')`,
  ],
  'what a link on the way leads through': [
    `makedirs('a/b'); write('a/b/f'); symlink('a/b/../b', 'l')`,
    'l/f',
    `rename('a', 'c')`,
  ],
  'a file that was missing': ['', 'f', `write('f')`],
  'a link that was missing': ['', 'f', `symlink('nowhere', 'f')`],
  'a directory that was missing above a file': ['', 'a/b/f', `mkdir('a')`],
  'a file that a link led to': [`symlink('a', 'l')`, 'l', `write('a')`],
  'a name in a directory': [`mkdir('a')`, 'a', `write('a/f')`],
  'a name that a directory loses': [`mkdir('a'); write('a/f')`, 'a', `unlink('a/f')`],
  'so much that the system loses count': [
    `mkdir('a')`,
    'a',
    `[write('a/%d' % n) for n in range(int(open('/proc/sys/fs/inotify/max_queued_events').read()) + 9)]`,
  ],
};

/** What is not heard as nothing else may be, and what can't be watched at all. */
const [quiet, heard, unsure] = ['True True\n', 'True False\n', 'False False\n'];

const isRoot = process.getuid?.() === 0;
/** What other tests mount meanwhile is heard, too, but for where mounts are one's own. */
const ownMounts = isRoot ? ['unshare', '-m'] : [];

type Hears = (change: readonly string[], within?: readonly string[]) => Promise<string>;

async function hears(
  program: string,
  change: readonly string[],
  within: readonly string[] = ownMounts,
): Promise<string> {
  const command = ['/usr/bin/python3', '-Bc', driver, shippedFile('scripts/warm/python'), program, ...change];
  const [file = '', ...args] = [...within, ...command];
  return execFileSync(file, args, { cwd: await temporaryDirectory(), encoding: 'utf8' });
}

for (const [language, program] of [
  ['Python', ''],
  ['Perl', perl],
] as const)
  describe(`A fork server in ${language}`, { timeout: 300_000 }, () => {
    const hearsHere: Hears = (change, within) => hears(program, change, within);

    for (const [what, change] of Object.entries(changes)) {
      it(`hears ${what}`, async () => {
        assert.equal(await hearsHere(change), heard);
      });
    }

    it('hears that something is mounted on the way', { skip: !isRoot }, async () => {
      const mount = `system('mount -t tmpfs none a')`;
      assert.equal(await hearsHere([`mkdir('a'); write('a/f')`, 'a/f', mount]), heard);
    });

    it('hears nothing where a file is read, or another one is changed beside it', async () => {
      assert.equal(await hearsHere([`write('f'); write('g')`, 'f missing', `read('f'); write('g')`]), quiet);
    });

    it('relies on nothing where it can’t be sure', async () => {
      for (const file of ['/proc/self/stat', '/proc/sys/kernel/ostype', '/dev/shm/../../proc/stat']) {
        assert.equal(await hearsHere(['', file, '']), unsure, file);
      }
      assert.equal(await hearsHere([`symlink('l', 'l')`, 'l', '']), unsure);
      assert.equal(await hearsHere([`symlink('l/l', 'l')`, 'l', '']), unsure);
      if (program === '') assert.equal(await hearsHere([`fcgi2cgi_watch._add = None`, 'f', '']), unsure);
    });

    it('relies on nothing where the system watches no more', async () => {
      const few = [
        'unshare',
        '-Ur',
        'sh',
        '-c',
        'echo 3 > /proc/sys/user/max_inotify_watches; exec "$@"',
        'sh',
      ];
      assert.equal(await hearsHere([`write('f')`, 'f', ''], few), unsure);
    });
  });

for (const [language, line, end] of [
  ['Python', '#!/usr/bin/python3', ''],
  ['Perl', '#!/usr/bin/perl -T', '\\n'],
] as const)
  describe(`A fork server of a script in ${language}`, { timeout: 300_000 }, () => {
    let warm: Warm;
    let directory: string;
    let path: string;
    const invocation = (): Invocation => {
      const variables = new Map([['PATH', '/usr/bin:/bin']]);
      return { file: fromText(path), args: [], directory: dirname(path), variables };
    };
    const run = (): ReturnType<Warm['run']> => warm.run(invocation());

    before(async () => {
      warm = new Warm();
      directory = await temporaryDirectory();
      path = join(directory, 'script.cgi');
      await writeFile(path, `${line}\nprint("A: b\\n\\none${end}")\n`);
      await chmod(path, 0o755);
      await run();
      await warm.event(/fork server is ready/);
      await until(async () => (await run()).isWarm);
    });

    it('watches, and no process of its own holds that open', async () => {
      await run();
      const [{ pid = 0 } = {}] = warm.scripts.status().forkServers;
      const watches = async (of: number): Promise<string[]> => {
        const names = await readdir(`/proc/${String(of)}/fd`);
        const links = names.map((name) => readlink(`/proc/${String(of)}/fd/${name}`).catch(() => ''));
        return (await Promise.all(links)).filter((link) => /inotify|mountinfo/.test(link));
      };
      assert.equal((await watches(pid)).length, 2);
      await until(async () => {
        const [standby] = childrenOf(pid);
        return standby !== undefined && (await watches(standby)).length === 0;
      });
    });

    it('goes on when it has heard something that was of no importance', async () => {
      await chmod(path, 0o755);
      assert.equal((await run()).isWarm, false);
      await until(async () => (await run()).isWarm);
      const text = await readFile(path, 'utf8');
      await writeFile(path, text.replace('one', 'two'));
      const { stdout, isWarm } = await run();
      assert.deepEqual([stdout, isWarm], ['A: b\n\ntwo\n', false]);
    });

    it('has changed for all who ask until it is replaced, also where it begins to watch only then', async () => {
      const fresh = new Warm();
      const file = join(directory, 'fresh.cgi');
      const write = async (said: string): Promise<void> => {
        await writeFile(file, `${line}\nprint("A: b\\n\\n${said}${end}")\n`);
        await chmod(file, 0o755);
      };
      const ask = async (): Promise<string> =>
        (await fresh.run({ ...invocation(), file: fromText(file) })).stdout;
      await write('one');
      await ask();
      await fresh.event(/fork server is ready/);
      await write('two');
      assert.deepEqual(await Promise.all([ask(), ask(), ask()]), Array(3).fill('A: b\n\ntwo\n'));
    });
  });
