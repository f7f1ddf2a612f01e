/** A control group (cgroups(7), version 2) around a process and all that it will start, as far as the system lets us. */

import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { until } from '../helpers/processes.js';

let count = 0;

export class ControlGroup {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /**
   * Moves these processes into a group of their own, which those that they start later are born in; undefined where
   * there are no groups or they are not ours.
   */
  static around(list: () => readonly number[]): ControlGroup | undefined {
    try {
      const mount = /^\S+ (\S+) cgroup2 /m.exec(readFileSync('/proc/mounts', 'latin1'))?.[1];
      const own = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'latin1'))?.[1];
      if (mount === undefined || own === undefined) return undefined;
      const path = join(mount, own, `fcgi2cgi-bench-${String(process.pid)}-${String(++count)}`);
      mkdirSync(path);
      const moved = new Set<number>();
      // One that was started before its parent was moved is on the next list.
      for (let rest = list(); rest.length > 0; rest = list().filter((pid) => !moved.has(pid))) {
        for (const pid of rest) {
          writeFileSync(join(path, 'cgroup.procs'), String(pid));
          moved.add(pid);
        }
      }
      const group = new ControlGroup(path);
      group.cpuSeconds();
      return group;
    } catch {
      // The system says what is not allowed by refusing it; an empty group costs nothing.
      return undefined;
    }
  }

  /** CPU seconds so far, in user and kernel mode, of all that were ever in it. */
  cpuSeconds(): number {
    const stat = readFileSync(join(this.#path, 'cpu.stat'), 'latin1');
    return Number(/^usage_usec (\d+)$/m.exec(stat)?.[1]) / 1_000_000;
  }

  /** To be called when its processes are ending; resolves when they have and it is gone. */
  async remove(): Promise<void> {
    await until(() => {
      try {
        rmdirSync(this.#path);
        return true;
      } catch {
        return false;
      }
    });
  }
}
