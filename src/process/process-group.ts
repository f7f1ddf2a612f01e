/** Processes and their groups: what is left of them, and signals to all of a group. */

import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';

import { systemCodeOf } from '../base/errors.js';

/** Sends a signal to every process of the group; says whether there was one that could be signalled. */
export function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  return send(-group, signal);
}

/** Sends a signal to the process that leads the group, if it still runs. */
export function signalLeader(group: number, signal: NodeJS.Signals): boolean {
  return send(group, signal);
}

function send(target: number, signal: NodeJS.Signals | 0): boolean {
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
 * for, and where process 1 is no init that may be so for ever: Linux's /proc tells them apart, elsewhere they count.
 */
export async function groupRuns(group: number): Promise<boolean> {
  if (!signalGroup(group, 0)) return false;
  const ids = await readdir('/proc').catch((): string[] => []);
  if (!ids.includes('self')) return true;
  const running = await Promise.all(
    ids.map(async (id) => {
      if (!/^\d+$/.test(id)) return false;
      const stat = await readFile(`/proc/${id}/stat`, 'latin1').catch(() => '');
      // proc(5): pid (comm) state ppid pgrp; the command's name may contain anything.
      const [state = '', , processGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return Number(processGroup) === group && !/[ZX]/.test(state);
    }),
  );
  return running.includes(true);
}

/** `PF_EXITING` of Linux, in the flags of proc(5): set from before a process's descriptors are closed. */
const PF_EXITING = 0x4;

/**
 * Whether the process has ended or is about to. If its pipes have ended and it has not, it has
 * closed them by itself. Where the system has no /proc, a process that nobody has waited for
 * counts as one that lives.
 */
export function hasEnded(pid: number): boolean {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
  } catch {
    // It was reaped, unless the system shows its processes to nobody.
    return !exists(pid);
  }
  return isEnding(stat);
}

/** The same of what Linux's /proc says of it. */
export function isEnding(stat: string): boolean {
  // proc(5): pid (comm) state ppid pgrp session tty_nr tpgid flags; the command's name may contain anything.
  const [state = '', , , , , , flags] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return /[ZX]/.test(state) || (Number(flags) & PF_EXITING) !== 0;
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
