/** Runs each invocation in a process of its own, made for it and gone with it; how it is made is another's business. */

import type { Invocation } from '../cgi/invocation.js';
import { NOTHING } from '../base/bytes.js';
import { bridgeErrorFrom } from '../base/errors.js';
import type { RunnerStatus } from '../base/runner-status.js';
import type { RunResult, RunLimits, Runner, RunStreams } from './runner.js';
import { type ScriptProcess, ScriptRun } from './script-run.js';
import { ShortLived } from '../base/memory.js';
import type { WarmScripts } from './warm/warm-scripts.js';
import type { WaitSignal } from '../base/timer.js';

/**
 * Makes the process of an invocation. What has to wait for something stops waiting when `signal` aborts.
 *
 * @throws BridgeError `ERR_SPAWN`, `ERR_SYSTEM_LIMIT`
 */
export type StartScript = (invocation: Invocation, signal: WaitSignal) => Promise<ScriptProcess>;

/** A runner on `start`; it owns the processes until their runs have ended. */
export class ProcessRunner implements Runner {
  readonly #limits: RunLimits;
  readonly #start: StartScript;
  readonly #warm: Pick<WarmScripts, 'status' | 'close'> | undefined;
  readonly #runs = new ShortLived<ScriptRun>();
  #started = 0;
  #isDestroyed = false;

  /** `start` may have fork servers; their owner is closed with it. */
  constructor(limits: RunLimits, start: StartScript, warm?: Pick<WarmScripts, 'status' | 'close'>) {
    this.#limits = limits;
    this.#start = start;
    this.#warm = warm;
  }

  async run(invocation: Invocation, streams: RunStreams, signal: WaitSignal): Promise<RunResult> {
    const { stdin } = streams;
    const { input = stdin === undefined || stdin.isEmpty ? NOTHING : undefined } = invocation;
    const fed = input === undefined ? invocation : { ...invocation, input };
    let process: ScriptProcess;
    try {
      process = await this.#start(fed, signal);
    } catch (error) {
      stdin?.destroy();
      if (signal.aborted) return { ...notStarted, endedBy: 'abort' };
      return { ...notStarted, startError: bridgeErrorFrom(error, 'ERR_SPAWN') };
    }
    this.#started += 1;
    streams.pid = process.pid;
    const run = new ScriptRun(process, fed, streams, this.#limits);
    this.#runs.add(run);
    streams.cancel = run.end.bind(run, 'cancelled');
    if (this.#isDestroyed) run.end('abort');
    try {
      return await run.result(signal);
    } finally {
      streams.cancel = undefined;
      this.#runs.delete(run);
    }
  }

  status(): RunnerStatus {
    return { processesStarted: this.#started, ...(this.#warm && { warm: this.#warm.status() }) };
  }

  /** Ends all runs, also those whose process is being started, or has answered completely and not ended yet. */
  async destroy(): Promise<void> {
    this.#isDestroyed = true;
    for (const run of this.#runs) run.end('abort');
    await this.#warm?.close();
  }
}

const notStarted: RunResult = { isShort: false, stdoutBytes: 0, lost: false, stderrTail: '' };
