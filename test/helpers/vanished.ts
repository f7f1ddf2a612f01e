/** Processes that tests see go. */

import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 10;
const PATIENCE_MS = 10_000;

/** Whether the process runs; one that has ended and that nobody has reaped yet does not. */
export async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${String(pid)}/stat`, 'latin1').catch(() => undefined);
  return stat !== undefined && !/^\d+ \(.*\) [ZX]/s.test(stat);
}

/** Resolves when the process has vanished: nothing tells us of the end of what is not our child. */
export async function vanished(pid: number): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (await isRunning(pid)) {
    if (performance.now() > deadline) {
      process.kill(pid, 'SIGKILL');
      throw new Error(`process ${String(pid)} still runs; the test has killed it`);
    }
    await delay(POLL_MS);
  }
}
