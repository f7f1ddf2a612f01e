/** A daemon that is killed, with processes that are warm or workers, leaves nothing after the next start. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { ask } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { childrenOf, until } from '../helpers/processes.js';
import { serve } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';

describe('A daemon that is killed', { timeout: 60_000 }, () => {
  it('leaves no temporary file after the next start, which takes nothing from one that runs', async () => {
    const directory = await temporaryDirectory();
    const script = join(directory, 'script.py');
    const page = 'print("Content-Type: text/plain\\n\\nhello")\n';
    await writeFile(script, `#!/usr/bin/python3\n${page}`, { mode: 0o755 });
    const env = { ...process.env, TMPDIR: await temporaryDirectory() };
    const made = (): string[] => readdirSync(env.TMPDIR);
    const start = async (): Promise<Awaited<ReturnType<typeof serve>>> => {
      const served = await serve(['script', '--runner', 'warm', script], { env });
      assert.match((await ask(served.socket)).stdout, /hello/);
      return served;
    };
    const killed = await start();
    const workers = await serve(['worker', '--', fixture('fastcgi/does-as-asked.pl')], { env });
    const ofWorkers = childrenOf(workers.process.pid ?? 0);
    const left = made();
    assert.equal(left.length, 2);
    for (const { process: daemon } of [killed, workers]) {
      daemon.kill('SIGKILL');
      await once(daemon, 'exit');
    }
    // Nothing ends a worker that waits, but who has started the daemon: a service's manager ends all that it has left.
    for (const pid of ofWorkers) process.kill(pid, 'SIGKILL');
    assert.deepEqual(made(), left);

    const running = await start();
    await running.logged(/ info removed what a process has left that was killed removed=\["/);
    await until(() => !made().some((name) => left.includes(name)));
    const [own] = made();
    const other = await start();
    await other.stop();
    assert.deepEqual(made(), [own]);
    assert.match((await ask(running.socket)).stdout, /hello/);
    assert.equal(await running.stop(), 0);
    assert.deepEqual(made(), []);
  });
});
