import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, link, mkdir, readdir, rename, symlink, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';

import { fromText } from '../../../src/base/bytes.js';
import type { Invocation } from '../../../src/cgi/invocation.js';
import type { StartScript } from '../../../src/runners/process-runner.js';
import { shippedFile } from '../../../src/daemon/package.js';
import { fixture } from '../../helpers/bridge.js';
import { succeed } from '../../helpers/command.js';
import { compile } from '../../helpers/compile.js';
import { isRunning, until, vanished } from '../../helpers/processes.js';
import { temporaryDirectory } from '../../helpers/temporary.js';
import { runBy, spawned, Warm } from '../../helpers/warm.js';

function invocationOf(path: string, more: Readonly<Record<string, string>> = {}): Invocation {
  const file = fromText(path);
  const variables = new Map(Object.entries({ PATH: '/usr/bin:/bin', ...more }));
  return { file, args: [], directory: dirname(file), variables };
}

/** A script of its own, which a test may change. */
async function makeScript(text: string): Promise<string> {
  const path = join(await temporaryDirectory(), 'script.cgi');
  await writeFile(path, text);
  await chmod(path, 0o755);
  return path;
}

const withoutAddresses = (text: string): string => text.replace(/0x[0-9a-f]+/g, '0x…');

const header = `print('Content-Type: text/plain\\n')`;
const ready = /fork server is ready/;

const programs = shippedFile('scripts/warm');

/** Has a fork server's part say to a process that waits what it is to run, or the first octets of that, and print what it hears. */
const telling: Readonly<Record<string, readonly string[]>> = {
  Python: [
    '/usr/bin/python3',
    '-Bc',
    `import os, fcgi2cgi_standby as standby
for octets in 1, None:
    process = standby.Standby(os.getcwdb(), b'name')
    pid = os.fork()
    if pid == 0:
        print(process.wait(None).decode(), end='.', flush=True)
        os._exit(0)
    os.close(process.hearing)
    write = os.write
    os.write = lambda descriptor, message: write(descriptor, message[:octets and -octets]) + (octets or 0)
    process.tell(b'message')
    os.write = write
    os.waitpid(pid, 0)
    process.remove_pipes()`,
  ],
  Perl: [
    'perl',
    '-e',
    `use Cwd; my $octets;
BEGIN { *CORE::GLOBAL::syswrite = sub {
  my ($to, $message) = @_;
  CORE::syswrite($to, $message, length($message) - $octets);
  length $message } }
use Fcgi2cgi::Pages; use Fcgi2cgi::Standby;
for (1, 0) {
  $octets = $_;
  my $process = Fcgi2cgi::Standby->new(getcwd, 'name');
  my $pid = fork // die;
  if (!$pid) { $| = 1; print $process->wait_for_request(Fcgi2cgi::Pages->new), '.'; POSIX::_exit(0) }
  close $process->{hearing};
  $process->tell('message');
  waitpid $pid, 0;
  $process->remove_pipes;
}`,
  ],
};

describe('A process that waits for its request', () => {
  for (const [language, [program = '', ...args]] of Object.entries(telling)) {
    it(`runs nothing of ${language} where its fork server has not said all of it`, async () => {
      const env = { ...process.env, PYTHONPATH: `${programs}/python`, PERL5LIB: `${programs}/perl` };
      const cwd = await temporaryDirectory();
      assert.equal(await succeed(program, args, { cwd, env }), '.message.');
    });
  }
});

describe('A warm process', { timeout: 300_000 }, () => {
  it('of Perl is seen to end also where it does so just before its fork server waits for something', async () => {
    const library = join(await temporaryDirectory(), 'late-select.so');
    compile('late-select.c', library, ['-shared', '-fPIC']);
    const warm = new Warm();
    const invocation = invocationOf(await makeScript('#!/usr/bin/perl\nprint "A: b\\n\\n";\n'), {
      LD_PRELOAD: library,
    });
    await warm.warmUp(invocation, { learned: false });
    for (let count = 0; count < 3; count++) {
      const { outcome, isWarm } = await warm.run(invocation);
      assert.deepEqual([outcome.exit, isWarm], [{ kind: 'exited', code: 0 }, true]);
    }
  });

  for (const script of ['ends-as-asked.py', 'ends-as-asked.pl']) {
    it(`of ${script} ends in every way as a new one does`, async () => {
      const warm = new Warm();
      const path = fixture(`cgi/${script}`);
      await warm.warmUp(invocationOf(path), { learned: false });
      const ways = ['', 'exception', 'exit', 'message', 'at once', 'interrupt', 'signal', 'hook', 'half'];
      ways.push(
        'finalizer',
        'kept elsewhere',
        'equal classes',
        'not closed',
        'generator',
        'weak',
        'function',
        'thread',
      );
      ways.push('real-time signal', 'at exit', 'status', 'no output', 'closed', 'predeclared', 'replaced');
      ways.push('full', 'full elsewhere', 'alias', 'no such character');
      for (const way of ways) {
        const invocation = invocationOf(path, { QUERY_STRING: way });
        const { stdout, stderr, outcome, isWarm } = await warm.run(invocation, 'the body');
        const expected = await runBy(spawned, invocation, 'the body');
        assert.deepEqual(
          [stdout, withoutAddresses(stderr), outcome.exit, outcome.status, isWarm],
          [
            expected.stdout,
            withoutAddresses(expected.stderr),
            expected.outcome.exit,
            expected.outcome.status,
            true,
          ],
          way,
        );
      }
    });
  }

  it('can open /dev/stdout and /dev/stderr, which are pipes', async () => {
    const path = await makeScript(
      `#!/usr/bin/python3\nopen('/dev/stdout', 'w').write('A: b\\n\\nanswer')\nopen('/dev/stderr', 'w').write('complaint')\n`,
    );
    const warm = new Warm();
    await warm.warmUp(invocationOf(path), { learned: false });
    const { stdout, stderr } = await warm.run(invocationOf(path));
    assert.deepEqual([stdout, stderr], ['A: b\n\nanswer', 'complaint']);
  });

  it('that is aborted is ended with its whole group', async () => {
    const path = await makeScript(
      `#!/usr/bin/python3\nimport os, subprocess\n${header}\nsubprocess.run(['sleep', '1000'] if os.environ.get('HANG') else ['true'])\n`,
    );
    const warm = new Warm();
    await warm.warmUp(invocationOf(path), { learned: false });
    const abort = new AbortController();
    const startAndAbort: StartScript = async (invocation, signal) => {
      const started = await warm.scripts.start(invocation, signal);
      setImmediate(() => {
        abort.abort();
      });
      return started;
    };
    const { outcome } = await runBy(startAndAbort, invocationOf(path, { HANG: 'yes' }), '', abort.signal);
    assert.equal(outcome.endedBy, 'abort');
    assert.deepEqual(outcome.exit, { kind: 'signaled', signal: 'SIGTERM' });
    assert.ok(!isRunning(outcome.pid ?? 0));
  });
});

describe('A script that changes', { timeout: 300_000 }, () => {
  for (const [interpreter, say] of [
    ['/usr/bin/python3', (text: string) => `${header}\nprint('${text}')\n`],
    ['/usr/bin/perl', (text: string) => `print "Content-Type: text/plain\\n\\n${text}\\n";\n`],
  ] as const) {
    it(`is never run as it was, though size and mtime are, and is soon run warm again (${interpreter})`, async () => {
      const warm = new Warm();
      const path = await makeScript(`#!${interpreter}\n${say('old')}`);
      await utimes(path, 1, 1);
      await warm.warmUp(invocationOf(path), { learned: false });
      for (const text of ['one', 'two', 'tri']) {
        assert.ok((await warm.run(invocationOf(path))).isWarm);
        await writeFile(path, `#!${interpreter}\n${say(text)}`);
        await utimes(path, 1, 1);
        const first = await warm.run(invocationOf(path));
        assert.ok(first.stdout.endsWith(`${text}\n`), first.stdout);
        assert.ok(!first.isWarm);
        for (;;) {
          const { stdout, isWarm } = await warm.run(invocationOf(path));
          assert.ok(stdout.endsWith(`${text}\n`), stdout);
          if (isWarm) break;
        }
      }
      assert.ok(!warm.events.some(({ level }) => level === 'warn'));
    });
  }

  for (const [interpreter, script, module] of [
    [
      'python3',
      `import said\n${header}\nprint(said.text)\n`,
      ['said.py', (text: string) => `text = '${text}'\n`],
    ],
    [
      'perl',
      `use FindBin; use lib $FindBin::Bin; use Said; print "A: b\\n\\n$Said::text\\n";\n`,
      ['Said.pm', (text: string) => `package Said; our $text = '${text}'; 1;\n`],
    ],
  ] as const) {
    it(`is the one that lies elsewhere as soon as a link on the way leads there, be it the same file (${interpreter})`, async () => {
      const directory = await temporaryDirectory();
      const at = (...names: string[]): string => join(directory, ...names);
      for (const release of ['old', 'new']) {
        await mkdir(at(release));
        await writeFile(at(release, module[0]), module[1](release));
        await symlink(release, at(`to-${release}`));
      }
      await writeFile(at('old/script'), `#!/usr/bin/${interpreter}\n${script}`, { mode: 0o755 });
      await link(at('old/script'), at('new/script'));
      await rename(at('to-old'), at('current'));
      const warm = new Warm();
      const invocation = invocationOf(at('current/script'));
      await warm.warmUp(invocation, { learned: false });
      assert.match((await warm.run(invocation)).stdout, /old$/m);
      await rename(at('to-new'), at('current'));
      assert.match((await warm.run(invocation)).stdout, /new$/m);
    });

    it(`is run by the interpreter that PATH finds from now on (${interpreter})`, async () => {
      const first = await temporaryDirectory();
      const path = await makeScript(
        `#!/usr/bin/env ${interpreter}\n${interpreter === 'perl' ? 'print "A: b\\n\\n$ENV{WHICH}\\n";' : `import os\n${header}\nprint(os.environ.get('WHICH'))`}\n`,
      );
      const invocation = invocationOf(path, { PATH: `${first}:/usr/bin:/bin` });
      const warm = new Warm();
      await warm.warmUp(invocation, { learned: false });
      assert.ok((await warm.run(invocation)).isWarm);
      const wrapper = `#!/bin/sh\nWHICH=new exec /usr/bin/${interpreter} "$@"\n`;
      await writeFile(join(first, interpreter), wrapper, { mode: 0o755 });
      assert.match((await warm.run(invocation)).stdout, /new$/m);
    });

    it(`is run warm also where ${interpreter} has a process that something before it has started`, async () => {
      const first = await temporaryDirectory();
      const gone = join(first, 'gone');
      const path = await makeScript(`#!/usr/bin/env ${interpreter}\nprint("A: b\\n\\n")\n`);
      const wrapper = `#!/bin/sh\n(sleep 0.3; touch ${gone}) </dev/null >/dev/null 2>&1 &\nexec /usr/bin/${interpreter} "$@"\n`;
      await writeFile(join(first, interpreter), wrapper, { mode: 0o755 });
      const invocation = invocationOf(path, { PATH: `${first}:/usr/bin:/bin` });
      const warm = new Warm();
      await warm.warmUp(invocation, { learned: false });
      await until(() => existsSync(gone));
      for (let count = 0; count < 3; count++) assert.ok((await warm.run(invocation)).isWarm);
    });

    it(`is loaded once more when a library of its interpreter has changed (${interpreter})`, async () => {
      const library = join(await temporaryDirectory(), 'library.so');
      compile('late-select.c', library, ['-shared', '-fPIC']);
      const path = await makeScript(`#!/usr/bin/${interpreter}\nprint("A: b\\n\\n")\n`);
      const invocation = invocationOf(path, { LD_PRELOAD: library });
      const warm = new Warm();
      await warm.warmUp(invocation, { learned: false });
      assert.ok((await warm.run(invocation)).isWarm);
      await utimes(library, 1, 1);
      assert.ok(!(await warm.run(invocation)).isWarm);
    });
  }

  it('is noticed by a module that it loads, too', async () => {
    const modules = await temporaryDirectory();
    await writeFile(join(modules, 'said.py'), `text = 'old'\n`);
    const path = await makeScript(`#!/usr/bin/python3 -B\nimport said\n${header}\nprint(said.text)\n`);
    const invocation = invocationOf(path, { PYTHONPATH: modules });
    const warm = new Warm();
    await warm.warmUp(invocation);
    await writeFile(join(modules, 'said.py'), `text = 'new'\n`);
    for (let count = 0; count < 5; count++) {
      assert.ok((await warm.run(invocation)).stdout.endsWith('new\n'));
    }
  });
});

describe('What can’t be run warm', { timeout: 300_000 }, () => {
  it('is run by spawn when its fork server was killed, then by another one', async () => {
    const warm = new Warm();
    const invocation = invocationOf(fixture('cgi/ends-as-asked.py'));
    await warm.warmUp(invocation, { learned: false });
    const { fields } = await warm.event(ready);
    process.kill(Number(fields['pid']), 'SIGKILL');
    await vanished(Number(fields['pid']));
    while (!(await warm.run(invocation)).isWarm) assert.ok(warm.events.length < 10);
    const problem = await warm.event(/run by spawn/);
    assert.match(String(problem.fields['reason']), /ended with signal SIGKILL/);
    // It was run warm since: that it is no more is news.
    const prepared = await warm.scripts.prepare(invocation);
    assert.ok(prepared.kind === 'warm');
    process.kill(prepared.pid ?? 0, 'SIGKILL');
    await until(() => warm.events.filter(({ message }) => message.includes('run by spawn')).length === 2);
  });

  it('has one line in the log though what its fork server lacks has another name each time', async () => {
    let starts = 0;
    const warm = new Warm({
      startServer: () => {
        starts += 1;
        return Promise.reject(
          new Error(`EMFILE: too many open files, open '/dev/shm/a/${String(starts)}.err'`),
        );
      },
    });
    const invocation = invocationOf(fixture('cgi/ends-as-asked.py'));
    await until(async () => {
      await warm.scripts.prepare(invocation);
      return starts === 2;
    });
    assert.equal(warm.events.length, 1);
  });

  it('is run by spawn where it prints while it is loaded, or does not compile, and the log says so once', async () => {
    for (const [text, reason] of [
      ['#!/usr/bin/python3\nthis is no Python at all\n', /can't be compiled/],
      ['#!/usr/bin/perl\nthis is { not Perl\n', /does not compile/],
      ['#!/usr/bin/perl\nBEGIN { print "A: b\\n\\n" }\n', /prints A: b while it is loaded/],
      ['#!/usr/bin/perl\nBEGIN { my %all = %ENV } print "A: b\\n\\n";\n', /reads the whole environment/],
    ] as const) {
      const warm = new Warm();
      const invocation = invocationOf(await makeScript(text));
      const expected = await runBy(spawned, invocation);
      for (let count = 0; count < 3; count++) {
        const { stdout, stderr, isWarm } = await warm.run(invocation);
        assert.deepEqual([stdout, stderr, isWarm], [expected.stdout, expected.stderr, false]);
      }
      assert.match(String((await warm.event(/run by spawn/)).fields['reason']), reason);
      assert.equal(warm.events.length, 1);
    }
  });

  it('has a fork server for each value of a variable that its modules read while they load', async () => {
    const path = await makeScript(
      `#!/usr/bin/perl\nmy $seen; BEGIN { $seen = $ENV{KIND} // 'none' } print "A: b\\n\\n$seen $ENV{KIND}";\n`,
    );
    const warm = new Warm();
    for (const kind of ['one', 'two']) {
      const invocation = invocationOf(path, { KIND: kind });
      while (!(await warm.run(invocation)).isWarm) assert.ok(warm.events.length < 10);
    }
    for (const kind of ['one', 'two', 'three', 'one', 'two']) {
      const { stdout } = await warm.run(invocationOf(path, { KIND: kind }));
      assert.equal(stdout, `A: b\n\n${kind} ${kind}`);
    }
  });

  it('has one where a variable is there and one where it is not, if that is asked while they load', async () => {
    const path = await makeScript(
      `#!/usr/bin/perl\nmy $is; BEGIN { $is = exists $ENV{HTTPS} ? 'there' : 'missing' } print "A: b\\n\\n$is";\n`,
    );
    const warm = new Warm();
    const kinds = [{}, { HTTPS: 'on' }].map((more) => invocationOf(path, more));
    for (const kind of kinds) {
      while (!(await warm.run(kind)).isWarm) assert.ok(warm.events.length < 10);
    }
    const pages = [];
    for (const kind of kinds) pages.push((await warm.run(kind)).stdout);
    assert.deepEqual(pages, ['A: b\n\nmissing', 'A: b\n\nthere']);
  });

  it('is any other program, which the log says once', async () => {
    const warm = new Warm();
    for (let count = 0; count < 2; count++) await warm.run(invocationOf(fixture('cgi/nph.sh')));
    assert.deepEqual(
      warm.events.map(({ level, message }) => [level, message]),
      [['info', 'a program is not run warm: its interpreter line is /bin/sh']],
    );
  });

  it('leaves no fork server and no file behind when all is closed', async () => {
    const directory = await temporaryDirectory();
    const before = process.env['TMPDIR'];
    process.env['TMPDIR'] = directory;
    try {
      const warm = new Warm();
      await warm.warmUp(invocationOf(fixture('cgi/ends-as-asked.pl')), { learned: false });
      await warm.run(invocationOf(fixture('cgi/ends-as-asked.pl')));
      const pid = Number((await warm.event(ready)).fields['pid']);
      assert.notEqual(execFileSync('ls', [directory]).toString(), '');
      await warm.scripts.close();
      assert.ok(!isRunning(pid));
      // What this process has for all that it makes there stays as long as it lives.
      const [own = ''] = await readdir(directory);
      assert.deepEqual(await readdir(join(directory, own)), ['alive']);
    } finally {
      if (before === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = before;
    }
  });
});
