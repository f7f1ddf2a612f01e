/** Runs each invocation in a process of its own, made for it and gone with it; how it is made is another's business. */

import { Readable } from 'node:stream';

import type { Invocation } from '../cgi/invocation.js';
import { BridgeError, reasonOf } from '../errors.js';
import type { OwnedProcess } from '../process/owned-process.js';
import { RunTimers } from './run-timers.js';
import type { EndedBy, Outcome, Runner, RunLimits, RunStreams } from './runner.js';
import { feedScript } from './script-input.js';
import { ScriptOutput } from './script-output.js';
import { carryStderr } from './script-stderr.js';

/** How long a script may take to end that has closed its outputs: as a rule that is its end, and the exit status comes. */
const CLOSED_OUTPUTS_MS = 100;

/** A process that runs for one request, or what looks like one. */
export type ScriptProcess = Pick<
  OwnedProcess,
  'pid' | 'stdin' | 'stdout' | 'stderr' | 'exited' | 'terminate'
>;

/**
 * Makes the process of an invocation.
 *
 * @throws BridgeError `ERR_SPAWN`
 */
export type StartScript = (invocation: Invocation) => Promise<ScriptProcess>;

/** A runner on `start`; it owns the processes until their runs have ended. */
export class ProcessRunner implements Runner {
  readonly #limits: RunLimits;
  readonly #start: StartScript;
  readonly #aborts = new Set<() => void>();

  constructor(limits: RunLimits, start: StartScript) {
    this.#limits = limits;
    this.#start = start;
  }

  async run(invocation: Invocation, streams: RunStreams, signal: AbortSignal): Promise<Outcome> {
    let started: ScriptProcess;
    try {
      started = await this.#start(invocation);
    } catch (error) {
      streams.stdin.resume();
      if (signal.aborted) return { ...notStarted, endedBy: 'abort' };
      return {
        ...notStarted,
        startError: error instanceof BridgeError ? error : new BridgeError('ERR_SPAWN', reasonOf(error)),
      };
    }
    return this.#watch(started, invocation.input, streams, signal);
  }

  /** Ends all runs, also those that have answered completely and have not ended yet. */
  destroy(): Promise<void> {
    for (const abort of this.#aborts) abort();
    return Promise.resolve();
  }

  async #watch(
    child: ScriptProcess,
    input: Buffer | undefined,
    streams: RunStreams,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const limits = this.#limits;
    let endedBy: EndedBy | undefined;
    let stdinBytes = 0;
    const givenUp = new AbortController();
    const end = (why: EndedBy): void => {
      endedBy ??= why;
      output.cut();
      void child.terminate(limits.killGraceMs).then(() => {
        givenUp.abort();
      });
    };
    const abort = (): void => {
      end('abort');
    };
    const onSignal = (): void => {
      // lighttpd leaves as soon as it has a whole response: the script may still have something to finish.
      if (!output.complete) abort();
    };
    const timers = new RunTimers(limits, end);
    let takeRest = (): void => undefined;
    const restWanted = new Promise<void>((resolve) => {
      takeRest = resolve;
    });
    const output = new ScriptOutput(child.stdout, streams.stdout, {
      ...limits,
      givenUp: givenUp.signal,
      onProgress: () => {
        timers.progress();
      },
      onHead: () => {
        timers.headSeen();
      },
      onFull: takeRest,
    });

    this.#aborts.add(abort);
    if (signal.aborted) onSignal();
    else signal.addEventListener('abort', onSignal, { once: true });
    if (input !== undefined) streams.stdin.resume();
    // Nothing waits for a body that is here already, so none of it needs to be taken to disk (again).
    const isHere = input !== undefined || streams.stdinHasArrived === true;
    if (isHere) {
      timers.bodyTaken();
      output.release();
    }
    void feedScript(
      input === undefined ? streams.stdin : Readable.from([input]),
      child.stdin,
      (bytes) => {
        stdinBytes += bytes;
        timers.progress();
      },
      isHere ? undefined : { wanted: restWanted, maxBytes: limits.maxSpoolBytes },
    ).then(() => {
      timers.bodyTaken();
      output.release();
    });

    const [stderrTail] = await Promise.all([
      carryStderr(child.stderr, streams.stderr, limits.stderrTailBytes, givenUp.signal),
      output.carry().catch(() => {
        end('max-header-size');
      }),
    ]);
    const livesOn = setTimeout(() => {
      if (endedBy === undefined && output.status !== undefined) streams.onAnswered?.();
    }, CLOSED_OUTPUTS_MS);
    const exit = await child.exited;
    clearTimeout(livesOn);
    timers.clear();
    this.#aborts.delete(abort);
    signal.removeEventListener('abort', onSignal);
    if (endedBy !== undefined) await child.terminate(limits.killGraceMs);
    return {
      status: output.status,
      pid: child.pid,
      exit,
      endedBy,
      startError: undefined,
      isShort: output.short,
      stdinBytes,
      stdoutBytes: output.sentBytes,
      lost: output.lost,
      stderrTail,
    };
  }
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
