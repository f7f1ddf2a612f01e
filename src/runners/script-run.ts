/** One run of a script: from its start to its result, and what may happen to it meanwhile. */

import { Readable } from 'node:stream';

import type { Invocation } from '../cgi/invocation.js';
import { BridgeError } from '../base/errors.js';
import type { OwnedProcess } from '../process/owned-process.js';
import type { EndedBy } from '../base/results.js';
import { Abort, aborted, Timer, type WaitSignal } from '../base/timer.js';
import type { RunResult, RunLimits, RunStreams } from './runner.js';
import { ScriptOutput } from './script-output.js';
import { carryStderr, feedScript } from './script-streams.js';

/** When it is looked whether a script that has closed its outputs lives on: as a rule that is its end, and its status comes. */
const CLOSED_OUTPUTS_MS = 100;

/** A process that runs for one request, or what looks like one. */
export type ScriptProcess = Pick<
  OwnedProcess,
  'pid' | 'stdin' | 'stdout' | 'stderr' | 'exited' | 'hasEnded' | 'terminate'
> & {
  /** Whether it has said that its response is whole; undefined where its end alone says so. */
  readonly isAnswered?: boolean;
};

/** Owns its process until `result` has resolved; the streams are its caller's. */
export class ScriptRun {
  readonly #process: ScriptProcess;
  readonly #invocation: Invocation;
  readonly #streams: RunStreams;
  readonly limits: RunLimits;
  readonly #output: ScriptOutput;
  /** Aborts when the run is over whatever the web server takes. */
  readonly givenUp = new Abort();
  readonly startTimer: Timer;
  readonly idleTimer: Timer;
  readonly #maxTimer: Timer;
  /** Its method is HEAD: a body, which the script should not write, is thrown away (RFC 3875 §4.3.2). */
  readonly headOnly: boolean;
  readonly hasBody: boolean;
  #endedBy: EndedBy | undefined;
  #hasExited = false;
  #headerError: BridgeError | undefined;

  constructor(process: ScriptProcess, invocation: Invocation, streams: RunStreams, limits: RunLimits) {
    this.#process = process;
    this.#invocation = invocation;
    this.#streams = streams;
    this.limits = limits;
    this.headOnly = invocation.variables.get('REQUEST_METHOD') === 'HEAD';
    this.hasBody = streams.stdin !== undefined;
    this.startTimer = new Timer(limits.startTimeoutMs, this.end.bind(this, 'start-timeout'));
    this.idleTimer = new Timer(limits.idleTimeoutMs, this.end.bind(this, 'idle-timeout'));
    this.#maxTimer = new Timer(limits.maxTimeMs, this.end.bind(this, 'max-time'));
    this.#output = new ScriptOutput(process.stdout, streams.stdout, this);
  }

  /** Runs it to its end; aborting `signal` ends it as `aborted` says. Never rejects. */
  async result(signal: WaitSignal): Promise<RunResult> {
    if (signal.aborted) this.aborted();
    else signal.addEventListener('abort', this.aborted);
    this.idleTimer.start();
    this.#maxTimer.start();
    // Its input is known, or is the request's body, however that arrives.
    const { input } = this.#invocation;
    const { stdin: body } = this.#streams;
    if (input !== undefined) body?.destroy();
    else if (body?.destroyed === true) this.#bodyLost();
    else body?.once('close', this.#bodyLost);
    if (input === undefined || !this.#process.stdin.destroyed) {
      // Nothing is not written, either: a worker that has ended would make an error of it, and its response be lost.
      const given = Readable.from(input === undefined || input.length === 0 ? [] : [input]);
      feedScript((input === undefined ? body : undefined) ?? given, this.#process.stdin, this.idleTimer);
    }
    if (body === undefined) this.startTimer.start();
    else void body.arrived.then(this.#bodyArrived);
    // Who holds its outputs open may still have something to say, also when it has ended.
    const [stderrTail] = await Promise.all([
      carryStderr(this.#process.stderr, this.#streams, this.limits.stderrTailBytes, this.givenUp),
      this.#output.carry().catch(this.#headerRefused),
    ]);
    const livesOn = setTimeout(this.#outputsClosed, CLOSED_OUTPUTS_MS);
    const { exited } = this.#process;
    const exit = await Promise.race([exited, aborted(this.givenUp)]);
    clearTimeout(livesOn);
    signal.removeEventListener('abort', this.aborted);
    // Nothing can come any more: the response is sent, or known not to be whole.
    this.#hasExited = true;
    for (const timer of [this.startTimer, this.idleTimer, this.#maxTimer]) timer.stop();
    if (this.#endedBy !== undefined) await this.#process.terminate(this.limits.killGraceMs);
    const hasSaidSo = exit?.kind === 'exited' && this.#process.isAnswered !== false;
    this.#output.scriptEnded({ isWhole: this.#output.whole || (hasSaidSo && !this.#output.short) });
    const { status, short, whole, long, withheld, sentBytes, lost, hasHeader } = this.#output;
    // Without spreads: they cost a hundredth of a request.
    return {
      status,
      pid: this.#process.pid,
      exit,
      runsOnUntil: exit === undefined ? exited : undefined,
      endedBy: this.#endedBy,
      bodyError: body?.errored ?? undefined,
      headerError: this.#headerError,
      isShort: short,
      isWhole: whole,
      isLong: long,
      isWithheld: withheld,
      firstLine: hasHeader ? undefined : this.#output.firstLine,
      stdoutBytes: sentBytes,
      lost,
      stderrTail,
    };
  }

  /** Ends it, unless the web server may just have left with the whole response. */
  readonly aborted = (): void => {
    // lighttpd leaves as soon as it has a whole response: the script may still have something to finish.
    if (!this.#output.complete || this.#output.sentBytes === 0) this.end('abort');
  };

  /** Ends it now; a response of which nothing was sent is forgotten, unless it is whole. */
  end(why: EndedBy): void {
    this.#endedBy ??= why;
    if (this.#output.whole) this.#output.scriptEnded({ isWhole: true });
    else this.#output.cut();
    void this.#process.terminate(this.limits.killGraceMs, this.#invocation.terminatedBy).then(() => {
      this.givenUp.abort();
    });
  }

  readonly #bodyLost = (): void => {
    const errored = this.#streams.stdin?.errored ?? undefined;
    if (errored === undefined || this.#output.complete) return;
    const isTooLarge = errored instanceof BridgeError && errored.code === 'ERR_MAX_SPOOL_SIZE';
    this.end(isTooLarge ? 'max-spool-size' : 'spool-error');
  };

  /** The body was taken or is not wanted: from now on it is the script that takes its time. */
  readonly #bodyArrived = (): void => {
    if (!this.#output.hasHeader && !this.#hasExited) this.startTimer.start();
    this.#output.bodyArrived();
  };

  /** As much of the response is held as may be while the body arrives. */
  readonly onFull = (): void => {
    const { stdin: body } = this.#streams;
    // The script may wait for us: while bytes come, it has not stopped.
    const putOff = this.idleTimer.putOff.bind(this.idleTimer);
    body?.on('arrival', putOff).takeIn();
  };

  readonly #headerRefused = (error: unknown): void => {
    this.#headerError = error instanceof BridgeError ? error : undefined;
    this.end(this.#headerError?.code === 'ERR_INVALID_HEADER' ? 'invalid-header' : 'max-header-size');
  };

  /** Both outputs are closed, and its end has not followed: if it lives on, it has answered. */
  readonly #outputsClosed = (): void => {
    // Under load the news of its end may come later than this, and how it ended is part of the response.
    if (this.#endedBy !== undefined || this.#output.status === undefined || this.#process.hasEnded) return;
    const { short } = this.#output;
    this.#output.scriptEnded({ isWhole: !short });
    // What is to be said of a part, or in place of one that was held, comes with its end.
    if (short) return;
    // It may go on: nothing of a body or a response can move any more.
    this.idleTimer.stop();
    this.#streams.onAnswered?.();
  };
}
