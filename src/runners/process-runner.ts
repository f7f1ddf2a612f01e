/** Runs each invocation in a process of its own, made for it and gone with it; how it is made is another's business. */

import { Readable } from 'node:stream';

import type { Invocation } from '../cgi/invocation.js';
import { BridgeError, reasonOf } from '../errors.js';
import type { OwnedProcess } from '../process/owned-process.js';
import { RunTimers } from './run-timers.js';
import type { EndedBy, Outcome, Runner, RunLimits, RunnerStatus, RunStreams } from './runner.js';
import { feedScript } from './script-input.js';
import { ScriptOutput } from './script-output.js';
import { carryStderr } from './script-stderr.js';

/** When it is looked whether a script that has closed its outputs lives on: as a rule that is its end, and its status comes. */
const CLOSED_OUTPUTS_MS = 100;

/** The body of most requests. */
const NOTHING = Buffer.alloc(0);

/** A process that runs for one request, or what looks like one. */
export type ScriptProcess = Pick<
  OwnedProcess,
  'pid' | 'stdin' | 'stdout' | 'stderr' | 'exited' | 'hasEnded' | 'terminate'
> & {
  /** Whether it has said that its answer is whole; undefined where its end alone says so. */
  readonly isAnswered?: boolean;
};

/**
 * Makes the process of an invocation. What has to wait for something stops waiting when `signal` aborts.
 *
 * @throws BridgeError `ERR_SPAWN`, `ERR_SYSTEM_LIMIT`
 */
export type StartScript = (invocation: Invocation, signal: AbortSignal) => Promise<ScriptProcess>;

/** A runner on `start`; it owns the processes until their runs have ended. */
export class ProcessRunner implements Runner {
  readonly #limits: RunLimits;
  readonly #start: StartScript;
  readonly #aborts = new Set<() => void>();
  #started = 0;
  #isDestroyed = false;

  constructor(limits: RunLimits, start: StartScript) {
    this.#limits = limits;
    this.#start = start;
  }

  async run(invocation: Invocation, streams: RunStreams, signal: AbortSignal): Promise<Outcome> {
    const { stdin } = streams;
    const { input = stdin.isEmpty ? NOTHING : undefined } = invocation;
    const fed = input === undefined ? invocation : { ...invocation, input };
    let started: ScriptProcess;
    try {
      started = await this.#start(fed, signal);
    } catch (error) {
      stdin.destroy();
      if (signal.aborted) return { ...notStarted, endedBy: 'abort' };
      return {
        ...notStarted,
        startError: error instanceof BridgeError ? error : new BridgeError('ERR_SPAWN', reasonOf(error)),
      };
    }
    this.#started += 1;
    streams.onStarted?.(started.pid);
    return this.#watch(started, fed, streams, signal);
  }

  status(): RunnerStatus {
    return { processesStarted: this.#started };
  }

  /** Ends all runs, also those whose process is being started, or has answered completely and not ended yet. */
  destroy(): Promise<void> {
    this.#isDestroyed = true;
    for (const abort of this.#aborts) abort();
    return Promise.resolve();
  }

  async #watch(
    child: ScriptProcess,
    { input, variables, endedBy: manner }: Invocation,
    streams: RunStreams,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const limits = this.#limits;
    const body = streams.stdin;
    const isHead = variables.get('REQUEST_METHOD') === 'HEAD';
    let endedBy: EndedBy | undefined;
    let stdinBytes = 0;
    let headerError: BridgeError | undefined;
    const givenUp = new AbortController();
    const end = (why: EndedBy): void => {
      endedBy ??= why;
      output.cut();
      void child.terminate(limits.killGraceMs, manner).then(() => {
        givenUp.abort();
      });
    };
    const abort = (): void => {
      end('abort');
    };
    const onSignal = (): void => {
      // lighttpd leaves as soon as it has a whole response: the script may still have something to finish.
      if (!output.complete || isByHand(signal.reason)) abort();
    };
    const timers = new RunTimers(limits, end);
    const progress = (): void => {
      timers.progress();
    };
    const output = new ScriptOutput(child.stdout, streams.stdout, {
      ...limits,
      headOnly: isHead,
      givenUp: givenUp.signal,
      onProgress: progress,
      onHead: () => {
        timers.headSeen();
      },
      onFull: () => {
        // The script may wait for us: as long as octets come, it has not stopped.
        body.on('arrival', progress);
        body.takeIn();
      },
    });

    this.#aborts.add(abort);
    if (signal.aborted || this.#isDestroyed) onSignal();
    else signal.addEventListener('abort', onSignal, { once: true });
    const onBodyLost = (): void => {
      if (body.errored !== null && !output.complete) end(lostBy(body.errored));
    };
    if (input !== undefined) body.destroy();
    else if (body.destroyed) onBodyLost();
    else body.once('close', onBodyLost);
    if (input !== undefined && child.stdin.destroyed) {
      stdinBytes = input.length;
    } else {
      feedScript(input === undefined ? body : Readable.from([input]), child.stdin, (bytes) => {
        stdinBytes += bytes;
        timers.progress();
      });
    }
    void body.arrived.then(() => {
      timers.bodyTaken();
      output.release();
    });

    const [stderrTail] = await Promise.all([
      carryStderr(child.stderr, streams.stderr, limits.stderrTailBytes, givenUp.signal),
      output.carry().catch((error: unknown) => {
        headerError = error instanceof BridgeError ? error : undefined;
        end(headerError?.code === 'ERR_INVALID_HEADER' ? 'invalid-header' : 'max-header-size');
      }),
    ]);
    const livesOn = setTimeout(() => {
      // Under load the news of its end may come later than this timer, and how it ended is part of the answer.
      if (endedBy !== undefined || output.status === undefined || child.hasEnded) return;
      output.scriptEnded({ isWhole: isHead || !output.short });
      streams.onAnswered?.();
    }, CLOSED_OUTPUTS_MS);
    const exit = await child.exited;
    clearTimeout(livesOn);
    timers.clear();
    this.#aborts.delete(abort);
    signal.removeEventListener('abort', onSignal);
    if (endedBy !== undefined) await child.terminate(limits.killGraceMs);
    const isWhole = exit.kind !== 'signaled' && child.isAnswered !== false && (isHead || !output.short);
    output.scriptEnded({ isWhole });
    return {
      status: output.status,
      pid: child.pid,
      exit,
      endedBy,
      startError: undefined,
      bodyError: body.errored ?? undefined,
      headerError,
      isShort: output.short,
      isLong: output.long,
      isWithheld: output.withheld,
      stdinBytes,
      stdoutBytes: output.sentBytes,
      lost: output.lost,
      stderrTail,
    };
  }
}

function isByHand(reason: unknown): boolean {
  return reason instanceof BridgeError && reason.code === 'ERR_ENDED_BY_HAND';
}

function lostBy(error: Error): EndedBy {
  return error instanceof BridgeError && error.code === 'ERR_MAX_SPOOL_SIZE'
    ? 'max-spool-size'
    : 'spool-error';
}

const notStarted: Outcome = {
  status: undefined,
  pid: undefined,
  exit: undefined,
  endedBy: undefined,
  startError: undefined,
  isShort: false,
  stdinBytes: 0,
  stdoutBytes: 0,
  lost: false,
  stderrTail: '',
};
