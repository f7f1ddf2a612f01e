/** What every way of running a script has in common. */

import type { Writable } from 'node:stream';

import type { Invocation } from '../cgi/invocation.js';
import type { BridgeError } from '../base/errors.js';
import type { ExitStatus } from '../process/exit-status.js';
import type { EndedBy } from '../base/results.js';
import type { RunnerStatus } from '../base/runner-status.js';
import type { RequestBody } from './request-body.js';
import type { WaitSignal } from '../base/timer.js';

/**
 * Where a run's bytes come from and go to; the runner ends none of them. What was written last may be corked for a turn of
 * the event loop, so that it goes out together with the end.
 */
export interface RunStreams {
  /** Undefined for a request without a body. */
  readonly stdin: RequestBody | undefined;
  readonly stdout: Writable;
  /** Asked for where there is something to write. */
  readonly stderr: Writable;
  /** Set when the process is there. */
  pid?: number | undefined;
  /** Set while it runs: ends the run, also one whose response is complete, whatever the run's `signal` says. */
  cancel?: (() => void) | undefined;
  /** Called when the script has closed both outputs and lives on: nothing more can come of its answer. */
  readonly onAnswered?: () => void;
}

/** Bounds of one run; times in milliseconds, 0 for none. */
export interface RunLimits {
  /** From the end of the request's body to the end of the response's header. */
  readonly startTimeoutMs: number;
  /** Without a byte of the request's body or of the response; standard error does not count. */
  readonly idleTimeoutMs: number;
  readonly maxTimeMs: number;
  readonly killGraceMs: number;
  readonly maxHeaderBytes: number;
  /** Bytes of the end of standard error that are kept for the log. */
  readonly stderrTailBytes: number;
  /** Bytes of a response that are held back while the request's body still arrives. */
  readonly holdDuringUploadBytes: number;
  /** A response of fewer bytes is held back until its script has ended; 0 for none. */
  readonly holdUntilExitBytes: number;
}

/** How a run went. `status` is undefined while no complete header has been sent on: the answer is then the caller's. */
export interface RunResult {
  readonly status?: number | undefined;
  readonly pid?: number;
  readonly exit?: ExitStatus | undefined;
  /** Settles when a script has ended that could not be ended in time. */
  readonly runsOnUntil?: Promise<unknown> | undefined;
  readonly endedBy?: EndedBy | undefined;
  readonly startError?: BridgeError | undefined;
  /** Why the script could not be given the whole body. */
  readonly bodyError?: Error | undefined;
  /** What is wrong with the header, where that has ended the run. */
  readonly headerError?: BridgeError | undefined;
  /** Whether the body has fewer bytes than its Content-Length says; to HEAD it has every right to. */
  readonly isShort: boolean;
  /** Whether the body has as many bytes as announced, or as HEAD wants, so that nothing that became of its script could cut it short. */
  readonly isWhole?: boolean;
  /** Whether the script has written more than its status or Content-Length allows, which was thrown away. */
  readonly isLong?: boolean;
  /** Whether a part of a response was there, and was thrown away as it was held to be sent whole. */
  readonly isWithheld?: boolean;
  /** How what the script has written began, where that had no complete header. */
  readonly firstLine?: string | undefined;
  readonly stdoutBytes: number;
  /** Whether the web server has left before the whole response could be handed to it. */
  readonly lost: boolean;
  readonly stderrTail: string;
}

/** Decides how an invocation runs, never what may run. */
export interface Runner {
  /**
   * Runs the invocation to its end: resolves once the process is gone and nobody holds its answer open; where the run
   * was ended, its whole group is gone then, but for what runs as another user. What a script put into the background, with outputs of its own, goes on.
   * Never rejects. Aborting `signal` ends the run, unless the answer was complete by then.
   */
  run(invocation: Invocation, streams: RunStreams, signal: WaitSignal): Promise<RunResult>;
  status(): RunnerStatus;
  /** Ends all runs, also those that have answered completely, and resolves when what it keeps for further ones is gone. */
  destroy(): Promise<void>;
}
