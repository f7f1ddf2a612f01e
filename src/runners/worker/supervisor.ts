/** Keeps a number of workers running, by the restart policy. */

import { type BridgeError, bridgeErrorFrom } from '../../base/errors.js';
import { type Backoff, backoffOf } from '../../base/timer.js';
import type { ExitStatus } from '../../process/exit-status.js';
import { type Actual, policy, type Step, type WorkerEvent } from './restart-policy.js';

/** After a life that was shorter, there is a pause of this length: no slot has more than 50 processes started in a second. */
const LEAST_LIFE_MS = 20;

/** A worker that has run for this time has begun to serve; if it fails then, that begins a new row of failures. */
export const PROVEN_AFTER_MS = 5_000;

/** Lives in a row that were too short to serve much. Where nobody sees answers, each further one has a longer pause follow. */
export const SUSPICIOUS = { lives: 20, lifeMs: 250 };

/** The pause before the row is as long as `SUSPICIOUS` says. */
const shortestPause: Backoff = backoffOf(LEAST_LIFE_MS, 500);

/** A worker's process, as far as supervision needs it. */
export interface WorkerProcess {
  readonly pid: number;
  readonly exited: Promise<ExitStatus>;
  /** SIGTERM, `graceMs`, SIGKILL; resolves when the process is gone. */
  terminate(graceMs: number): Promise<void>;
}

/** How a worker has ended, or why none was started. */
export interface WorkerEnd<Process> {
  /** Undefined where it could not be started. */
  readonly process: Process | undefined;
  readonly exit: ExitStatus | undefined;
  readonly error: BridgeError | undefined;
  readonly failed: boolean;
  /** Failures in a row, this one included. */
  readonly failures: number;
  /** Lives in a row, this one included, that were as short as `SUSPICIOUS` says. */
  readonly shortLives: number;
  /** When the next one is started; undefined if none is wanted. */
  readonly restartMs: number | undefined;
}

export interface SupervisorOptions<Process extends WorkerProcess> {
  readonly workers: number;
  readonly killGraceMs: number;
  /** Starts a worker; what it rejects with is a failure of that worker. */
  readonly start: () => Promise<Process>;
  /** Whether a worker that has ended with exit status 0 has served, where nobody sees its answers. */
  readonly hasServed?: (process: Process) => boolean;
  readonly onStarted: (process: Process) => void;
  readonly onEnded: (end: WorkerEnd<Process>) => void;
}

/** Where a worker belongs: what is wanted there, and what is there. */
interface Slot<Process> {
  wanted: 'up' | 'down';
  actual: Actual;
  process: Process | undefined;
  restart: NodeJS.Timeout | undefined;
  startedAt: number;
}

/** Owns its workers' processes until `stop` has resolved. */
export class Supervisor<Process extends WorkerProcess> {
  readonly #options: SupervisorOptions<Process>;
  readonly #slots: readonly Slot<Process>[];
  readonly #lives = new Set<Promise<void>>();
  #failures = 0;
  #backoff: Backoff = firstBackoff;
  #shortLives = 0;
  #pause: Backoff = shortestPause;

  constructor(options: SupervisorOptions<Process>) {
    this.#options = options;
    this.#slots = Array.from({ length: options.workers }, () => ({
      wanted: 'down',
      actual: 'absent',
      process: undefined,
      restart: undefined,
      startedAt: 0,
    }));
  }

  /** How many workers have failed since the last answer of any. */
  get failures(): number {
    return this.#failures;
  }

  /** Starts all workers; what fails is started again, as it will be from then on. */
  start(): void {
    for (const slot of this.#slots) {
      slot.wanted = 'up';
      this.#launch(slot);
    }
  }

  /** The worker has accepted; that counts when it still runs after `PROVEN_AFTER_MS`. */
  accepts(process: Process): void {
    const timer = setTimeout(() => {
      const slot = this.#slotOf(process);
      if (slot !== undefined) this.#happens(slot, 'lasts');
    }, PROVEN_AFTER_MS);
    void process.exited.then(() => {
      clearTimeout(timer);
    });
  }

  answered(process: Process): void {
    const slot = this.#slotOf(process);
    if (slot !== undefined) this.#happens(slot, 'answered');
  }

  /** Ends the worker, and has another one take its place. Resolves when it is gone. */
  async dismiss(process: Process): Promise<void> {
    const slot = this.#slotOf(process);
    if (slot !== undefined) this.#happens(slot, 'dismissed');
    await process.terminate(this.#options.killGraceMs);
  }

  /** Starts no worker any more, and tells those that run to end as `tell` says. Resolves when the last one is gone. */
  async stop(
    tell: (process: Process) => void = (process) => void process.terminate(this.#options.killGraceMs),
  ): Promise<void> {
    for (const slot of this.#slots) {
      slot.wanted = 'down';
      clearTimeout(slot.restart);
      this.#happens(slot, 'dismissed');
      if (slot.process !== undefined) tell(slot.process);
    }
    while (this.#lives.size > 0) await Promise.all(this.#lives);
  }

  #slotOf(process: Process): Slot<Process> | undefined {
    return this.#slots.find((slot) => slot.process === process);
  }

  #happens(slot: Slot<Process>, event: WorkerEvent): Step {
    const step: Step = policy[slot.actual][event];
    slot.actual = step.actual;
    if (step.failuresInARow === 'forgotten') {
      this.#failures = 0;
      this.#backoff = firstBackoff;
    } else if (step.failuresInARow === 'one-more') {
      this.#failures += 1;
    }
    return step;
  }

  #launch(slot: Slot<Process>): void {
    this.#happens(slot, 'due');
    const life = this.#live(slot).finally(() => this.#lives.delete(life));
    this.#lives.add(life);
  }

  async #live(slot: Slot<Process>): Promise<void> {
    const { start, onStarted, killGraceMs, hasServed } = this.#options;
    let process: Process;
    try {
      process = await start();
    } catch (reason) {
      const error = bridgeErrorFrom(reason, 'ERR_SPAWN');
      this.#ended(slot, 'not-started', { process: undefined, exit: undefined, error });
      return;
    }
    slot.process = process;
    slot.startedAt = performance.now();
    // It may have become unwanted while it was being started.
    if (slot.wanted === 'down') void process.terminate(killGraceMs);
    else onStarted(process);
    const exit = await process.exited;
    const isZero = exit.kind === 'exited' && exit.code === 0;
    if (isZero && hasServed?.(process) === true) this.#happens(slot, 'answered');
    slot.process = undefined;
    this.#ended(slot, isZero ? 'exited-zero' : 'exited-otherwise', { process, exit, error: undefined });
  }

  #ended(
    slot: Slot<Process>,
    event: WorkerEvent,
    end: Pick<WorkerEnd<Process>, 'process' | 'exit' | 'error'>,
  ): void {
    const { failuresInARow, restart } = this.#happens(slot, event);
    const failed = failuresInARow === 'one-more';
    const backoffMs = this.#backoff.delayMs;
    if (failed) this.#backoff = this.#backoff.next();
    const pauseMs = end.process === undefined ? 0 : this.#pauseAfter(performance.now() - slot.startedAt);
    const restartMs = restart === 'after-backoff' ? backoffMs : pauseMs;
    const isWanted = slot.wanted === 'up' && restart !== undefined;
    // Never here: while ends follow each other, each with a start, the event loop hears of nothing else.
    if (isWanted)
      slot.restart = setTimeout(() => {
        this.#launch(slot);
      }, restartMs);
    this.#options.onEnded({
      ...end,
      failed,
      failures: this.#failures,
      shortLives: this.#shortLives,
      restartMs: isWanted ? restartMs : undefined,
    });
  }

  /** How long to wait after a life that ended on purpose. */
  #pauseAfter(lifeMs: number): number {
    if (lifeMs >= SUSPICIOUS.lifeMs) {
      this.#shortLives = 0;
      this.#pause = shortestPause;
    } else if (++this.#shortLives > SUSPICIOUS.lives && this.#options.hasServed !== undefined) {
      this.#pause = this.#pause.next();
      return this.#pause.delayMs;
    }
    return lifeMs < LEAST_LIFE_MS ? LEAST_LIFE_MS : 0;
  }
}

/** The wait after a first failure. */
export const firstBackoff: Backoff = backoffOf(100, 10_000);
