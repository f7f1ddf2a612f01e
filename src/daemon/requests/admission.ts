/**
 * Limits how many processes run at once; a request beyond that waits its turn, and no longer than it may. The turns go round
 * the addresses that requests come from, so that one with many requests keeps the others waiting for one process at a time.
 */

import { BridgeError } from '../../base/errors.js';
import { type Waiting, WaitQueue } from '../../base/wait-queue.js';
import { ProcessTotal } from './process-total.js';
import type { WaitSignal } from '../../base/timer.js';

export interface AdmissionOptions {
  /** Processes that may run at once. */
  readonly maxProcesses: number;
  readonly maxQueue: number;
  /** How long one waits; 0 for as long as it takes. */
  readonly queueTimeoutMs: number;
}

/** Where a request comes from: an address, or the connection if that is all that is known. */
export type Source = string | object;

/** Gives back a slot; calling it again does nothing. */
export type Release = () => void;

/** Each sixth of --queue-timeout it is looked whether the rest will do for those who wait. */
const LOOKS = 6;
/** Who would be served in the last thirtieth of it is refused: the web server would have the response too late. */
const LAST = 30;

/** Nobody else changes its fields. */
export class Admission {
  readonly maxProcesses: number;
  running = 0;
  waiting = 0;
  readonly #options: AdmissionOptions;
  readonly #total: ProcessTotal;
  /** Who waits, by source; the one whose turn is next comes first. None of these queues is empty. */
  readonly #queues = new Map<Source, WaitQueue>();
  readonly #rate: QueueRate;
  /** Runs while anybody waits, and no longer than there is an end to that. */
  #looks: NodeJS.Timeout | undefined;

  /** Of all sites together, `total` may be running. */
  constructor(options: AdmissionOptions, total = new ProcessTotal()) {
    this.#options = options;
    this.maxProcesses = options.maxProcesses;
    this.#rate = new QueueRate(options.maxProcesses, options.queueTimeoutMs);
    this.#total = total;
    total.add(this);
  }

  /** Has no more to do with the other sites; nothing runs or waits any more. */
  leaveTotal(): void {
    this.#total.delete(this);
  }

  /**
   * Takes a slot: those of one source in the order of the calls, the sources in turn. The caller gives it back when the
   * process is gone. The wait counts from `since`, by `performance.now()`. Where no more may wait, the last of the source
   * with the most is refused.
   *
   * @throws BridgeError `ERR_MAX_QUEUE`, at once or when it has to make room; `ERR_QUEUE_TIMEOUT`, as soon as it is known
   *   that the wait would be too long; what `signal` aborts with.
   */
  async enter(source: Source, signal: WaitSignal, since = performance.now()): Promise<Release> {
    if (signal.aborted) throw signal.reason;
    const isFree = this.waiting === 0 && this.running < this.maxProcesses;
    if (isFree && this.#total.take(this)) this.running += 1;
    else await this.#wait(source, signal, since);
    let taken = true;
    return () => {
      if (!taken) return;
      taken = false;
      this.running -= 1;
      this.#total.share(1);
    };
  }

  #wait(source: Source, signal: WaitSignal, since: number): Promise<void> {
    const { queueTimeoutMs } = this.#options;
    if (this.waiting >= this.#options.maxQueue && !this.#makeRoom(source)) {
      return Promise.reject(this.#full());
    }
    const expectedMs = this.#rate.msOf(this.#before(source));
    if (queueTimeoutMs > 0 && expectedMs > queueTimeoutMs) {
      return Promise.reject(tooSlow(queueTimeoutMs, expectedMs));
    }
    const late = (): BridgeError => {
      const reason = `no process became free within ${String(queueTimeoutMs)} ms (--queue-timeout)`;
      return new BridgeError('ERR_QUEUE_TIMEOUT', reason);
    };
    const onLeave = (): void => {
      if (this.#queues.get(source)?.size === 0) this.#queues.delete(source);
      this.waiting -= 1;
      if (this.waiting === 0) clearInterval(this.#looks);
    };
    return this.#queueOf(source).join(signal, { since, timeoutMs: queueTimeoutMs, late, onLeave });
  }

  /** Refuses the last request of the source with the most, if that has more than this one would have. */
  #makeRoom(source: Source): boolean {
    let most = new WaitQueue();
    for (const queue of this.#queues.values()) if (queue.size > most.size) most = queue;
    if (most.size <= (this.#queues.get(source)?.size ?? 0) + 1) return false;
    [...most].at(-1)?.refuse(this.#full());
    return true;
  }

  #full(): BridgeError {
    const { maxProcesses, maxQueue } = this.#options;
    const run =
      this.running < maxProcesses
        ? `${String(this.#total.running)} processes run (--max-processes-total)`
        : `${String(maxProcesses)} processes run (--max-processes, or --workers)`;
    return new BridgeError('ERR_MAX_QUEUE', `${run} and ${String(maxQueue)} requests wait (--max-queue)`);
  }

  /** The number of turns that it takes until one more request of that source has its own. */
  #before(source: Source): number {
    const round = (this.#queues.get(source)?.size ?? 0) + 1;
    let turns = 1;
    for (const { size } of this.#queues.values()) turns += Math.min(size, round);
    return turns;
  }

  /** The queue that one more of that source is about to join. */
  #queueOf(source: Source): WaitQueue {
    const { queueTimeoutMs } = this.#options;
    if (this.waiting === 0) {
      this.#rate.forget();
      if (queueTimeoutMs > 0)
        this.#looks = setInterval(() => {
          this.#look();
        }, queueTimeoutMs / LOOKS);
    }
    this.waiting += 1;
    const queue = this.#queues.get(source) ?? new WaitQueue();
    this.#queues.set(source, queue);
    return queue;
  }

  /** Refuses those who are not served in time, if slots go on becoming free as they did of late. */
  #look(): void {
    const { queueTimeoutMs } = this.#options;
    const rounds: Waiting[][] = [];
    for (const queue of this.#queues.values()) {
      let round = 0;
      for (const waiting of queue) (rounds[round++] ??= []).push(waiting);
    }
    let turns = 1;
    for (const { since, refuse } of rounds.flat()) {
      const leftMs = this.#rate.msOf(turns);
      const allMs = performance.now() - since + leftMs + queueTimeoutMs / LAST;
      if (leftMs > 0 && allMs > queueTimeoutMs) refuse(tooSlow(queueTimeoutMs, allMs));
      else turns += 1;
    }
  }

  /** Gives the slot that it was given to the one that waits longest of the source whose turn it is. */
  next(): void {
    const [turn] = this.#queues;
    if (turn === undefined) return;
    this.running += 1;
    this.#rate.noteTurn();
    const [source, queue] = turn;
    this.#queues.delete(source);
    this.#queues.set(source, queue);
    queue.give();
  }
}

function tooSlow(timeoutMs: number, expectedMs: number): BridgeError {
  const within = `within ${String(timeoutMs)} ms (--queue-timeout)`;
  const why = `but after ${String(Math.round(expectedMs))} ms at the present rate`;
  return new BridgeError('ERR_QUEUE_TIMEOUT', `no slot would become free ${within}, ${why}`);
}

/** The number of turns, and at least one of each slot, that have to be known before a wait is foretold. */
const FEWEST_TURNS = 8;
/** Twice as many are remembered; of a fast queue, all of the last sixth of the time that one may wait. */
const REMEMBERED = 2;
const REMEMBERED_PART = 6;
/** A twelfth of that time the queue must have moved before: those who come at once in their hundreds hold it up at first. */
const MOVING_PART = 12;

/**
 * With 32 slots and 30 s to wait, nothing is foretold until 32 turns are known and 2.5 s have passed. If these 32 turns took
 * 4 s, the next 100 take 12.9.
 */
export class QueueRate {
  readonly #timeoutMs: number;
  readonly #fewest: number;
  /** When the last turns were, by `performance.now()`. */
  #turns: number[] = [];

  /** Of a queue for that many slots, in which one waits for `timeoutMs` at most. */
  constructor(slots: number, timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#fewest = Math.max(FEWEST_TURNS, slots);
  }

  /** Nobody waits any more: what was known of the queue tells nothing of the next one. */
  forget(): void {
    this.#turns = [];
  }

  noteTurn(): void {
    const now = performance.now();
    this.#turns.push(now);
    const isOld = now - (this.#turns[0] ?? now) > this.#timeoutMs / REMEMBERED_PART;
    if (isOld && this.#turns.length > REMEMBERED * this.#fewest) this.#turns.shift();
  }

  /** How long this number of turns takes, if slots become free as they did of late; 0 if that is not known. */
  msOf(turns: number): number {
    const [since = 0] = this.#turns;
    const count = this.#turns.length - 1;
    const takenMs = performance.now() - since;
    const isKnown = count + 1 >= this.#fewest && takenMs >= this.#timeoutMs / MOVING_PART;
    return isKnown ? (turns * takenMs) / count : 0;
  }
}
