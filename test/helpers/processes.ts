/** What the system says of processes, our children or not (Linux's /proc). */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Between two looks: a tenth of the time that has gone by, within these. */
const [LEAST_POLL_MS, MOST_POLL_MS] = [5, 100];
/** Much longer than anything takes on a machine that has a lot to do. */
const PATIENCE_MS = 30_000;

function read(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${String(pid)}/${name}`, 'latin1');
  } catch {
    return '';
  }
}

/** Whether the process runs; one that has ended and that nobody has waited for does not. */
export function isRunning(pid: number): boolean {
  return /^State:\s+[^ZX]/m.test(read(pid, 'status'));
}

/** The processes that `pid` has started, by whichever of its threads, and that were not reaped. */
export function childrenOf(pid: number): number[] {
  return threadsOf(pid).flatMap((thread) => {
    const children = read(pid, `task/${thread}/children`).trim();
    return children === '' ? [] : children.split(' ').map(Number);
  });
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${String(pid)}/task`);
  } catch {
    return [];
  }
}

/** The ids of processes that have this text among their arguments. */
export function processesWith(text: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => pid !== process.pid && read(pid, 'cmdline').includes(text));
}

/** The ids of processes that run in this directory, or in one below it. */
export function processesIn(directory: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => `${linkOf(pid, 'cwd')}/`.startsWith(`${directory}/`));
}

function linkOf(pid: number, name: 'cwd' | 'exe'): string {
  try {
    return readlinkSync(`/proc/${String(pid)}/${name}`);
  } catch {
    return '';
  }
}

/** The file that a process runs; empty where it has ended. */
export function programOf(pid: number): string {
  return linkOf(pid, 'exe');
}

/** The files that a process has mapped, as the system lists them; empty where it has ended. */
export function mappedBy(pid: number): string {
  return read(pid, 'maps');
}

/** How many descriptors `pid` has open. */
export function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${String(pid)}/fd`).length;
}

/** The temporary files that `pid`, which spools bodies, has open. */
export function spooledBy(pid = 0): string[] {
  const directory = `/proc/${String(pid)}/fd`;
  return readdirSync(directory).flatMap((fd) => {
    try {
      const target = readlinkSync(`${directory}/${fd}`);
      return /\/(fcgi2cgi-[0-9a-f-]{36}|#\d+) \(deleted\)$/.test(target) ? [target] : [];
    } catch {
      return [];
    }
  });
}

/** The resident memory of `pid`, in MiB. */
export function residentMiB(pid: number): number {
  return Number(/^VmRSS:\s*(\d+) kB/m.exec(read(pid, 'status'))?.[1]) / 1024;
}

/** The most resident memory that `pid` has ever had, in MiB. */
export function peakMiB(pid: number): number {
  return Number(/^VmHWM:\s*(\d+) kB/m.exec(read(pid, 'status'))?.[1]) / 1024;
}

/** Resolves when `condition` holds; for what nothing announces, such as the end of somebody else's process. */
export async function until(
  condition: () => Promise<boolean> | boolean,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const begun = performance.now();
  while (!(await condition())) {
    const waitedMs = performance.now() - begun;
    if (waitedMs > patienceMs) {
      throw new Error(`still not so after ${String(patienceMs)} ms: ${String(condition)}`);
    }
    await delay(Math.max(LEAST_POLL_MS, Math.min(waitedMs / 10, MOST_POLL_MS)));
  }
}

/** Resolves when the process has ended; one that does not is killed, and the promise rejects. */
export async function vanished(pid: number): Promise<void> {
  try {
    await until(() => !isRunning(pid));
  } catch {
    process.kill(pid, 'SIGKILL');
    throw new Error(`process ${String(pid)} still ran; the test has killed it`);
  }
}
