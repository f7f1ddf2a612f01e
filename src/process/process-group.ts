/** Processes and their groups: what is left of them, what they use, and signals to all of a group. */

import { readdirSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';

import { systemCodeOf } from '../base/errors.js';
import type { ProcessUsage } from '../base/runner-status.js';
import { loadLibC } from '../posix/libc.js';

/**
 * Sends a signal to a process, or of a negative number to every process of that group (kill(2)); says whether there was one
 * that could be signalled.
 */
export function trySignal(target: number, signal: NodeJS.Signals | 0): boolean {
  const loaded = loadLibC();
  // Node's kill throws where nothing is left, as a rule: 24 µs for each program that ends, in place of 1.
  if (signal === 0 && loaded.kind === 'loaded') return loaded.libc.kill(target, 0) === 0;
  try {
    process.kill(target, signal);
    return true;
  } catch (error) {
    // ESRCH: nothing is left. EPERM: what is left runs as somebody else, and is not ours to end.
    if (!['ESRCH', 'EPERM'].includes(systemCodeOf(error) ?? '')) throw error;
    return false;
  }
}

/**
 * Whether a process of the group still runs. A signal reaches also those that have ended and that nobody has waited
 * for, and where process 1 is no init that may be so for ever: Linux's /proc tells them apart. Elsewhere, and where a
 * descriptor is lacking to look there, they count.
 */
export async function groupRuns(group: number): Promise<boolean> {
  if (!trySignal(-group, 0)) return false;
  const running = await runningGroups();
  return running?.has(group) !== false;
}

/** What is read of /proc before the event loop has another turn. */
const SLICE_MS = 1;
/** Each look is followed by a rest of this many times its length: there may be thousands of processes. */
const REST = 4;

type Groups = ReadonlySet<number> | undefined;

let lastLook: Promise<unknown> = Promise.resolve();
let nextLook: Promise<Groups> | undefined;

/** All who ask before a look has begun share it. */
function runningGroups(): Promise<Groups> {
  return (nextLook ??= lastLook.then(() => {
    nextLook = undefined;
    const begin = performance.now();
    const look = readRunningGroups().catch(() => undefined);
    lastLook = look.then(() => delay(REST * (performance.now() - begin), undefined, { ref: false }));
    return look;
  }));
}

/** The groups of which a process runs, or undefined where there is no /proc. @throws Error where not all of it can be read. */
async function readRunningGroups(): Promise<Groups> {
  const ids = await readdir('/proc');
  if (!ids.includes('self')) return undefined;
  const groups = new Set<number>();
  let begin = performance.now();
  for (const id of ids) {
    if (!/^\d+$/.test(id)) continue;
    if (performance.now() - begin > SLICE_MS) {
      await turn();
      begin = performance.now();
    }
    const [state = 'X', , processGroup] = fieldsOf(readStat(id));
    if (!/[ZX]/.test(state)) groups.add(Number(processGroup));
  }
  return groups;
}

/** Empty for a process that is gone. */
function readStat(id: string): string {
  try {
    return readFileSync(`/proc/${id}/stat`, 'latin1');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(systemCodeOf(error) ?? '')) return '';
    throw error;
  }
}

/** `PF_EXITING` of Linux, in the flags of proc(5): set from before a process's descriptors are closed. */
const PF_EXITING = 0x4;

/**
 * Whether the process has ended or is about to. If its pipes have ended and it has not, it has
 * closed them by itself. Where the system has no /proc, a process that nobody has waited for
 * counts as one that lives.
 */
export function hasEnded(pid: number): boolean {
  try {
    return isEnding(readFileSync(`/proc/${String(pid)}/stat`, 'latin1'));
  } catch {
    // It was reaped, unless the system shows its processes to nobody.
    return !exists(pid);
  }
}

/** The same of what Linux's /proc says of it. */
export function isEnding(stat: string): boolean {
  const [state = '', , , , , , flags] = fieldsOf(stat);
  return /[ZX]/.test(state) || (Number(flags) & PF_EXITING) !== 0;
}

/** proc(5): pid (comm) state ppid pgrp session tty_nr tpgid flags; the command's name may contain anything. */
function fieldsOf(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** Whether a process has that number, also one of another user. */
export function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCodeOf(error) === 'EPERM';
  }
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
  const ticks = fieldsOf(stat)
    .slice(11, 15)
    .reduce((sum, each) => sum + Number(each), 0);
  const resident = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`${directory}/status`, 'utf8'))?.[1];
  return {
    pid,
    command: stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')),
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
