/** What a contender costs: its process and all that it has started, those that have ended included. */

import { readFileSync, writeFileSync } from 'node:fs';

import { childrenOf, peakMiB } from '../helpers/processes.js';
import { ControlGroup } from './control-group.js';

/** Linux's USER_HZ, which is 100 wherever Node runs. */
const TICKS_PER_SECOND = 100;
const SIGCHLD = 17;

export class Cost {
  readonly #pid: number;
  readonly #group: ControlGroup | undefined;

  constructor(pid: number) {
    this.#pid = pid;
    this.#group = ControlGroup.around(() => treeOf(pid));
  }

  /** CPU seconds so far, in user and kernel mode; null where nobody counts those of programs that have ended. */
  cpuSeconds(): number | null {
    if (this.#group !== undefined) return this.#group.cpuSeconds();
    const tree = treeOf(this.#pid);
    return tree.some(forgetsChildren)
      ? null
      : tree.reduce((sum, pid) => sum + ticksOf(pid), 0) / TICKS_PER_SECOND;
  }

  /** The peak resident memory of those that live, added up: what they share is counted for each. */
  peakMiB(): number {
    return treeOf(this.#pid).reduce((sum, pid) => sum + (peakMiB(pid) || 0), 0);
  }

  /** Begins the peaks anew, where the system lets us (proc(5): clear_refs). */
  resetPeak(): void {
    for (const pid of treeOf(this.#pid)) {
      try {
        writeFileSync(`/proc/${String(pid)}/clear_refs`, '5');
      } catch {
        // Somebody else's process: its peak is that since its start.
      }
    }
  }

  /** To be called when its processes are ending. */
  async remove(): Promise<void> {
    await this.#group?.remove();
  }
}

/** The process and all that it has started, and theirs. */
function treeOf(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(treeOf)];
}

function read(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${String(pid)}/${name}`, 'latin1');
  } catch {
    // It has ended since, and is counted with its parent.
    return '';
  }
}

/** Its own and that of programs that it has waited for (proc(5): utime, stime, cutime, cstime). */
function ticksOf(pid: number): number {
  const stat = read(pid, 'stat');
  // After the name, which may have spaces and parentheses in it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
}

/** Who ignores SIGCHLD, as fcgiwrap does, waits for nobody (getrusage(2)). */
function forgetsChildren(pid: number): boolean {
  const ignored = /^SigIgn:\s*([0-9a-f]+)/m.exec(read(pid, 'status'))?.[1] ?? '0';
  return ((BigInt(`0x${ignored}`) >> BigInt(SIGCHLD - 1)) & 1n) === 1n;
}
