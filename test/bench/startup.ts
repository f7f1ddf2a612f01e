/** How long each command takes from its start until it listens. */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startBridge } from '../helpers/bridge.js';
import type { Progress } from './progress.js';
import type { Startup } from './result.js';
import { spread } from './statistics.js';

const commands = ['script', 'hg', 'git'] as const;

/** Starts each so many times, in turn. */
export async function measureStartups(
  times: number,
  progress: Progress,
  signal: AbortSignal,
): Promise<Startup[]> {
  const directory = mkdtempSync(join(tmpdir(), 'fcgi2cgi-bench-startup-'));
  const measured = commands.map((command) => ({ command, seconds: [] as number[] }));
  try {
    const repos = join(directory, 'repos');
    mkdirSync(repos);
    for (let time = 1; time <= times; time++) {
      for (const { command, seconds } of measured) {
        signal.throwIfAborted();
        const args = command === 'script' ? ['/bin/true'] : ['--repos', repos];
        const socket = join(directory, `${command}-${String(time)}`);
        const one = (): Promise<number> => startOnce([command, '--listen', socket, ...args]);
        seconds.push(
          await progress.during('startup', 1, one, (took) => `fcgi2cgi ${command}: ${took.toFixed(3)} s`),
        );
      }
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
  return measured.map(({ command, seconds }) => ({ command, seconds: spread(seconds) }));
}

async function startOnce(args: readonly string[]): Promise<number> {
  const begun = performance.now();
  const bridge = await startBridge(args);
  const took = (performance.now() - begun) / 1000;
  await bridge.stop();
  return took;
}
