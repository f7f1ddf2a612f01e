/** The workers of a site, with their sockets: keeps them running, gives them out and tells what becomes of them. */

import { setTimeout as delay } from 'node:timers/promises';

import { BridgeError } from '../../base/errors.js';
import type { Command } from '../../process/command.js';
import type { Requester } from '../../fastcgi/requester.js';
import type { RunnerStatus } from '../../base/runner-status.js';
import { eachLine, startWorker, type Worker, WorkerSockets } from './worker.js';
import { WorkerSet } from './worker-set.js';
import { ReadinessProbe } from './worker-request.js';
import { Supervisor, type WorkerEnd } from './supervisor.js';
import { Timer, type WaitSignal } from '../../base/timer.js';

/** How long a worker that can't be reached has to end by itself. */
const LOST_PATIENCE_MS = 500;

/** How long the first worker has to show that it accepts connections. */
const FIRST_SIGN_MS = 1_000;

export interface WorkerPoolOptions {
  readonly command: Command;
  /** Workers that may have a request at once; one more is kept as their replacement. */
  readonly workers: number;
  /** Failures in a row after which nobody waits for a worker any more; 0 for none. */
  readonly maxCrashes: number;
  /** Requests after which a worker is replaced; 0 for none. */
  readonly maxRequests: number;
  /** How long a worker may take to accept, and a request may wait for one; 0 for no limit. */
  readonly startTimeoutMs: number;
  readonly killGraceMs: number;
  readonly report: WorkerReport;
}

/** Told what happens to workers, for a log. */
export interface WorkerReport {
  started(pid: number): void;
  accepts(pid: number): void;
  /** It has not accepted in time, and is ended. */
  late(pid: number): void;
  ended(end: WorkerEnd<{ readonly pid: number }>, requests: number): void;
  /** A line of a worker's standard output or error. */
  said(pid: number, line: string): void;
}

/** Owns its workers and their sockets until `close` has resolved. */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #sockets = new WorkerSockets();
  readonly #supervisor: Supervisor<Worker>;
  readonly #probe = new ReadinessProbe();
  readonly #workers: WorkerSet<Worker>;
  /** Also those that have ended. */
  readonly #haveAnswered = new WeakSet<Worker>();
  /** Settled when the first worker has shown that it accepts, or has ended. */
  readonly #first: Promise<void>;
  #onFirst: () => void = () => undefined;
  #closed: Promise<void> | undefined;
  #count = 0;
  #crashes = 0;
  #recycles = 0;

  private constructor(options: WorkerPoolOptions) {
    this.#options = options;
    const { command, workers, maxRequests, killGraceMs } = options;
    this.#first = new Promise((resolve) => {
      this.#onFirst = resolve;
    });
    this.#workers = new WorkerSet({ maxRequests, becomeReady: () => this.#probe.isKnown });
    this.#supervisor = new Supervisor({
      workers: workers + 1,
      killGraceMs,
      start: () => startWorker(command, this.#sockets, String(++this.#count)),
      onStarted: (worker) => {
        this.#started(worker);
      },
      onEnded: (end) => {
        this.#ended(end);
      },
    });
  }

  /** @throws BridgeError `ERR_START` where no directory for the sockets can be made. */
  static async open(options: WorkerPoolOptions): Promise<WorkerPool> {
    const pool = new WorkerPool(options);
    await pool.#sockets.open();
    pool.#supervisor.start();
    return pool;
  }

  /**
   * Resolves when the first worker has shown that it accepts, or has ended, and after a second in any case. A request
   * that comes before would end the wait for that sign, without which a POST may go to a worker that just ends.
   */
  async begun(): Promise<void> {
    await Promise.race([this.#first, delay(FIRST_SIGN_MS, undefined, { ref: false })]);
  }

  /**
   * Takes a free worker, in the order of the calls.
   *
   * @throws BridgeError `ERR_WORKERS` where none is free and too many have failed in a row, or none becomes ready in time;
   *   what `signal` aborts with.
   */
  async take(signal: WaitSignal): Promise<Worker> {
    signal.throwIfAborted();
    const free = this.#workers.take();
    if (free !== undefined) return free;
    if (this.#closed !== undefined) throw new BridgeError('ERR_WORKERS', 'the daemon is stopping');
    if (this.#isFailing) throw this.#failing();
    const { startTimeoutMs: timeoutMs } = this.#options;
    const why = `no worker was ready within ${String(timeoutMs)} ms (--start-timeout); the log has what they said`;
    return this.#workers.wait(signal, { timeoutMs, late: () => new BridgeError('ERR_WORKERS', why) });
  }

  /** As `ReadinessProbe.next`. @throws BridgeError `ERR_FASTCGI_DISCONNECTED` */
  signOfLife(requester: Requester): Promise<void> {
    return this.#probe.next(requester);
  }

  /** Gives a worker back after a request, which it has answered or not. */
  give(worker: Worker, { answered }: { answered: boolean }): void {
    if (answered) {
      this.#haveAnswered.add(worker);
      this.#supervisor.answered(worker);
    }
    if (this.#workers.giveBack(worker) === 'retired') void this.dismiss(worker);
  }

  /** Ends a worker that hangs or has served its time; another one takes its place. Resolves when it is gone. */
  dismiss(worker: Worker): Promise<void> {
    this.#workers.dismiss(worker);
    return this.#supervisor.dismiss(worker);
  }

  /**
   * Gives no more to a worker that can't be reached. As a rule it ends just now; else it is ended. Resolves to whether it
   * has ended on purpose after an answer (FastCGI 1.0 §7), so that nobody is to blame.
   */
  async lose(worker: Worker): Promise<boolean> {
    this.#workers.dismiss(worker);
    const livesOn = delay(LOST_PATIENCE_MS, undefined, { ref: false });
    const exit = await Promise.race([worker.exited, livesOn]);
    if (exit === undefined) void this.dismiss(worker);
    return this.#haveAnswered.has(worker) && exit?.kind === 'exited' && exit.code === 0;
  }

  status(): RunnerStatus {
    const now = performance.now();
    const running = this.#workers.members().map(({ worker, state, requests, enteredAt, isReady }) => ({
      pid: worker.pid,
      state: state === 'free' && !isReady ? 'starting' : state,
      ageMs: now - enteredAt,
      requests,
    }));
    return {
      processesStarted: this.#count,
      workers: { crashes: this.#crashes, recycles: this.#recycles, running },
    };
  }

  /** Ends all workers. Resolves when the last one is gone. */
  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  async #end(): Promise<void> {
    const stopped = this.#supervisor.stop();
    this.#workers.sendAway(new BridgeError('ERR_WORKERS', 'the daemon is stopping'));
    await stopped;
    await this.#sockets.close();
  }

  get #isFailing(): boolean {
    const { maxCrashes } = this.#options;
    return maxCrashes > 0 && this.#supervisor.failures >= maxCrashes;
  }

  #failing(): BridgeError {
    const failures = String(this.#supervisor.failures);
    const reason = `no worker runs: ${failures} have failed in a row (--max-crashes); the log has what they said`;
    return new BridgeError('ERR_WORKERS', reason);
  }

  #started(worker: Worker): void {
    const { report } = this.#options;
    for (const stream of [worker.stdout, worker.stderr]) {
      eachLine(stream, (line) => {
        report.said(worker.pid, line);
      });
    }
    report.started(worker.pid);
    void this.#awaitReadiness(worker, this.#workers.enter(worker));
  }

  /** The wait ends when the worker is taken: it may not know such records, and would read our connection for ever. */
  async #awaitReadiness(worker: Worker, idle: AbortSignal): Promise<void> {
    const timer = new Timer(this.#options.startTimeoutMs, () => {
      this.#late(worker);
    });
    timer.start();
    const isShown = await this.#probe.first(worker, idle);
    timer.stop();
    if (isShown) {
      this.#supervisor.accepts(worker);
      this.#options.report.accepts(worker.pid);
    }
    this.#onFirst();
    // Without a sign, what comes next will show.
    this.#workers.ready(worker);
  }

  /** Where no worker has ever given a sign, a request shows what this one does. */
  #late(worker: Worker): void {
    if (!this.#probe.isKnown) return;
    this.#options.report.late(worker.pid);
    this.#workers.dismiss(worker);
    // The supervisor is not told: so the end counts as a failure.
    void worker.terminate(this.#options.killGraceMs);
  }

  #ended(end: WorkerEnd<Worker>): void {
    const requests = end.process === undefined ? 0 : this.#workers.leave(end.process);
    if (end.failed) this.#crashes += 1;
    else if (this.#closed === undefined) this.#recycles += 1;
    this.#options.report.ended(end, requests);
    this.#onFirst();
    if (this.#isFailing) this.#workers.sendAway(this.#failing());
  }
}
