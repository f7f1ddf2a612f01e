/** Whether a process has ended, also where nobody has been told of it yet. */

import { readFileSync } from 'node:fs';

import { systemCodeOf } from '../errors.js';

/** `PF_EXITING` of Linux, in the flags of proc(5): set from before a process's descriptors are closed. */
const PF_EXITING = 0x4;

/**
 * Whether the process has ended or is about to: whoever has seen the end of its pipes and is told
 * no here knows that it has closed them by itself. Where the system has no /proc, a process that nobody has waited for
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

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs as somebody else.
    return systemCodeOf(error) !== 'ESRCH';
  }
}
