/** Warm processes while much happens at once: no request may be the worse for it. */

import assert from 'node:assert/strict';
import { chmod, mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { fromText } from '../../../src/base/bytes.js';
import type { Invocation } from '../../../src/cgi/invocation.js';
import { fixture } from '../../helpers/bridge.js';
import { isRunning, vanished } from '../../helpers/processes.js';
import { temporaryDirectory } from '../../helpers/temporary.js';
import { runBy, Warm } from '../../helpers/warm.js';
import { isFull } from '../../helpers/webserver-table.js';

const AT_ONCE = 4;
/** So many are answered between one change and the next. */
const ANSWERS = isFull ? 16 : 8;

/** Between two requests, while there is no fork server and each request is a new process. */
const PAUSE_MS = 50;

/**
 * Keeps so many requests running until `action` has ended; each is looked at with what `now` was when it was asked.
 * `isSlow` is whether they are to follow each other slowly.
 */
async function underLoad<T>(
  warm: Warm,
  invocation: Invocation,
  {
    now,
    look,
    isSlow = () => false,
  }: { now: () => T; look: (stdout: string, asked: T) => void; isSlow?: () => boolean },
  action: () => Promise<void>,
): Promise<void> {
  let isOver = false;
  const ask = async (): Promise<void> => {
    while (!isOver) {
      const asked = now();
      const { stdout, outcome } = await runBy(warm.scripts.start, invocation);
      // How a process ended whose fork server was killed meanwhile, nobody knows.
      assert.deepEqual(
        [outcome.status, outcome.endedBy, outcome.exit?.kind],
        [200, undefined, 'exited'],
        stdout,
      );
      look(stdout, asked);
      if (isSlow()) await delay(PAUSE_MS);
    }
  };
  const asking = Array.from({ length: AT_ONCE }, () => ask());
  await Promise.race([action(), ...asking]);
  isOver = true;
  await Promise.all(asking);
}

function invocationOf(path: string, variables: Readonly<Record<string, string>> = {}): Invocation {
  const file = fromText(path);
  const all = new Map(Object.entries({ PATH: '/usr/bin:/bin', ...variables }));
  return { file, args: [], directory: dirname(file), variables: all };
}

/** The newest fork server, once there is one that was not `known`: no other one takes its place before it says so. */
async function newest(warm: Warm, known: ReadonlySet<number>): Promise<number> {
  for (;;) {
    const event = warm.events.findLast(({ message }) => message === 'a fork server is ready');
    const pid = Number(event?.fields['pid'] ?? NaN);
    if (event !== undefined && !known.has(pid)) return pid;
    await delay(5);
  }
}

describe('Under load', { timeout: 180_000 }, () => {
  it('a script, a module and its configuration change, and no request fails or sees what was before', async () => {
    const directory = await temporaryDirectory();
    const modules = join(directory, 'modules');
    await mkdir(modules);
    const script = join(directory, 'script.cgi');
    const files = ['script.cgi', 'modules/said.py', 'configuration'];
    let [version, answers] = [0, 0];
    // As editors and package managers do it: nobody finds half a file.
    const write = async (name: string, text: string): Promise<void> => {
      const path = join(directory, name);
      await writeFile(`${path}.new`, text);
      await chmod(`${path}.new`, 0o755);
      await rename(`${path}.new`, path);
    };
    const versions = files.map(() => 0);
    const change = async (index: number): Promise<void> => {
      const next = ++version;
      const text =
        index === 0
          ? `#!/usr/bin/python3 -B\nimport said\nprint('A: b\\n\\n%s %s %s' % (${String(next)}, said.version, open('configuration').read()))\n`
          : index === 1
            ? `version = ${String(next)}\n`
            : String(next);
      await write(files[index] ?? '', text);
      versions[index] = next;
    };
    for (const index of files.keys()) await change(index);
    const warm = new Warm();
    const invocation = invocationOf(script, { PYTHONPATH: modules });
    const seen = {
      now: () => [...versions],
      look: (stdout: string, asked: number[]): void => {
        answers++;
        const found = stdout.trim().split('\n').at(-1)?.split(' ').map(Number) ?? [];
        assert.ok(
          asked.every((least, index) => (found[index] ?? 0) >= least),
          `${String(found)}, not ${String(asked)}`,
        );
      },
    };
    await underLoad(warm, invocation, seen, async () => {
      for (let round = 0; round < 9; round++) {
        await change(round % 3);
        const enough = answers + ANSWERS;
        while (answers < enough) await delay(5);
      }
    });
    assert.deepEqual(
      warm.events.filter(({ level }) => level === 'warn'),
      [],
    );
  });

  for (const script of ['behaves-as-asked.py', 'behaves-as-asked.pl']) {
    it(`fork servers of ${script} are killed in the middle of their work, and no request fails`, async () => {
      const warm = new Warm();
      let answers = 0;
      let isStarting = true;
      const count = { now: () => undefined, look: () => answers++, isSlow: () => isStarting };
      await underLoad(warm, invocationOf(fixture(`cgi/${script}`)), count, async () => {
        const killed = new Set<number>();
        while (killed.size < 3) {
          await newest(warm, killed);
          isStarting = false;
          const enough = answers + 7 * killed.size;
          while (answers < enough) await delay(1);
          const pid = await newest(warm, killed);
          killed.add(pid);
          process.kill(pid, 'SIGKILL');
          isStarting = true;
          await vanished(pid);
        }
      });
    });
  }
});

describe('Fork servers', { timeout: 300_000 }, () => {
  const python = invocationOf(fixture('cgi/behaves-as-asked.py'));
  const perl = invocationOf(fixture('cgi/behaves-as-asked.pl'));

  it('are as many as they may be, and the log says once which script has none', async () => {
    const warm = new Warm({ maxForkServers: 1 });
    await warm.warmUp(python, { learned: false });
    for (let count = 0; count < 3; count++) assert.ok(!(await warm.run(perl)).isWarm);
    assert.ok((await warm.run(python)).isWarm);
    const problems = warm.events.filter(({ level }) => level === 'warn');
    assert.deepEqual(
      problems.map(({ fields }) => fields['reason']),
      ['there are as many fork servers as there may be'],
    );
  });

  it('make place for those of another script once nobody has asked for them for a while', async () => {
    const warm = new Warm({ maxForkServers: 1, minStayMs: 0 });
    assert.equal((await warm.scripts.prepare(python)).kind, 'warm');
    const first = await newest(warm, new Set());
    assert.equal((await warm.scripts.prepare(perl)).kind, 'warm');
    await vanished(first);
    assert.ok((await warm.run(perl)).isWarm);
  });

  it('end when nobody has asked for them for as long as they may be idle', async () => {
    const warm = new Warm({ idleTimeoutMs: 2_000 });
    assert.equal((await warm.scripts.prepare(python)).kind, 'warm');
    const pid = await newest(warm, new Set());
    await vanished(pid);
    assert.equal((await warm.scripts.prepare(python)).kind, 'warm');
    assert.ok(isRunning(await newest(warm, new Set([pid]))));
  });
});
