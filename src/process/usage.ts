/** What the processes of a request use, as Linux's /proc says; where there is no /proc, nothing is known. */

import { readdirSync, readFileSync } from 'node:fs';

/** A process that runs. Its CPU time has that of its children that have ended and were waited for. */
export interface ProcessUsage {
  readonly pid: number;
  /** What the process is called, or calls itself: text that nobody has checked. */
  readonly command: string;
  readonly cpuMs: number;
  readonly residentBytes: number;
}

/** Nobody reads more, and to ask costs time. */
const MAX_PROCESSES = 16;
const MAX_THREADS = 32;
/** Linux's unit of CPU time, to every program. */
const TICK_MS = 10;

/** A process and its descendants, as far as these run and still belong to it; empty where nothing is known. */
export function usageOf(pid: number, proc = '/proc'): readonly ProcessUsage[] {
  const found: ProcessUsage[] = [];
  const pids = [pid];
  for (const each of pids) {
    if (found.length === MAX_PROCESSES) break;
    try {
      const directory = `${proc}/${String(each)}`;
      found.push(readUsage(each, directory));
      pids.push(...childrenOf(directory).filter((child) => !pids.includes(child)));
    } catch {
      // It has ended, or is not for this user to see.
    }
  }
  return found;
}

function readUsage(pid: number, directory: string): ProcessUsage {
  const stat = readFileSync(`${directory}/stat`, 'utf8');
  const [from, to] = [stat.indexOf('('), stat.lastIndexOf(')')];
  // After the name, which may have anything in it, come the state and numbers: proc(5).
  const numbers = stat.slice(to + 2).split(' ');
  const ticks = numbers.slice(11, 15).reduce((sum, each) => sum + Number(each), 0);
  const resident = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`${directory}/status`, 'utf8'))?.[1];
  return {
    pid,
    command: stat.slice(from + 1, to),
    cpuMs: TICK_MS * ticks,
    residentBytes: 1_024 * Number(resident ?? 0),
  };
}

/** Also those that other threads than the first have started. */
function childrenOf(directory: string): readonly number[] {
  const threads = readdirSync(`${directory}/task`).slice(0, MAX_THREADS);
  const lists = threads.map((thread) => readFileSync(`${directory}/task/${thread}/children`, 'latin1'));
  return lists.flatMap((list) => list.split(' ').filter(Boolean).map(Number));
}
