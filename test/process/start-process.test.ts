import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir } from 'node:fs/promises';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

import { chooseStart } from '../../src/process/start-process.js';
import { childrenOf, descriptorsOf, isRunning, until } from '../helpers/processes.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const { start } = chooseStart('posix');
const variables = new Map([['PATH', '/usr/bin:/bin']]);
const shell = (script: string, ...args: string[]): ReturnType<typeof start> =>
  start({ file: '/bin/sh', args: ['-c', script, 'sh', ...args], directory: '/', variables });

describe('Programs that are started by posix_spawn', { timeout: 300_000 }, () => {
  it('have pipes, which they can open by name', async () => {
    const { stdin, stdout, stderr, exited } = await shell(
      'cat /dev/stdin > /dev/stdout; echo to stderr > /dev/stderr',
    );
    stdin.end('from stdin\n');
    assert.deepEqual(await Promise.all([text(stdout), text(stderr)]), ['from stdin\n', 'to stderr\n']);
    assert.deepEqual(await exited, { kind: 'exited', code: 0 });
  });

  it('are all reaped, however many end at once, and leave no descriptor', async () => {
    const before = descriptorsOf(process.pid);
    const all = await Promise.all(
      Array.from({ length: 40 }, (_, code) => shell('read -r _; exit $1', String(code))),
    );
    for (const { stdin } of all) stdin.end('\n');
    for (const { stdout, stderr } of all) {
      stdout.resume();
      stderr.resume();
    }
    const statuses = await Promise.all(all.map(({ exited }) => exited));
    assert.deepEqual(
      statuses,
      all.map((_, code) => ({ kind: 'exited', code })),
    );
    assert.deepEqual(childrenOf(process.pid), []);
    await until(() => descriptorsOf(process.pid) === before);
  });

  it('leave no descriptor where they can’t be started', async () => {
    const before = descriptorsOf(process.pid);
    for (let count = 0; count < 10; count++) {
      const missing = start({ file: '/nowhere', args: [], directory: '/', variables });
      await assert.rejects(missing, { code: 'ERR_SPAWN' });
    }
    assert.equal(descriptorsOf(process.pid), before);
  });

  it('are reaped also where the signal came before anybody waited for it', async () => {
    for (let count = 0; count < 50; count++) {
      const { stdout, stderr, exited } = await start({
        file: '/bin/true',
        args: [],
        directory: '/',
        variables,
      });
      stdout.resume();
      stderr.resume();
      assert.deepEqual(await exited, { kind: 'exited', code: 0 });
    }
  });

  for (const [name, stream, descriptor] of [
    ['output', 'stdout', 1],
    ['error', 'stderr', 2],
  ] as const) {
    it(`have what they write to standard ${name} read while they run, at their end, and after it`, async () => {
      const read = async (script: string): Promise<Awaited<ReturnType<typeof shell>>> => {
        const started = await shell(
          `exec ${String(3 - descriptor)}>/dev/null 3>&${String(descriptor)}; ${script}`,
        );
        started[stream === 'stdout' ? 'stderr' : 'stdout'].resume();
        return started;
      };
      const running = await read('echo at once >&3; read -r _; echo at the end >&3');
      const [piece] = (await once(running[stream], 'data')) as [Buffer];
      assert.equal(piece.toString(), 'at once\n');
      running.stdin.end('\n');
      assert.equal(await text(running[stream]), 'at the end\n');

      for (const bytes of [60_000, 100_000, 1_000_000]) {
        const large = await read(`printf %0${String(bytes)}d 0 >&3`);
        assert.equal((await text(large[stream])).length, bytes);
      }

      const left = await read('{ sleep 0.1; echo by another >&3; } & echo by itself >&3');
      await left.exited;
      assert.equal(await text(left[stream]), 'by itself\nby another\n');
    });
  }

  it('are not read on by who reads slowly, whether they run or have ended', async () => {
    const started = await shell('head -c 200000 /dev/zero; sleep 0.05');
    started.stderr.resume();
    const [piece] = (await once(started.stdout, 'data')) as [Buffer];
    started.stdout.pause();
    await started.exited;
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok(started.stdout.readableLength < 200_000 - piece.length);
    assert.equal((await buffer(started.stdout)).length + piece.length, 200_000);
  });

  it('are given at once all that their standard input consists of, if a pipe holds it', async () => {
    for (const input of ['', 'some octets', 'x'.repeat(4_096)]) {
      const command = { file: '/bin/cat', args: [], directory: '/', variables };
      const { stdin, stdout, stderr } = await start({ ...command, input: Buffer.from(input) });
      stderr.resume();
      assert.ok(stdin.destroyed);
      assert.equal(await text(stdout), input);
    }
    const without = await start({
      ...{ file: '/bin/readlink', args: ['/proc/self/fd/0'], directory: '/', variables },
      input: Buffer.alloc(0),
    });
    without.stderr.resume();
    assert.equal(await text(without.stdout), '/dev/null\n');
    const { stdin, stdout, stderr } = await start({
      ...{ file: '/bin/cat', args: [], directory: '/', variables },
      input: Buffer.alloc(4_097),
    });
    stderr.resume();
    assert.ok(!stdin.destroyed, 'whoever has more writes it');
    stdin.end('written');
    assert.equal(await text(stdout), 'written');
  });

  it('leave those alone that Node has started, and the other way round', async () => {
    const byNode = execFile('/bin/sh', ['-c', 'exit 5']);
    const exits = once(byNode, 'exit');
    const started = await shell('exit 6');
    started.stdout.resume();
    assert.deepEqual(await started.exited, { kind: 'exited', code: 6 });
    assert.deepEqual(await exits, [5, null]);
  });

  it('close their standard input by their end, though something in the background holds it', async () => {
    const started = await shell('sleep 1000 <&0 >/dev/null 2>&1 & echo $!');
    const background = Number(await text(started.stdout));
    try {
      await started.exited;
      assert.ok(started.stdin.destroyed);
      assert.ok(isRunning(background));
    } finally {
      process.kill(background, 'SIGKILL');
    }
  });

  it('that close it and live on are told apart from those that read slowly, also when it is full', async () => {
    const started = await shell('head -c 1; exec <&-; echo closed; exec >&-; sleep 1000');
    const closed = new Promise((resolve) => started.stdin.once('close', resolve));
    started.stdin.on('error', () => undefined);
    started.stdin.write(Buffer.alloc(1_000_000, 'x'));
    assert.equal(await text(started.stdout), 'xclosed\n');
    await closed;
    assert.ok(isRunning(started.pid));
    await started.terminate(0);
  });

  it('are as much nicer than the daemon as they are told to be, with what they have started', async () => {
    const started = await start({
      ...{ file: '/bin/sh', directory: '/', variables },
      args: ['-c', 'for each in 1 2 3 4 5 6; do sleep 1000 & all="$all $!"; done; echo $all; wait'],
      niceness: 3,
    });
    started.stderr.resume();
    const [line] = (await once(started.stdout, 'data')) as [Buffer];
    const all = [started.pid, ...line.toString().trim().split(' ').map(Number)];
    const nicer = Math.min(19, getPriority() + 3);
    // Also one that was being forked in the moment in which they were told.
    await until(() => all.every((pid) => getPriority(pid) === nicer));
    await started.terminate(0);
    assert.equal(all.length, 7);
  });

  it('share the session of the daemon, unless a terminal goes with it', async () => {
    const index = new URL('../../src/process/start-process.js', import.meta.url).href;
    const sessionOf = (pid: string): string =>
      `(await readFile('/proc/' + ${pid} + '/stat', 'latin1')).split(' ')[5]`;
    const program = `const { readFile } = await import('node:fs/promises');
      const { chooseStart } = await import(${JSON.stringify(index)});
      const started = await chooseStart('posix').start({
        file: '/bin/cat', args: [], directory: '/', variables: new Map(),
      });
      const sessions = [${sessionOf('started.pid')}, ${sessionOf("'self'")}];
      console.log(sessions[0] === sessions[1] ? 'shared' : sessions[0] === String(started.pid) ? 'own' : sessions);
      await started.terminate(0);`;
    const run = promisify(execFile);
    const command = [process.execPath, '--input-type=module', '-e', program];
    assert.equal((await run('setsid', ['--wait', ...command])).stdout, 'shared\n');
    const words = command.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ');
    assert.equal((await run('script', ['-qec', words, '/dev/null'])).stdout.trim(), 'own');
  });

  it('keep the event loop running until they are reaped', async () => {
    const index = new URL('../../src/process/start-process.js', import.meta.url).href;
    const program = `const { chooseStart } = await import(${JSON.stringify(index)});
      const started = await chooseStart('posix').start({
        file: '/bin/sh', args: ['-c', 'exec 0<&- 1>&- 2>&-; sleep 0.3; exit 4'], directory: '/', variables: new Map(),
      });
      for (const stream of ['stdin', 'stdout', 'stderr']) started[stream].destroy();
      console.log(await started.exited);`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
    assert.equal(stdout, "{ kind: 'exited', code: 4 }\n");
  });

  it('say which real-time signal has ended them, though it has no name', async () => {
    const started = await start({
      file: '/usr/bin/perl',
      args: ['-e', 'kill 40, $$; sleep 1000'],
      directory: '/',
      variables,
    });
    started.stdout.resume();
    assert.deepEqual(await started.exited, { kind: 'signaled', signal: 'SIG40' });
  });
});

describe('The way of starting programs', () => {
  it('is Node’s where koffi is not installed, and the reason is told', async () => {
    const directory = await temporaryDirectory();
    const dist = fileURLToPath(new URL('../../', import.meta.url));
    const needed = ['cross-spawn', 'path-key', 'shebang-command', 'shebang-regex', 'which', 'isexe'];
    for (const name of needed) {
      const modules = join(dist, '..', 'node_modules');
      await cp(join(modules, name), join(directory, 'node_modules', name), { recursive: true });
    }
    await cp(join(dist, 'src'), join(directory, 'src'), { recursive: true });
    await cp(join(dist, '../package.json'), join(directory, 'package.json'));
    await mkdir(join(directory, 'node_modules/koffi'), { recursive: true });
    const copy = (await import(
      pathToFileURL(join(directory, 'src/process/start-process.js')).href
    )) as typeof import('../../src/process/start-process.js');
    const { start: byNode, fallback } = copy.chooseStart('auto');
    assert.match(fallback ?? '', /^koffi can’t be loaded \(Cannot find module 'koffi'/);
    const started = await byNode({ file: '/bin/echo', args: ['works'], directory: '/', variables });
    assert.equal(await text(started.stdout), 'works\n');
    assert.throws(() => copy.chooseStart('posix'), {
      code: 'ERR_START',
      message: /^--spawn-method posix: koffi can’t be loaded .*; --spawn-method auto does without$/,
    });
  });
});
