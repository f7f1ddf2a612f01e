import assert from 'node:assert/strict';
import { once } from 'node:events';
import { access, chmod, copyFile, mkdir, open, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { before, describe, it } from 'node:test';

import { fromText } from '../../src/base/bytes.js';
import { startOnDescriptor } from '../../src/process/start-process.js';
import type { OwnedProcess } from '../../src/process/owned-process.js';
import { fixture } from '../helpers/bridge.js';
import { isRunning, vanished } from '../helpers/processes.js';
import { startProcess } from '../helpers/spawn-method.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const variables = new Map([['PATH', '/usr/bin:/bin']]);
const GRACE_MS = 200;

function start(file: string, args: readonly string[] = [], directory = dirname(file)): Promise<OwnedProcess> {
  return startProcess({ file: fromText(file), args, directory: fromText(directory), variables });
}

function startFixture(name: string, args: readonly string[] = []): Promise<OwnedProcess> {
  return start(fixture(`cgi/${name}`), args);
}

/** The process ids that a fixture prints after its header. */
async function printedPids(stdout: Readable): Promise<number[]> {
  let printed = '';
  while (!/\n\n.*\n/.test(printed)) {
    const [chunk] = (await once(stdout, 'data')) as [Buffer];
    printed += chunk.toString();
  }
  return (printed.split('\n\n')[1] ?? '').trim().split(' ').map(Number);
}

describe('A process', () => {
  it('has an open descriptor of ours as its standard input, if it is told to', async () => {
    const path = join(await temporaryDirectory(), 'input');
    await writeFile(path, 'from the file');
    const file = await open(path);
    const command = { file: '/bin/cat', args: [], directory: '/', variables };
    const started = await startOnDescriptor(command, file.fd);
    assert.equal(started.stdin, undefined);
    assert.equal(await text(started.stdout), 'from the file');
    assert.deepEqual(await started.exited, { kind: 'exited', code: 0 });
    await started.terminate(GRACE_MS);
    // It is still ours.
    assert.equal((await file.stat()).size, 13);
    await file.close();
  });

  it('leads a process group of its own', async () => {
    const started = await start('/bin/sh', ['-c', 'ps -o pgid= -p $$']);
    assert.equal(Number(await text(started.stdout)), started.pid);
    await started.exited;
  });

  it('tells its exit status when it has ended', async () => {
    const started = await start('/bin/sh', ['-c', 'exit 3']);
    assert.deepEqual(await started.exited, { kind: 'exited', code: 3 });
  });

  it('tells the signal that ended it, and ignores none when it begins', async () => {
    for (const signal of ['KILL', 'PIPE', 'TERM', 'INT', 'HUP', 'XFSZ']) {
      const started = await startFixture('dies-by-signal.sh', [signal]);
      assert.deepEqual(await started.exited, { kind: 'signaled', signal: `SIG${signal}` });
    }
  });

  it('inherits its three descriptors and no other', async () => {
    const started = await startFixture('prints-descriptors.sh');
    const printed = (await text(started.stdout)).split('\n\n')[1] ?? '';
    // Those above 15 may come from whoever started the tests, and pass through Node.
    const low = printed
      .trim()
      .split('\n')
      .filter((descriptor) => Number(descriptor) <= 15);
    assert.deepEqual(low, ['0', '1', '2', '3'], '3 is the one of ls itself');
    await started.exited;
  });

  it('is run by a shell if it has no interpreter line, as execvp does', async () => {
    const started = await startFixture('without-interpreter-line.sh');
    assert.match(await text(started.stdout), /run by a shell/);
    await started.exited;
  });
});

describe('What can’t be started', () => {
  let directory: string;

  before(async () => {
    directory = await temporaryDirectory();
    await writeFile(join(directory, 'not-executable'), '#!/bin/sh\n', { mode: 0o644 });
    await writeFile(join(directory, 'regular'), '');
    await mkdir(join(directory, 'directory'));
    await symlink('loop', join(directory, 'loop'));
  });

  const cases: Readonly<Record<string, string>> = {
    absent: 'ENOENT',
    'not-executable': 'EACCES',
    directory: 'EACCES',
    'regular/below': 'ENOTDIR',
    loop: 'ELOOP',
  };
  for (const [name, code] of Object.entries(cases)) {
    it(`is an ERR_SPAWN that names the file and ${code} (${name})`, async () => {
      const file = join(directory, name);
      await assert.rejects(start(file, [], '/'), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ERR_SPAWN');
        assert.ok(error.message.includes(`${file} could not be started: `), error.message);
        assert.equal((error.cause as { code?: string }).code, code);
        return true;
      });
    });
  }

  it('is an ERR_SPAWN where the interpreter is missing', async () => {
    const error: unknown = await startFixture('missing-interpreter.sh').catch((reason: unknown) => reason);
    assert.equal((error as { code?: string }).code, 'ERR_SPAWN');
  });

  it('is an ERR_SPAWN where the working directory is missing', async () => {
    await assert.rejects(start('/bin/sh', [], join(directory, 'absent')), { code: 'ERR_SPAWN' });
  });

  it('is an ERR_SPAWN where an argument or variable is larger than the system takes', async () => {
    await assert.rejects(start('/bin/sh', ['x'.repeat(4_000_000)]), { code: 'ERR_SPAWN' });
  });

  it('is an ERR_SPAWN, not an exception, with a NUL byte', async () => {
    await assert.rejects(start('/bin/sh', ['a\0b']), { code: 'ERR_SPAWN' });
  });
});

describe('Terminating a process', () => {
  it('sends SIGTERM, and is over as soon as that has worked', async () => {
    const started = await startFixture('stalls-in-body.sh');
    await printedPids(started.stdout);
    const begun = performance.now();
    await started.terminate(60_000);
    assert.ok(performance.now() - begun < 30_000);
    assert.deepEqual(await started.exited, { kind: 'signaled', signal: 'SIGTERM' });
  });

  it('sends SIGKILL when the grace is over, and not before', async () => {
    const started = await startFixture('ignores-term.sh');
    await printedPids(started.stdout);
    const begun = performance.now();
    await started.terminate(GRACE_MS);
    assert.ok(performance.now() - begun >= GRACE_MS - 1);
    assert.deepEqual(await started.exited, { kind: 'signaled', signal: 'SIGKILL' });
  });

  it('sends SIGKILL at once where there is no grace', async () => {
    const started = await startFixture('ignores-term.sh');
    await printedPids(started.stdout);
    await started.terminate(0);
    assert.deepEqual(await started.exited, { kind: 'signaled', signal: 'SIGKILL' });
  });

  it('ends a grandchild that ignores SIGTERM, though its parent is gone', async () => {
    const started = await startFixture('hangs-with-grandchild.sh');
    const [pid = 0, grandchild = 0] = await printedPids(started.stdout);
    assert.equal(pid, started.pid);
    assert.ok(isRunning(grandchild));
    await started.terminate(GRACE_MS);
    assert.deepEqual(await started.exited, { kind: 'signaled', signal: 'SIGTERM' });
    await vanished(grandchild);
  });

  it('ends what an already reaped process has left in its group', async () => {
    const started = await startFixture('leaves-grandchild.sh');
    const [grandchild = 0] = await printedPids(started.stdout);
    assert.deepEqual(await started.exited, { kind: 'exited', code: 0 });
    assert.ok(isRunning(grandchild));
    await started.terminate(GRACE_MS);
    await vanished(grandchild);
  });

  it('gives the whole group its grace, so that lock files are removed', async () => {
    const lock = join(await temporaryDirectory(), 'lock');
    const started = await startFixture('removes-lock-on-term.sh', [fromText(lock)]);
    await once(started.stdout, 'data');
    await access(lock);
    await started.terminate(10_000);
    await assert.rejects(access(lock), { code: 'ENOENT' });
  });

  /** A program that feeds another one, which writes to `file` what it has come to see: its input's end, or SIGTERM. */
  const feeding = (file: string): Promise<OwnedProcess> => {
    const fed = `trap "echo TERM >>'${file}'; exit" TERM; echo; echo; echo $$; cat; echo end >>'${file}'; trap "" TERM`;
    const program = `import subprocess, time
fed = subprocess.Popen(['sh', '-c', '''${fed}'''], stdin=subprocess.PIPE)
time.sleep(1000)`;
    return start('/usr/bin/python3', ['-c', fromText(program)]);
  };

  it('by the end of input kills the program alone, so that others come to their input’s end', async () => {
    const file = join(await temporaryDirectory(), 'seen');
    const started = await feeding(file);
    const [fed = 0] = await printedPids(started.stdout);
    await started.terminate(10_000, 'end-of-input');
    assert.deepEqual(await started.exited, { kind: 'signaled', signal: 'SIGKILL' });
    await vanished(fed);
    assert.equal(await readFile(file, 'utf8'), 'end\n');
  });

  it('by the end of input sends SIGTERM, then SIGKILL, to those who don’t care', async () => {
    const started = await startFixture('hangs-with-grandchild.sh');
    const [, grandchild = 0] = await printedPids(started.stdout);
    await started.terminate(GRACE_MS, 'end-of-input');
    assert.deepEqual(await started.exited, { kind: 'signaled', signal: 'SIGKILL' });
    await vanished(grandchild);
  });

  it('closes the pipes, which a process outside the group may hold', async () => {
    // setsid forks where the caller leads a group, so what holds the pipe is not to be found by it.
    const started = await start('/bin/sh', ['-c', 'setsid sleep 1000 & printf "\\n\\n%s\\n" $!; wait']);
    const [outside = 0] = await printedPids(started.stdout);
    try {
      await started.terminate(GRACE_MS);
      assert.ok(started.stdin.destroyed && started.stdout.destroyed && started.stderr.destroyed);
    } finally {
      if (isRunning(outside)) process.kill(outside, 'SIGKILL');
    }
    await vanished(outside);
  });

  it('may be asked for again, and of a process that has ended', async () => {
    const started = await startFixture('stalls-in-body.sh');
    await Promise.all([started.terminate(GRACE_MS), started.terminate(GRACE_MS)]);
    await started.terminate(GRACE_MS);
    const ended = await start('/bin/sh', ['-c', 'exit 7']);
    await ended.exited;
    await ended.terminate(GRACE_MS);
    assert.deepEqual(await ended.exited, { kind: 'exited', code: 7 });
  });
});

describe('A program that is replaced while it is served', () => {
  it('is a failed start, and startable again when it is back', async () => {
    const file = join(await temporaryDirectory(), 'script.sh');
    await copyFile(fixture('cgi/exits-3-after-body.sh'), file);
    await chmod(file, 0o644);
    await assert.rejects(start(file), { code: 'ERR_SPAWN' });
    await chmod(file, 0o755);
    const started = await start(file);
    started.stdout.resume();
    assert.deepEqual(await started.exited, { kind: 'exited', code: 3 });
  });
});
