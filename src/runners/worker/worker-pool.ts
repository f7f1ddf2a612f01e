/** The workers of a site: who is free, who is next, and who must be replaced. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { BridgeError, reasonOf } from '../../errors.js';
import type { Command } from '../../process/command.js';
import type { Requester } from '../../fastcgi/requester.js';
import type { RunnerStatus } from '../runner.js';
import { eachLine } from './lines.js';
import { Supervisor, type WorkerEnd } from './supervisor.js';
import { WaitingLine } from './waiting-line.js';
import { startWorker, type Worker } from './worker.js';
import { connectTo } from './worker-request.js';

/** How long a request waits for a sign of life of the worker that it goes to. */
const SIGN_PATIENCE_MS = 1_000;

/** How long a worker that can't be reached has to end by itself. */
const LOST_PATIENCE_MS = 500;

export interface WorkerPoolOptions {
  readonly command: Command;
  /** Workers that may have a request at once; one more is kept as their replacement. */
  readonly workers: number;
  /** Failures in a row after which nobody waits for a worker any more; 0 for none. */
  readonly maxCrashes: number;
  /** Requests after which a worker is replaced; 0 for none. */
  readonly maxRequests: number;
  readonly killGraceMs: number;
  readonly report: WorkerReport;
}

/** Told what happens to workers, for a log. */
export interface WorkerReport {
  started(pid: number): void;
  /** It has shown that it accepts connections. */
  accepts(pid: number): void;
  ended(end: WorkerEnd<{ readonly pid: number }>, requests: number): void;
  /** A line of a worker's standard output or error. */
  said(pid: number, line: string): void;
}

/** A worker as its pool has it. */
interface Member {
  readonly worker: Worker;
  state: 'free' | 'taken' | 'dismissed';
  /** Whether it has shown that it accepts connections. */
  isReady: boolean;
  requests: number;
  /** By `performance.now()`. */
  readonly startedAt: number;
  /** Ends the wait for its first sign of life. */
  readonly probe: AbortController;
}

/** Owns its workers and the directory of their sockets until `close` has resolved. */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #directory: string;
  readonly #supervisor: Supervisor<Worker>;
  /** Those that run; who was given back last is last. */
  readonly #members = new Map<Worker, Member>();
  readonly #waiting = new WaitingLine<Worker>();
  #closed: Promise<void> | undefined;
  #count = 0;
  #crashes = 0;
  #recycles = 0;
  /** Whether the application answers when it is asked for a sign of life. */
  #showsSigns = false;

  private constructor(options: WorkerPoolOptions, directory: string) {
    this.#options = options;
    this.#directory = directory;
    const { command, workers, killGraceMs } = options;
    this.#supervisor = new Supervisor({
      workers: workers + 1,
      killGraceMs,
      start: () => startWorker(command, directory, String(++this.#count)),
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
    let directory: string;
    try {
      // It has the permissions 0700: nobody else gets to the sockets.
      directory = await mkdtemp(join(tmpdir(), 'fcgi2cgi-'));
    } catch (error) {
      const reason = `no directory for the workers’ sockets could be made: ${reasonOf(error)}`;
      throw new BridgeError('ERR_START', reason, { cause: error });
    }
    const pool = new WorkerPool(options, directory);
    pool.#supervisor.start();
    return pool;
  }

  /**
   * Takes a free worker, in the order of the calls: the one that has been free for longest, so that one which exits
   * after an answer has had the time to; and one that is ready, not one that still starts.
   *
   * @throws BridgeError `ERR_WORKERS` where none is free and too many have failed in a row; what `signal` aborts with.
   */
  async take(signal: AbortSignal): Promise<Worker> {
    signal.throwIfAborted();
    const free = [...this.#members.values()].filter(({ state }) => state === 'free');
    const member = free.find(({ isReady }) => isReady) ?? free.find((each) => this.#mayTake(each));
    if (member !== undefined) return this.#taken(member);
    if (this.#closed !== undefined) throw new BridgeError('ERR_WORKERS', 'the daemon is stopping');
    if (this.#isFailing) throw this.#failing();
    return this.#waiting.join(signal);
  }

  /**
   * Waits for a sign of life of a worker that was connected to, if workers of this application give any; one that takes
   * too long may be busy with what it does after an answer.
   *
   * @throws BridgeError `ERR_FASTCGI_DISCONNECTED`
   */
  async signOfLife(requester: Requester): Promise<void> {
    if (!this.#showsSigns) return;
    const timer = new AbortController();
    const patience = delay(SIGN_PATIENCE_MS, undefined, { signal: timer.signal }).catch(() => undefined);
    try {
      await Promise.race([requester.probe(), patience]);
    } finally {
      timer.abort();
    }
  }

  /** Gives a worker back after a request, which it has answered or not. */
  give(worker: Worker, { answered }: { answered: boolean }): void {
    const member = this.#members.get(worker);
    if (member === undefined) return;
    member.requests += 1;
    // It has accepted, if it lives.
    member.isReady = true;
    if (answered) {
      this.#supervisor.answered(worker);
    }
    if (member.state !== 'taken') return;
    const { maxRequests } = this.#options;
    if (maxRequests > 0 && member.requests >= maxRequests) void this.dismiss(worker);
    else this.#free(member);
  }

  /** Ends a worker that hangs or has served its time; another one takes its place. Resolves when it is gone. */
  dismiss(worker: Worker): Promise<void> {
    const member = this.#members.get(worker);
    if (member !== undefined) member.state = 'dismissed';
    return this.#supervisor.dismiss(worker);
  }

  /** Gives no more to a worker that can't be reached. As a rule it ends just now, and how is its own; else it is ended. */
  async lose(worker: Worker): Promise<void> {
    const member = this.#members.get(worker);
    if (member !== undefined) member.state = 'dismissed';
    await Promise.race([worker.exited, delay(LOST_PATIENCE_MS, undefined, { ref: false })]);
    if (this.#members.has(worker)) await this.dismiss(worker);
  }

  status(): RunnerStatus {
    const now = performance.now();
    const running = [...this.#members.values()].map(({ worker, state, requests, startedAt, isReady }) => ({
      pid: worker.pid,
      state: state === 'free' && !isReady ? 'starting' : state,
      ageMs: now - startedAt,
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
    this.#waiting.dissolve(new BridgeError('ERR_WORKERS', 'the daemon is stopping'));
    await stopped;
    await rm(this.#directory, { recursive: true, force: true });
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
    const probe = new AbortController();
    const member: Member = {
      worker,
      state: 'free',
      isReady: false,
      requests: 0,
      startedAt: performance.now(),
      probe,
    };
    report.started(worker.pid);
    this.#free(member);
    void this.#awaitReadiness(member);
  }

  #ended(end: WorkerEnd<Worker>): void {
    const requests = end.process === undefined ? 0 : (this.#members.get(end.process)?.requests ?? 0);
    if (end.process !== undefined) {
      this.#members.get(end.process)?.probe.abort();
      this.#members.delete(end.process);
    }
    if (end.failed) this.#crashes += 1;
    else if (this.#closed === undefined) this.#recycles += 1;
    this.#options.report.ended(end, requests);
    if (this.#isFailing) this.#waiting.dissolve(this.#failing());
  }

  #free(member: Member): void {
    member.state = 'free';
    this.#members.delete(member.worker);
    this.#members.set(member.worker, member);
    this.#offer(member);
  }

  #offer(member: Member): void {
    if (member.state !== 'free' || !this.#mayTake(member) || this.#waiting.isEmpty) return;
    this.#waiting.give(this.#taken(member));
  }

  /** A request waits for a worker that starts, rather than go down with it; where it would show that it is ready. */
  #mayTake(member: Member): boolean {
    return member.isReady || !this.#showsSigns;
  }

  #taken(member: Member): Worker {
    member.state = 'taken';
    // It may not know such records, and would read our connection for ever in place of the request's.
    member.probe.abort();
    return member.worker;
  }

  async #awaitReadiness(member: Member): Promise<void> {
    const { signal } = member.probe;
    try {
      const requester = await connectTo(member.worker);
      signal.addEventListener('abort', () => {
        requester.close();
      });
      if (signal.aborted) requester.close();
      await requester.probe();
      requester.close();
      member.isReady = true;
      this.#showsSigns = true;
      this.#supervisor.accepts(member.worker);
      this.#options.report.accepts(member.worker.pid);
      this.#offer(member);
    } catch {
      // It was taken as it is, ends, or closes connections without a request: what comes next will show.
      member.isReady = true;
      this.#offer(member);
    }
  }
}
