/** Scripts that get ready ahead: an answer is what a new process gives, whatever has changed since. */

import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { fromText } from '../../../src/base/bytes.js';
import type { Invocation } from '../../../src/cgi/invocation.js';
import { ProcessRunner } from '../../../src/runners/process-runner.js';
import { succeed } from '../../helpers/command.js';
import { childrenOf, until, vanished } from '../../helpers/processes.js';
import { limits, requestBody } from '../../helpers/run-fixture.js';
import { Collector } from '../../helpers/sinks.js';
import { temporaryDirectory } from '../../helpers/temporary.js';
import { runBy, spawned, Warm } from '../../helpers/warm.js';

/** What has changed so short a time ago may change again and look the same: nothing gets ready for it. */
const SETTLED_MS = 150;
/** More than it mostly takes to get ready. */
const READY_MS = 150;

/** Does what its argument says, gets ready, and says what it has found. */
const script = `#!/usr/bin/python3 -B
import datetime, importlib.machinery, os, random, sys, time
import m
hook = globals().get('__prepared__')
kept = []
D = sys.argv[1]
VALUE = eval(sys.argv[2])
if hook:
    hook()
print('A: b\\n')
print(VALUE, os.environ.get('QUERY_STRING'), os.getcwd(), sys.argv[1:], sys.stdin.read())
`;

/** A script with its data; each expression that it is given is something of its own to get ready for. */
class Prepared {
  readonly warm: Warm;
  readonly data: string;
  readonly directory: string;

  private constructor(data: string, directory: string, warm: Warm) {
    this.data = data;
    this.directory = directory;
    this.warm = warm;
  }

  static async make(options: ConstructorParameters<typeof Warm>[0] = {}): Promise<Prepared> {
    const directory = await temporaryDirectory();
    const made = new Prepared(join(directory, 'data'), join(directory, 'cgi'), new Warm(options));
    for (const each of [made.data, made.directory, join(directory, 'modules')]) await mkdir(each);
    await writeFile(join(directory, 'modules/m.py'), '');
    await writeFile(join(made.directory, 'script.cgi'), script);
    await chmod(join(made.directory, 'script.cgi'), 0o755);
    await made.warm.warmUp(made.invocation('0'));
    return made;
  }

  invocation(expression: string, variables: Readonly<Record<string, string>> = {}): Invocation {
    return {
      file: fromText(join(this.directory, 'script.cgi')),
      args: [this.data, expression],
      directory: fromText(this.directory),
      variables: new Map(
        Object.entries({
          PATH: '/usr/bin:/bin',
          PYTHONPATH: join(this.directory, '../modules'),
          QUERY_STRING: 'q',
          ...variables,
        }),
      ),
    };
  }

  get served(): number {
    return this.warm.scripts.status().forkServers.reduce((sum, { prepared }) => sum + prepared, 0);
  }

  /** Asks until a process is forked where the script has got ready; gives that answer. */
  async ready(invocation: Invocation): Promise<string> {
    // What is asked twice is worth it, and what is asked meanwhile takes its time.
    for (let pauseMs = 0; ; pauseMs = READY_MS) {
      const { served } = this;
      const { stdout } = await this.warm.run(invocation);
      if (this.served > served) return stdout;
      await delay(pauseMs);
    }
  }

  /** Resolves when it is said why it does not get ready for this expression, or soon. */
  async saidSoon(expression: string): Promise<void> {
    for (let pauses = 0; pauses < 50 && this.said(expression).length === 0; pauses++) await delay(20);
  }

  /** Why it does not get ready for this expression. */
  said(expression: string): readonly string[] {
    return this.warm.events
      .map(({ fields }) => String(fields['reason']))
      .filter((reason) => reason.includes(`${expression}: `));
  }

  async run(invocation: Invocation): Promise<string> {
    return (await this.warm.run(invocation)).stdout;
  }
}

/** The process of a fork server in which a script has got ready: the only one that has a process of its own waiting. */
async function preparedOf(server: number): Promise<number> {
  let found: number | undefined;
  await until(() => {
    found = childrenOf(server).find((each) => childrenOf(each).length > 0);
    return found !== undefined;
  });
  return found ?? assert.fail();
}

const python = fileURLToPath(new URL('../../../../scripts/warm/python', import.meta.url));

const fresh = async (invocation: Invocation): Promise<string> => (await runBy(spawned, invocation)).stdout;

/** What the script looks at, and what then happens to it, in the directory with its data and its own. */
const changes: readonly [
  string,
  string,
  (data: string, own: string) => Promise<unknown>,
  ((data: string, own: string) => Promise<unknown>)?,
][] = [
  [
    'another text of the same length and time in a file',
    `open(D + '/same').read()`,
    async (data) => {
      await writeFile(join(data, 'same'), 'two');
      await utimes(join(data, 'same'), 1, 1);
    },
    async (data) => {
      await writeFile(join(data, 'same'), 'one');
      await utimes(join(data, 'same'), 1, 1);
    },
  ],
  [
    'a file that is read in what is not looked at call by call',
    `(hook.compute if hook else lambda call: call())(lambda: (sys.getprofile(), open(D + '/computed').read()))`,
    (data) => writeFile(join(data, 'computed'), 'two'),
    (data) => writeFile(join(data, 'computed'), 'one'),
  ],
  [
    'a file that was missing',
    `os.path.exists(D + '/missing')`,
    (data) => writeFile(join(data, 'missing'), ''),
  ],
  [
    'a file that is gone',
    `os.path.isfile(D + '/here')`,
    (data) => rm(join(data, 'here')),
    (data) => writeFile(join(data, 'here'), ''),
  ],
  [
    'a mode',
    `os.stat(D + '/mode').st_mode`,
    (data) => chmod(join(data, 'mode'), 0o600),
    (data) => writeFile(join(data, 'mode'), ''),
  ],
  [
    'where a link leads',
    `open(D + '/link').read()`,
    async (data) => {
      await rm(join(data, 'link'));
      await symlink('second', join(data, 'link'));
    },
    async (data) => {
      await writeFile(join(data, 'first'), 'first');
      await writeFile(join(data, 'second'), 'second');
      await symlink('first', join(data, 'link'));
    },
  ],
  [
    'another text where a link leads',
    `open(D + '/through').read()`,
    (data) => writeFile(join(data, 'target'), 'two'),
    async (data) => {
      await writeFile(join(data, 'target'), 'one');
      await symlink('target', join(data, 'through'));
    },
  ],
  [
    'a link in the place of a directory that was moved',
    `(open(D + '/way/file').read(), os.path.realpath(D + '/way'))`,
    async (data) => {
      await rename(join(data, 'way'), join(data, 'moved'));
      await symlink('moved', join(data, 'way'));
    },
    async (data) => {
      await mkdir(join(data, 'way'));
      await writeFile(join(data, 'way/file'), 'the same');
    },
  ],
  [
    'another directory by the same name',
    `open(D + '/dir/file').read()`,
    async (data) => {
      await rename(join(data, 'dir'), join(data, 'dir1'));
      await rename(join(data, 'dir2'), join(data, 'dir'));
    },
    async (data) => {
      for (const name of ['dir', 'dir2']) {
        await mkdir(join(data, name));
        await writeFile(join(data, name, 'file'), name);
      }
    },
  ],
  [
    'a name in a directory',
    `sorted(os.listdir(D + '/names'))`,
    (data) => writeFile(join(data, 'names/new'), ''),
    (data) => mkdir(join(data, 'names')),
  ],
  [
    'a name in a directory that is read in another way',
    `sorted(each.name for each in os.scandir(D + '/entries'))`,
    (data) => writeFile(join(data, 'entries/new'), ''),
    (data) => mkdir(join(data, 'entries')),
  ],
  ['a name in the working directory', `sorted(os.listdir('.'))`, (_, own) => writeFile(join(own, 'new'), '')],
  [
    'a file in the working directory',
    `open('relative').read()`,
    (_, own) => writeFile(join(own, 'relative'), 'two'),
    (_, own) => writeFile(join(own, 'relative'), 'one'),
  ],
  [
    'a module that was missing',
    `importlib.machinery.PathFinder.find_spec('m_new') is not None`,
    (_, own) => writeFile(join(own, '../modules/m_new.py'), ''),
  ],
];

/** What a script does that can't be done ahead, and what is said of it. */
const refused: Readonly<Record<string, RegExp>> = {
  [`print('printed')`]: /prints 'printed'/,
  [`os.urandom(0)`]: /draws a random number \(urandom\)/,
  [`random.Random(1).random() and 0`]: /draws a random number \(seed\)/,
  [`random.SystemRandom().random() < 0`]: /draws a random number \(urandom\)/,
  [`time.time() < 0`]: /asks for the time \(time\)/,
  [`time.localtime().tm_year < 0`]: /asks for the time \(localtime\)/,
  [`datetime.datetime.now().year < 0`]: /asks for the time \(now\)/,
  [`os.getpid() < 0`]: /asks for its process \(getpid\)/,
  [`os.system('true')`]: /does something to the system \(os.system\)/,
  [`[each.stat() for each in os.scandir(D)] and 0`]: /not seen \(stat of a name in a directory\)/,
  [`os.chdir('.')`]: /does something to the system \(os.chdir\)/,
  [`os.stat('relative', dir_fd=os.open('.', os.O_RDONLY)).st_size`]: /not seen \(dir_fd of stat\)/,
  [`kept.append(open(sys.argv[0]))`]: /holds what has something to do at the end/,
  [`len(dict(os.environ)) < 0`]: /reads the whole environment/,
  [`os.umask(0o27) < 0`]: /changes the umask/,
  [`len(open('/proc/self/stat').read()) < 0`]: /reads b'\/proc\/self\/stat'/,
  [`kept.append(bytearray(100 << 20))`]: /takes 1\d\d MiB of memory/,
  [`sys.exit(3) if hook else 0`]: /ends before it is ready/,
  [`1 / 0 if hook else 0`]: /ends before it is ready/,
  [`os.abort() if hook else 0`]: /ends before it is ready/,
  [`os._exit(os.write(hook.report, b'(')) if hook else 0`]: /ends before it is ready/,
  [`sys.stdin.read() if hook else 0`]: /takes longer than 10 s/,
};

describe('A script that gets ready ahead', { timeout: 600_000 }, () => {
  let prepared: Prepared;

  before(async () => {
    prepared = await Prepared.make();
  });

  it('answers as a new process, with each request’s own variables and body', async () => {
    const invocation = prepared.invocation('6 * 7');
    assert.equal(await prepared.ready(invocation), await fresh(invocation));
    const other = prepared.invocation('6 * 7', { QUERY_STRING: 'other', REMOTE_USER: 'ann' });
    const { served } = prepared;
    const { stdout } = await prepared.warm.run(other, 'a body');
    assert.equal(stdout, (await runBy(spawned, other, 'a body')).stdout);
    assert.equal(prepared.served, served + 1);
  });

  for (const [what, expression, change, make] of changes) {
    it(`sees ${what} at the next request`, async () => {
      const { data, directory } = prepared;
      await make?.(data, directory);
      await delay(SETTLED_MS);
      const invocation = prepared.invocation(expression);
      const earlier = await prepared.ready(invocation);
      assert.equal(earlier, await fresh(invocation));
      await change(data, directory);
      const now = await fresh(invocation);
      assert.notEqual(now, earlier);
      assert.equal(await prepared.run(invocation), now);
      await delay(SETTLED_MS);
      assert.equal(await prepared.ready(invocation), now);
    });
  }

  it('has not got ready where a file has changed so shortly before that it may change again and look the same', async () => {
    const code = `import marshal, os
from fcgi2cgi_prepared import Preparation, Preparations
from fcgi2cgi_look import seen
for later in 0, 5_000_000_000:
    all, each = Preparations(), Preparation((b'/', b'x'), b'p', {}, None)
    each.begun_at = os.stat('file').st_ctime_ns + later
    all.by_key[each.key] = each
    os.write(each.reporting, marshal.dumps((None, [(b'file', True, seen(b'file', True))], [])))
    os.close(each.reporting)
    list(all.hear(each))
    list(all.hear(each))
    print(each.files is not None, each.key in all.by_key)`;
    const cwd = await temporaryDirectory();
    await writeFile(join(cwd, 'file'), '');
    const said = await succeed('/usr/bin/python3', ['-B', '-c', code], {
      cwd,
      env: { ...process.env, PYTHONPATH: python, PYTHONDONTWRITEBYTECODE: '1' },
    });
    assert.equal(said, 'False False\nTrue True\n');
  });

  it('has not got ready where it asks for a user whom the system may know from elsewhere', async () => {
    const code = `import os
import fcgi2cgi_look as look
here = os.getcwdb()
look.SWITCH, look.USER_FILES = here + b'/switch', {'pwd': here + b'/passwd'}
with open('passwd', 'w') as file:
    file.write('ann:x:1000:\\n')
for sources in 'files', 'files ldap', 'ldap files':
    with open('switch', 'w') as file:
        file.write('passwd: %s\\n' % sources)
    refused = []
    for asked in 'ann', 1000, 'bob', 2000:
        look.Look(here, lambda why: refused.append(asked)).ask_for_user('pwd', asked)
    print(sources, refused)`;
    const said = await succeed('/usr/bin/python3', ['-B', '-c', code], {
      cwd: await temporaryDirectory(),
      env: { ...process.env, PYTHONPATH: python, PYTHONDONTWRITEBYTECODE: '1' },
    });
    assert.equal(said, `files []\nfiles ldap ['bob', 2000]\nldap files ['ann', 1000, 'bob', 2000]\n`);
  });

  it('sees another value of a variable that it has read, or that it was missing', async () => {
    const expression = `os.environ.get('READ_AHEAD')`;
    for (const value of ['one', 'two', undefined, 'one']) {
      const invocation = prepared.invocation(expression, value === undefined ? {} : { READ_AHEAD: value });
      const expected = await fresh(invocation);
      assert.equal(await prepared.run(invocation), expected);
      assert.equal(await prepared.ready(invocation), expected);
    }
  });

  it('is run as before where it can’t, and the log says why, once', async () => {
    await writeFile(join(prepared.directory, 'relative'), '');
    const expressions = Object.entries(refused);
    for (const [expression] of expressions) {
      const invocation = prepared.invocation(expression);
      const expected = await fresh(invocation);
      for (let runs = 1; prepared.said(expression).length === 0; runs++) {
        assert.equal(await prepared.run(invocation), expected);
        if (runs > 1) await prepared.saidSoon(expression);
      }
    }
    for (const [expression, why] of expressions) {
      const said = prepared.said(expression);
      assert.equal(said.length, 1, expression);
      assert.match(said[0] ?? '', why);
    }
  });

  it('has nothing done twice that is to be seen', async () => {
    const invocation = prepared.invocation(`open(D + '/written', 'a').write('x')`);
    let runs = 0;
    await until(async () => {
      await prepared.run(invocation);
      runs++;
      return prepared.said(`.write('x')`).length > 0;
    });
    assert.equal(await readFile(join(prepared.data, 'written'), 'utf8'), 'x'.repeat(runs));
  });

  it('answers all requests while what it has looked at changes', async () => {
    const write = async (version: number): Promise<void> => {
      await writeFile(join(prepared.data, 'next'), `${String(version)}.`);
      await rename(join(prepared.data, 'next'), join(prepared.data, 'version'));
    };
    let invocation: Invocation;
    const ask = async (): Promise<string> => (await runBy(prepared.warm.scripts.start, invocation)).stdout;
    for (let version = 0; version < 20; version++) {
      await write(version);
      if (version % 4 === 0) {
        // Another one, for what changes often is less and less often worth it.
        invocation = prepared.invocation(`open(D + '/version').read() # ${String(version)}`);
        await delay(SETTLED_MS);
        await prepared.ready(invocation);
      }
      const asked = Array.from({ length: 6 }, ask);
      for (const stdout of await Promise.all(asked.slice(0, 2)))
        assert.ok(stdout.includes(`\n${String(version)}. q`), stdout);
      await write(version + 1);
      for (const stdout of await Promise.all(asked)) assert.match(stdout, /\n\d+\. q/);
      assert.ok((await ask()).includes(`\n${String(version + 1)}. q`));
    }
  });

  it('has the limits of its processes while it gets ready', async () => {
    const values = new Map(Object.entries({ as: '4000000000:4000000000', cpu: '100:101', nice: '3' }));
    const own = await Prepared.make({ limits: { launcher: [], niceness: 3, values } });
    const niceness = await own.ready(own.invocation(`os.getpriority(os.PRIO_PROCESS, 0)`));
    assert.match(niceness, /^3 q/m);
    const memory = own.invocation(`bytearray(5_000_000_000) and 0`);
    await own.run(memory);
    await until(async () => {
      await own.run(memory);
      return own.said('bytearray(5_000_000_000) and 0').length > 0;
    });
    assert.match(own.said('bytearray(5_000_000_000) and 0')[0] ?? '', /ends before it is ready/);
  });

  it('has its last requests end when the process in which it has got ready was replaced, and killed', async () => {
    const own = await Prepared.make();
    await writeFile(join(own.data, 'same'), 'one');
    const invocation = own.invocation(`open(D + '/same').read()`);
    await own.ready(invocation);
    const [{ pid = 0 } = {}] = own.warm.scripts.status().forkServers;
    const ready = await preparedOf(pid);
    const { served } = own;
    const body = new PassThrough();
    const stdout = new Collector();
    const streams = { stdin: requestBody(body), stdout, stderr: new Collector() };
    const runner = new ProcessRunner(limits, own.warm.scripts.start);
    const outcome = runner.run(invocation, streams, new AbortController().signal);
    await until(() => own.served > served);
    await writeFile(join(own.data, 'same'), 'two');
    assert.match(await own.run(invocation), /^two q/m);
    process.kill(ready, 'SIGKILL');
    await vanished(pid);
    body.end('a body');
    await outcome;
    assert.match(stdout.text, /^one q .* a body$/m);
  });

  it('is run by another fork server when the process in which it has got ready was killed', async () => {
    const own = await Prepared.make();
    const invocation = own.invocation('1');
    const expected = await own.ready(invocation);
    const [{ pid = 0 } = {}] = own.warm.scripts.status().forkServers;
    process.kill(await preparedOf(pid), 'SIGKILL');
    await vanished(pid);
    assert.equal(await own.run(invocation), expected);
    assert.equal(await own.ready(invocation), expected);
  });

  it('leaves no process behind', async () => {
    const own = await Prepared.make();
    await own.ready(own.invocation('1'));
    const pids = own.warm.scripts
      .status()
      .forkServers.flatMap(({ pid = 0 }) => [
        pid,
        ...childrenOf(pid).flatMap((each) => [each, ...childrenOf(each)]),
      ]);
    assert.ok(pids.length > 3);
    await own.warm.scripts.close();
    for (const pid of pids) await vanished(pid);
  });
});
