/** Answers requests without a web server, each way: by new processes, and by processes of fork servers. */

import type { Readable } from 'node:stream';

import type { NameValues } from '../../bytes.js';
import type { Invocation } from '../../cgi/invocation.js';
import type { ServedSiteConfiguration } from '../../daemon/configuration.js';
import { startAnew, warmScripts } from '../../daemon/make-runner.js';
import { BridgeError } from '../../errors.js';
import type { Log } from '../../observe/log.js';
import type { SetLimits } from '../../process/limits.js';
import { ProcessRunner } from '../../runners/process-runner.js';
import { RequestBody } from '../../runners/request-body.js';
import type { Prepared, WarmScripts } from '../../runners/warm/warm-scripts.js';
import { type Answered, AnswerTaker } from './answered.js';

/** How often it is tried to have a process forked: the script may change in between. */
const MAX_TRIES = 3;

/** What has to be run, and for what. */
export interface Run {
  readonly params: NameValues;
  readonly invocation: Invocation;
  /** Opens the request's body. */
  readonly openBody: () => Readable;
}

function ignore(): void {
  // What of it is of interest, the result of a request says.
}

const silent: Log = { error: ignore, warn: ignore, info: ignore, debug: ignore };

/** Owns all processes until `close` has resolved. */
export class BothWays {
  readonly #configuration: ServedSiteConfiguration;
  readonly #signal: AbortSignal;
  readonly #warm: WarmScripts;
  readonly #spawning: ProcessRunner;
  readonly #forking: ProcessRunner;

  /** Both under the same limits. Aborting `signal` ends what runs. @throws BridgeError `ERR_START` */
  constructor(configuration: ServedSiteConfiguration, limits: SetLimits, signal: AbortSignal) {
    this.#configuration = configuration;
    this.#signal = signal;
    const { runner, run } = configuration;
    this.#warm = warmScripts(configuration, {
      maxForkServers: runner.kind === 'warm' ? runner.maxForkServers : 16,
      // One request after the other: no script's fork server has a claim on staying.
      minStayMs: 0,
      idleTimeoutMs: 0,
      limits,
      // Where nothing was forked, nothing is to run.
      spawn: () => Promise.reject(new BridgeError('ERR_SPAWN', 'nothing was forked')),
      onEvent: ignore,
    });
    this.#spawning = new ProcessRunner(run, startAnew(configuration, silent, limits));
    this.#forking = new ProcessRunner(run, this.#warm.start);
  }

  /** Waits for the fork server. */
  prepare({ invocation }: Run): Promise<Prepared> {
    return this.#warm.prepare(invocation);
  }

  /** Runs it in a new process. */
  async spawn(run: Run): Promise<Answered> {
    return (await this.#answer(run, this.#spawning)).answered;
  }

  /** Runs it in a process of a fork server, or resolves to why it can't be run so. */
  async fork(run: Run): Promise<Answered | string> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const prepared = await this.prepare(run);
      if (prepared.kind !== 'warm') return prepared.reason;
      const { answered, isStarted } = await this.#answer(run, this.#forking);
      if (isStarted) return answered;
    }
    return 'its fork server forks nothing';
  }

  async close(): Promise<void> {
    await Promise.all([this.#spawning.destroy(), this.#forking.destroy()]);
    await this.#warm.close();
  }

  async #answer(
    { params, invocation, openBody }: Run,
    runner: ProcessRunner,
  ): Promise<{ readonly answered: Answered; readonly isStarted: boolean }> {
    const { stdinBufferBytes, maxSpoolBytes } = this.#configuration;
    const stdin = new RequestBody(openBody(), {
      bufferBytes: stdinBufferBytes,
      maxSpoolBytes,
      mayWait: () => true,
      onProblem: ignore,
    });
    const taker = new AnswerTaker();
    const { stdout, stderr } = taker;
    const outcome = await runner.run(invocation, { stdin, stdout, stderr }, this.#signal);
    stdin.destroy();
    const answered = await taker.taken(outcome, params, this.#signal);
    return { answered, isStarted: outcome.startError === undefined };
  }
}
