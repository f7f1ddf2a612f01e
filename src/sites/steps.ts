/** Takes the steps of look-ups: at once, in turns that keep the event loop for a moment, or by other threads. */

import { readFile, statfs } from 'node:fs/promises';

import { type ByteString, fromBuffer, toBuffer } from '../base/bytes.js';
import { Threads } from '../base/threads.js';
import type { WaitSignal } from '../base/timer.js';
import { goOn, type LookUp, unreachable } from './look-up.js';

/**
 * Takes steps one after the other, until nobody waits for what they come to.
 *
 * @throws what `signal` aborts with
 */
export type TakeSteps = <T>(lookUp: LookUp<T>, signal?: WaitSignal) => Promise<T>;

/** Takes each step by a thread of that share, which costs as much as 15 that are taken at once. */
export function byThreads(threads = new Threads()): TakeSteps {
  return (lookUp, signal) => take(lookUp, undefined, threads, signal);
}

/** The same outside of sites. */
export const later = byThreads();

/** How long look-ups may keep the event loop in one of its turns. */
const MAX_TURN_MS = 5;

/**
 * How long all steps are left to other threads after one that has taken this long by itself: a disk has to be waited for, or
 * other processes had the processor. Twice as long each time that the first one after that is slow as well.
 */
const MIN_SLOW_MS = 16;
const MAX_SLOW_MS = 1_000;

/** Shares the event loop's turns out among look-ups: in each go on those that have waited longest, for a moment. */
export class Turns {
  readonly #clock: () => number;
  readonly #waiting = new Set<() => void>();
  #keptMs = 0;
  #slowUntil = -Infinity;
  #slowMs = MIN_SLOW_MS;
  #isPlanned = false;

  /** By a clock of milliseconds. */
  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  /** Whether the system had the answers at hand, when it was asked last. */
  get areQuick(): boolean {
    return this.#slowUntil === -Infinity || this.#clock() >= this.#slowUntil;
  }

  /** Whether this turn of the loop has been kept for long enough. */
  get isOver(): boolean {
    return this.#keptMs >= MAX_TURN_MS;
  }

  get mayTake(): boolean {
    return !this.isOver && this.areQuick;
  }

  /** Resolves in a later turn of the loop. */
  wait(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  /** What `now` returns or throws. */
  take<T>(now: () => T): T {
    const start = this.#clock();
    try {
      return now();
    } finally {
      const end = this.#clock();
      this.#keptMs += end - start;
      if (end - start <= MAX_TURN_MS) this.#slowMs = MIN_SLOW_MS;
      else {
        this.#slowUntil = end + this.#slowMs;
        this.#slowMs = Math.min(2 * this.#slowMs, MAX_SLOW_MS);
      }
      this.#plan();
    }
  }

  #plan(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    setImmediate(() => void this.#begin());
  }

  async #begin(): Promise<void> {
    this.#isPlanned = false;
    this.#keptMs = 0;
    for (const goOn of this.#waiting) {
      if (this.isOver) break;
      this.#waiting.delete(goOn);
      goOn();
      // It takes its steps first.
      await Promise.resolve();
    }
    if (this.#waiting.size > 0) this.#plan();
  }
}

const turns = new Turns();

/** The file systems of a machine's own disks and memory, as Linux's statfs(2) knows them: others may never answer. */
const ownFileSystems = new Set([
  0xef53, 0x58465342, 0x9123683e, 0x2fc12fc1, 0xf2f52010, 0xca451a4e, 0x52654973, 0x01021994, 0x858458f6,
  0x794c7630,
]);

/**
 * How steps below these directories are best taken: at once where the system has the answer at hand, which is as a rule on
 * a disk of this machine with nothing else mounted below them as yet. Web servers do the same. What takes longer has a share
 * of threads of its own.
 */
export async function stepsBelow(
  directories: readonly ByteString[],
  threads = new Threads(),
  within = turns,
): Promise<TakeSteps> {
  const areOwn = await Promise.all(directories.map(isOwn));
  if (!areOwn.every(Boolean)) return byThreads(threads);
  return (lookUp, signal) => take(lookUp, within, threads, signal);
}

/** Whether a directory is known to be on a disk of this machine, or in its memory. */
export async function isOnOwnDisk(directory: ByteString): Promise<boolean> {
  if (process.platform !== 'linux') return false;
  const system = await statfs(toBuffer(directory)).catch(() => undefined);
  return system !== undefined && ownFileSystems.has(system.type);
}

async function isOwn(directory: ByteString): Promise<boolean> {
  if (!(await isOnOwnDisk(directory))) return false;
  const mounts = await readFile('/proc/self/mountinfo').catch(() => undefined);
  return mounts !== undefined && !hasMountBelow(directory, fromBuffer(mounts));
}

/** Whether anything is mounted below a directory, by proc_pid_mountinfo(5). */
function hasMountBelow(directory: ByteString, mounts: ByteString): boolean {
  const below = directory === '/' ? directory : `${directory}/`;
  return mounts.split('\n').some((line) => {
    const point = line
      .split(' ')[4]
      ?.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    return point !== undefined && point !== directory && point.startsWith(below);
  });
}

async function take<T>(
  lookUp: LookUp<T>,
  within: Turns | undefined,
  threads: Threads,
  signal?: WaitSignal,
): Promise<T> {
  const answers = { turns: within, seen: new Map() };
  try {
    let at = goOn(lookUp, undefined, answers);
    while (at.done !== true) {
      signal?.throwIfAborted();
      const { now, later } = at.value;
      let answer: unknown;
      try {
        if (now !== undefined && within?.areQuick === true) {
          if (within.isOver) await within.wait();
          answer = within.take(now);
        } else answer = await threads.run(later, signal);
      } catch (error) {
        if (signal?.aborted === true) throw error;
        unreachable(error);
      }
      at = goOn(lookUp, answer, answers);
    }
    return at.value;
  } finally {
    // It may have a directory open.
    lookUp.return(undefined as T);
  }
}
