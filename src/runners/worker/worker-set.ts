/** The workers that run: who is free, who gets the next one, and who has served its time. */

import { type Wait, WaitQueue } from '../../base/wait-queue.js';
import type { WaitSignal } from '../../base/timer.js';

export interface WorkerSetOptions {
  /** Requests after which a worker has served its time; 0 for none. */
  readonly maxRequests: number;
  /** Whether each worker is sure to become ready, so that a request does better to wait until one is. */
  readonly becomeReady: () => boolean;
}

/** Nobody else changes its fields. */
export interface Member<Worker> {
  readonly worker: Worker;
  state: 'free' | 'taken' | 'dismissed';
  /** Whether it accepts connections, as far as anybody can know. */
  isReady: boolean;
  requests: number;
  /** By `performance.now()`. */
  readonly enteredAt: number;
  /** Aborted when it is taken or leaves. */
  readonly idle: AbortController;
}

/** Owns neither its workers nor their processes: it is told what becomes of them. */
export class WorkerSet<Worker> {
  readonly #options: WorkerSetOptions;
  /** Who was given back last is last. */
  readonly #entries = new Map<Worker, Member<Worker>>();
  readonly #waiting = new WaitQueue<Worker>();

  constructor(options: WorkerSetOptions) {
    this.#options = options;
  }

  /** Adds a worker that has started, free and not ready. The signal aborts when it is first taken or leaves. */
  enter(worker: Worker): AbortSignal {
    const idle = new AbortController();
    const enteredAt = performance.now();
    this.#free({ worker, state: 'free', isReady: false, requests: 0, enteredAt, idle });
    return idle.signal;
  }

  /** The worker is ready, or nothing will ever tell. One that has left meanwhile goes to nobody. */
  ready(worker: Worker): void {
    const entry = this.#entries.get(worker);
    if (entry === undefined) return;
    entry.isReady = true;
    this.#offer(entry);
  }

  /**
   * Takes the free worker that has been so for longest, so that one which exits after an answer has had the time to; and
   * one that is ready, not one that still starts. Undefined where a request has to wait.
   */
  take(): Worker | undefined {
    const free = [...this.#entries.values()].filter(({ state }) => state === 'free');
    const entry = free.find(({ isReady }) => isReady) ?? free.find((each) => this.#mayTake(each));
    return entry && this.#taken(entry);
  }

  /** Waits for a worker, in the order of the calls; rejects with what `signal`, `sendAway` or the wait's `late` says. */
  wait(signal: WaitSignal, wait?: Pick<Wait, 'timeoutMs' | 'late'>): Promise<Worker> {
    return this.#waiting.join(signal, wait);
  }

  sendAway(reason: Error): void {
    for (const { refuse } of this.#waiting) refuse(reason);
  }

  /** Takes a worker back after a request, for the next one; unless it has served its time, or goes already. */
  giveBack(worker: Worker): 'in-service' | 'retired' {
    const entry = this.#entries.get(worker);
    if (entry === undefined) return 'in-service';
    entry.requests += 1;
    // It has accepted, if it lives.
    entry.isReady = true;
    if (entry.state !== 'taken') return 'in-service';
    const { maxRequests } = this.#options;
    if (maxRequests > 0 && entry.requests >= maxRequests) return 'retired';
    this.#free(entry);
    return 'in-service';
  }

  /** Gives no more to a worker that is to go. */
  dismiss(worker: Worker): void {
    const entry = this.#entries.get(worker);
    if (entry !== undefined) entry.state = 'dismissed';
  }

  /** Strikes out a worker that has ended. Returns how many requests it had. */
  leave(worker: Worker): number {
    const entry = this.#entries.get(worker);
    entry?.idle.abort();
    this.#entries.delete(worker);
    return entry?.requests ?? 0;
  }

  members(): readonly Member<Worker>[] {
    return [...this.#entries.values()];
  }

  #free(entry: Member<Worker>): void {
    entry.state = 'free';
    this.#entries.delete(entry.worker);
    this.#entries.set(entry.worker, entry);
    this.#offer(entry);
  }

  #offer(entry: Member<Worker>): void {
    if (entry.state !== 'free' || !this.#mayTake(entry) || this.#waiting.size === 0) return;
    this.#waiting.give(this.#taken(entry));
  }

  /** A request waits for a worker that starts, rather than go down with it. */
  #mayTake({ isReady }: Member<Worker>): boolean {
    return isReady || !this.#options.becomeReady();
  }

  #taken(entry: Member<Worker>): Worker {
    entry.state = 'taken';
    entry.idle.abort();
    return entry.worker;
  }
}
