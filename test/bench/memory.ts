/** What memory a contender's processes hold while they work, by what each is for: shared with others, or its own. */

import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { childrenOf } from '../helpers/processes.js';
import type { Progress } from './progress.js';
import type { Memory, RoleMemory } from './result.js';
import type { Part, Stage } from './stage.js';
import { median } from './statistics.js';

/** Often enough to see the processes of requests; what reading costs is not measured here. */
const PAUSE_MS = 10;
/** What has more below it than its roles say, as gitweb has git. */
const DEEPER = 'its programs';

interface Held {
  readonly rssMiB: number;
  readonly pssMiB: number;
  readonly ussMiB: number;
}

/** Has each part done some times with so many connections, and looks on. */
export async function measureMemory(
  parts: readonly Part[],
  stage: Stage,
  {
    concurrency,
    requests,
    progress,
    signal,
  }: { concurrency: number; requests: number; progress: Progress; signal: AbortSignal },
): Promise<Memory[]> {
  const all: Memory[] = [];
  for (const part of parts) {
    signal.throwIfAborted();
    const { instance, url } = stage.running(part);
    const one = async (): Promise<Memory> => {
      const watch = new Watch(instance.pid, part.contender.roles);
      const load = { concurrency, requests, signal };
      const { roles, peakMiB } = await watch.during(part.work.drive(url, stage.place, load));
      return { work: part.work.name, concurrency, contender: part.contender.name, peakMiB, roles };
    };
    const what = `memory: ${part.work.name}, ${part.contender.name}`;
    all.push(await progress.during('memory', 1, one, ({ peakMiB }) => `${what}: ${peakMiB.toFixed(1)} MiB`));
  }
  return all;
}

/** What a process and all below it hold together (PSS), in MiB. */
export function heldMiB(pid: number): number {
  return childrenOf(pid).reduce((sum, child) => sum + heldMiB(child), heldBy(pid)?.pssMiB ?? 0);
}

/** Looks at a tree of processes again and again. */
class Watch {
  readonly #pid: number;
  readonly #roles: readonly string[];
  readonly #largest = new Map<string, Map<number, Held>>();
  readonly #most = new Map<string, number>();
  #peakMiB = 0;

  constructor(pid: number, roles: readonly string[]) {
    this.#pid = pid;
    this.#roles = roles;
  }

  async during(work: Promise<unknown>): Promise<Pick<Memory, 'roles' | 'peakMiB'>> {
    const state = { isDone: false };
    const done = work.finally(() => (state.isDone = true));
    // Awaited below, after the last look.
    done.catch(() => undefined);
    while (!state.isDone) {
      this.#look();
      await delay(PAUSE_MS);
    }
    await done;
    return { peakMiB: this.#peakMiB, roles: [...this.#largest].map((each) => this.#summarise(...each)) };
  }

  #look(): void {
    const counts = new Map<string, number>();
    this.#peakMiB = Math.max(this.#peakMiB, this.#lookAt(this.#pid, 0, counts));
    for (const [role, count] of counts) this.#most.set(role, Math.max(count, this.#most.get(role) ?? 0));
  }

  /** Gives what it and all below it hold. */
  #lookAt(pid: number, depth: number, counts: Map<string, number>): number {
    const role = this.#roles[depth] ?? DEEPER;
    const held = heldBy(pid);
    if (held !== undefined) {
      counts.set(role, 1 + (counts.get(role) ?? 0));
      const ofRole = this.#largest.get(role) ?? new Map<number, Held>();
      this.#largest.set(role, ofRole);
      if (held.rssMiB >= (ofRole.get(pid)?.rssMiB ?? 0)) ofRole.set(pid, held);
    }
    return childrenOf(pid).reduce(
      (sum, child) => sum + this.#lookAt(child, depth + 1, counts),
      held?.pssMiB ?? 0,
    );
  }

  #summarise(role: string, processes: ReadonlyMap<number, Held>): RoleMemory {
    const of = (value: (held: Held) => number): number => median([...processes.values()].map(value));
    return {
      ...{ role, most: this.#most.get(role) ?? 0 },
      rssMiB: of(({ rssMiB }) => rssMiB),
      pssMiB: of(({ pssMiB }) => pssMiB),
      ussMiB: of(({ ussMiB }) => ussMiB),
    };
  }
}

/** Undefined for one that has ended, or of which the system doesn't say (proc(5): smaps_rollup). */
function heldBy(pid: number): Held | undefined {
  try {
    const text = readFileSync(`/proc/${String(pid)}/smaps_rollup`, 'latin1');
    const kibi = (name: string): number =>
      Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(text)?.[1] ?? 0);
    const own = kibi('Private_Clean') + kibi('Private_Dirty');
    return { rssMiB: kibi('Rss') / 1024, pssMiB: kibi('Pss') / 1024, ussMiB: own / 1024 };
  } catch {
    return undefined;
  }
}
