/** Keeps a number of workers running, by the restart policy. */

import { BridgeError, reasonOf } from '../../errors.js';
import type { ExitStatus } from '../../process/exit-status.js';
import { type Backoff, firstBackoff } from './backoff.js';
import { type Actual, policy, type Step, type WorkerEvent } from './restart-policy.js';

/** No place has more than 50 processes started in a second, even if each of them ends on purpose. */
const LEAST_INTERVAL_MS = 20;

/** A worker's process, as far as supervision needs it. */
export interface WorkerProcess {
  readonly pid: number;
  readonly exited: Promise<ExitStatus>;
  /** SIGTERM, `graceMs`, SIGKILL; resolves when the process is gone. */
  terminate(graceMs: number): Promise<void>;
}

/** How a worker has ended, or why there is none. */
export interface WorkerEnd<Process> {
  /** Undefined where it could not be started. */
  readonly process: Process | undefined;
  readonly exit: ExitStatus | undefined;
  readonly error: BridgeError | undefined;
  /** Whether it counts as a failure. */
  readonly failed: boolean;
  /** Failures in a row, this one included. */
  readonly failures: number;
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
interface Place<Process> {
  wanted: 'up' | 'down';
  actual: Actual;
  process: Process | undefined;
  restart: NodeJS.Timeout | undefined;
  launchedAt: number;
}

/** Owns its workers' processes until `stop` has resolved. */
export class Supervisor<Process extends WorkerProcess> {
  readonly #options: SupervisorOptions<Process>;
  readonly #places: readonly Place<Process>[];
  readonly #lives = new Set<Promise<void>>();
  #failures = 0;
  #backoff: Backoff = firstBackoff;

  constructor(options: SupervisorOptions<Process>) {
    this.#options = options;
    this.#places = Array.from({ length: options.workers }, () => ({
      wanted: 'down',
      actual: 'absent',
      process: undefined,
      restart: undefined,
      launchedAt: 0,
    }));
  }

  /** How many workers have failed since the last answer of any. */
  get failures(): number {
    return this.#failures;
  }

  /** Starts all workers; what fails is started again, as it will be from then on. */
  start(): void {
    for (const place of this.#places) {
      place.wanted = 'up';
      this.#launch(place);
    }
  }

  /** The worker has shown that it accepts connections. */
  accepts(process: Process): void {
    const place = this.#placeOf(process);
    if (place !== undefined) this.#happens(place, 'accepts');
  }

  /** The worker has answered. */
  answered(process: Process): void {
    const place = this.#placeOf(process);
    if (place !== undefined) this.#happens(place, 'answered');
  }

  /** Ends the worker, and has another one take its place. Resolves when it is gone. */
  async dismiss(process: Process): Promise<void> {
    const place = this.#placeOf(process);
    if (place !== undefined) this.#happens(place, 'dismissed');
    await process.terminate(this.#options.killGraceMs);
  }

  /** Starts no worker any more, and tells those that run to end as `tell` says. Resolves when the last one is gone. */
  async stop(
    tell: (process: Process) => void = (process) => void process.terminate(this.#options.killGraceMs),
  ): Promise<void> {
    for (const place of this.#places) {
      place.wanted = 'down';
      clearTimeout(place.restart);
      this.#happens(place, 'dismissed');
      if (place.process !== undefined) tell(place.process);
    }
    while (this.#lives.size > 0) await Promise.all(this.#lives);
  }

  #placeOf(process: Process): Place<Process> | undefined {
    return this.#places.find((place) => place.process === process);
  }

  #happens(place: Place<Process>, event: WorkerEvent): Step {
    const step: Step = policy[place.actual][event];
    place.actual = step.actual;
    if (step.row === 'broken') {
      this.#failures = 0;
      this.#backoff = firstBackoff;
    } else if (step.row === 'longer') {
      this.#failures += 1;
    }
    return step;
  }

  #launch(place: Place<Process>): void {
    this.#happens(place, 'due');
    place.launchedAt = performance.now();
    const life = this.#live(place).finally(() => this.#lives.delete(life));
    this.#lives.add(life);
  }

  async #live(place: Place<Process>): Promise<void> {
    const { start, onStarted, killGraceMs, hasServed } = this.#options;
    let process: Process;
    try {
      process = await start();
    } catch (reason) {
      const error = reason instanceof BridgeError ? reason : new BridgeError('ERR_SPAWN', reasonOf(reason));
      this.#ended(place, 'not-started', { process: undefined, exit: undefined, error });
      return;
    }
    place.process = process;
    // It may have become unwanted while it was being started.
    if (place.wanted === 'down') void process.terminate(killGraceMs);
    else onStarted(process);
    const exit = await process.exited;
    const isZero = exit.kind === 'exited' && exit.code === 0;
    if (isZero && hasServed?.(process) === true) this.#happens(place, 'answered');
    place.process = undefined;
    this.#ended(place, isZero ? 'exited-zero' : 'exited-otherwise', { process, exit, error: undefined });
  }

  #ended(
    place: Place<Process>,
    event: WorkerEvent,
    end: Pick<WorkerEnd<Process>, 'process' | 'exit' | 'error'>,
  ): void {
    const { row, restart } = this.#happens(place, event);
    const failed = row === 'longer';
    const backoffMs = this.#backoff.delayMs;
    if (failed) this.#backoff = this.#backoff.next();
    const soonestMs = Math.max(0, Math.ceil(place.launchedAt + LEAST_INTERVAL_MS - performance.now()));
    const restartMs = restart === 'after-backoff' ? backoffMs : soonestMs;
    const isWanted = place.wanted === 'up' && restart !== undefined;
    if (isWanted && restartMs === 0) this.#launch(place);
    else if (isWanted)
      place.restart = setTimeout(() => {
        this.#launch(place);
      }, restartMs);
    this.#options.onEnded({
      ...end,
      failed,
      failures: this.#failures,
      restartMs: isWanted ? restartMs : undefined,
    });
  }
}
