/** Owns a running program until it was reaped: its pipes, its end, and the process group that it leads. */

import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

import { unlessLate } from '../base/timer.js';
import type { ExitStatus } from './exit-status.js';
import { groupRuns, hasEnded, trySignal } from './process-group.js';

/** The longest pause between looks at a process group that has lost its leader: nothing reports its end. */
const MAX_GROUP_POLL_MS = 200;
/** The pause between looks at one that nobody ends yet: the system gives each number again only after all others. */
const WATCH_MS = 1_000;
/** How long the end of one that can't be signalled is waited for: it runs as another user, or has just ended as one. */
const MOMENT_MS = 500;
/** The same of one that was sent SIGKILL: a dead file system may keep it, or who else has to reap it first. */
const KILLED_MS = 15_000;

let left = 0;

/** How many programs run on that could not be ended. */
export function programsLeft(): number {
  return left;
}

/** What the code that has started a program hands over; `Input` is undefined where its standard input is no pipe. */
export interface StartedProgram<Input extends Writable | undefined = Writable> {
  /** Of the program, which leads a process group of its own. */
  readonly pid: number;
  readonly stdin: Input;
  readonly stdout: ProgramOutput;
  readonly stderr: ProgramOutput;
  /** Resolves as soon as the program was reaped, and never rejects. */
  readonly exited: Promise<ExitStatus>;
}

type ProgramOutput = Readable & {
  /** Called when the program was reaped. */
  readonly programEnded?: () => void;
};

/**
 * A running program with its pipes. It owns the process and, until `terminate` has resolved, its group; who
 * started it reads `stdout` and `stderr` to their end or destroys them.
 */
export class OwnedProcess<Input extends Writable | undefined = Writable> {
  readonly pid: number;
  readonly stdin: Input;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves when the program has ended and was reaped; its group may live on. */
  readonly exited: Promise<ExitStatus>;

  #terminating: Promise<void> | undefined;
  #isReaped = false;
  #groupIsGone = false;
  /** Runs while what is left of the group may still have to be ended. */
  #watch: NodeJS.Timeout | undefined;

  constructor({ pid, stdin, stdout, stderr, exited }: StartedProgram<Input>) {
    this.pid = pid;
    this.stdin = stdin;
    this.stdout = stdout;
    this.stderr = stderr;
    this.exited = exited.then((exit) => {
      this.#isReaped = true;
      if (this.#groupRemains()) this.#watch = setInterval(this.#look, WATCH_MS).unref();
      // As Node does: nobody is left to read it, though something that it has started may hold the other end.
      stdin?.destroy();
      stdout.programEnded?.();
      stderr.programEnded?.();
      return exit;
    });
  }

  /** Whether the program has ended, though `exited` may not have been told yet. */
  get hasEnded(): boolean {
    return hasEnded(this.pid);
  }

  /**
   * Ends the whole group: SIGTERM, `graceMs` to clean up in, then SIGKILL. By the end of input, the program alone is
   * killed first, and SIGTERM comes only after half of that time. Resolves when the program was reaped and the group is
   * gone, or has been sent SIGKILL; or when it turns out that the program can't be ended, as one that has become another
   * user's. Calling it again waits for the same end.
   */
  terminate(graceMs: number, by: 'signal' | 'end-of-input' = 'signal'): Promise<void> {
    this.#terminating ??= this.#end(graceMs, by);
    return this.#terminating;
  }

  async #end(graceMs: number, by: 'signal' | 'end-of-input'): Promise<void> {
    const begin = performance.now();
    if (by === 'end-of-input' && this.#groupRemains()) {
      trySignal(this.pid, 'SIGKILL');
      await this.#groupEnds(begin + graceMs / 2);
    }
    if (this.#groupRemains()) {
      trySignal(-this.pid, 'SIGTERM');
      await this.#groupEnds(begin + graceMs);
    }
    if (this.#groupRemains()) trySignal(-this.pid, 'SIGKILL');
    const isOurs = this.#isReaped || trySignal(this.pid, 0);
    await unlessLate(this.exited, isOurs ? KILLED_MS : MOMENT_MS);
    if (!this.#isReaped) {
      left += 1;
      void this.exited.then(() => (left -= 1));
    }
    clearInterval(this.#watch);
    // A process that left the group may hold the other ends; nobody reads them any more.
    this.stdin?.destroy();
    this.stdout.destroy();
    this.stderr.destroy();
  }

  /**
   * Whether one of the group is left. Once the program was reaped and nobody of its group is left, their number may become
   * somebody else's; while one is left, no new process gets it. So who has it then leads another group.
   */
  #groupRemains(): boolean {
    if (this.#isReaped) this.#groupIsGone ||= !trySignal(-this.pid, 0) || trySignal(this.pid, 0);
    return !this.#groupIsGone;
  }

  /** Notices the group's end long before its number can have been given to another one that has lost its leader, too. */
  readonly #look = (): void => {
    const isOver = this.stdout.closed && this.stderr.closed && this.#terminating === undefined;
    if (isOver || !this.#groupRemains()) clearInterval(this.#watch);
  };

  /** Waits for the group's end, at most until `deadline`. */
  async #groupEnds(deadline: number): Promise<void> {
    await unlessLate(this.exited, deadline - performance.now());
    // git's service processes outlive their parent for a moment: SIGKILL now would leave their lock files behind.
    for (let pause = 10; this.#groupRemains(); pause *= 2) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0 || (await unlessLate(groupRuns(this.pid), leftMs)) === false) return;
      await delay(Math.min(pause, MAX_GROUP_POLL_MS, deadline - performance.now()));
    }
  }
}
