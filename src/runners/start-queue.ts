/** Starts a program for each request; where the system has nothing left to start one with, requests wait in a queue. */

import { BridgeError, reasonOf, systemCodeOf } from '../base/errors.js';
import { Threads } from '../base/threads.js';
import { backoffOf, Deadline, unlessLate, type WaitSignal } from '../base/timer.js';
import { WaitQueue } from '../base/wait-queue.js';
import type { StartProcess } from '../process/start-process.js';
import type { StartScript } from './process-runner.js';
import type { ScriptProcess } from './script-run.js';

/** No processes, no memory, no descriptors for us or for anybody: none of it is the request's fault, or stays so. */
const shortages: ReadonlySet<string | undefined> = new Set(['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE']);

/** Between tries. */
const firstPause = backoffOf(50, 1_000);

export interface StartQueueOptions {
  /** How long a request waits; 0 for as long as it takes. */
  readonly timeoutMs: number;
  /** Called with the system's error when the first start of a shortage has failed, and when one works again. */
  readonly onShortage: (cause: unknown) => void;
  readonly onRecovered: () => void;
}

/**
 * Starts as `start` does. During a shortage, requests wait in the order in which they came, and only the first of them
 * is tried: after pauses that grow, and whenever one of the daemon's processes has ended.
 *
 * @throws BridgeError `ERR_SYSTEM_LIMIT` after `timeoutMs`, or when the request is aborted; what `start` throws.
 */
export class StartQueue {
  readonly #start: StartScript;
  readonly #options: StartQueueOptions;
  readonly #waiting = new WaitQueue();
  #isShort = false;
  #pause = firstPause;
  #timer: NodeJS.Timeout | undefined;
  #isTrying = false;

  constructor(start: StartScript, options: StartQueueOptions) {
    this.#start = start;
    this.#options = options;
  }

  readonly start: StartScript = async (invocation, signal) => {
    let since = 0;
    // Without a shortage it is started at once, and waits for no turn.
    for (let turns = this.#waiting.size > 0 || this.#isTrying ? 1 : 0; ; turns += 1) {
      if (turns === 1) since = performance.now();
      if (turns > 0) await this.#turn(signal, since, turns > 1);
      try {
        const started = await this.#start(invocation, signal);
        if (this.#isShort) this.#options.onRecovered();
        this.#isShort = false;
        this.#pause = firstPause;
        // What it has taken is there again for the next one.
        void started.exited.then(() => {
          if (this.#timer !== undefined) this.#giveTurn();
        });
        if (turns > 0) this.#giveTurn();
        return started;
      } catch (error) {
        if (!isShortage(error)) {
          if (turns > 0) this.#giveTurn();
          throw error;
        }
        if (!this.#isShort) this.#options.onShortage(error.cause);
        this.#isShort = true;
        if (turns === 0) continue;
        this.#isTrying = false;
        this.#pause = this.#pause.next();
      }
    }
  };

  /** Resolves when it is to be tried: after a pause as the first, or as the next after one that worked. */
  async #turn(signal: WaitSignal, since: number, isFirst: boolean): Promise<void> {
    const { timeoutMs } = this.#options;
    const late = (): Error =>
      new Error(
        `the system has let no program be started for ${String(timeoutMs)} ms (--queue-timeout); see ulimit -u and -n`,
      );
    const onLeave = (): void => {
      if (this.#waiting.size === 0) this.#stopPause();
    };
    const turn = this.#waiting.join(signal, { since, timeoutMs, late, onLeave, isFirst });
    if (!this.#isTrying) this.#timer ??= setTimeout(this.#giveTurn, this.#pause.delayMs);
    try {
      await turn;
    } catch (error) {
      throw new BridgeError('ERR_SYSTEM_LIMIT', reasonOf(error), { cause: error });
    }
  }

  readonly #giveTurn = (): void => {
    this.#stopPause();
    this.#isTrying = this.#waiting.size > 0;
    this.#waiting.give();
  };

  #stopPause(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

function isShortage(error: unknown): error is BridgeError {
  return (
    error instanceof BridgeError && error.code === 'ERR_SPAWN' && shortages.has(systemCodeOf(error.cause))
  );
}

/** How long a request that has left waits for its program: as a rule it is there in a moment, and then ended with it. */
const MOMENT_MS = 1_000;

/**
 * Starts an invocation's program by `start`, which takes one of `threads`. One that a dead file system keeps from
 * starting for `timeoutMs` is given up, and ended should it ever start; 0 for never.
 *
 * @throws BridgeError `ERR_LOOK_UP_TIMEOUT`, and what `start` throws
 */
export function spawnScript(start: StartProcess, timeoutMs: number, threads = new Threads()): StartScript {
  return async (invocation, signal) => {
    let starting: Promise<ScriptProcess> | undefined;
    try {
      const deadline = new Deadline(signal, timeoutMs, 'let the program start');
      return await threads.run(() => (starting = start(invocation)), deadline);
    } catch (error) {
      const started = await (signal.aborted && starting ? unlessLate(starting, MOMENT_MS) : undefined);
      if (started !== undefined) return started;
      starting?.then((late) => late.terminate(0)).catch(() => undefined);
      throw error;
    }
  };
}
