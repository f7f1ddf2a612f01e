/** Waits where the system has nothing left to start a program with, and then goes on. */

import type { Invocation } from '../cgi/invocation.js';
import { BridgeError, reasonOf, systemCodeOf } from '../errors.js';
import type { ScriptProcess, StartScript } from './process-runner.js';

/** No processes, no memory, no descriptors for us or for anybody: none of it is the request's fault, or stays so. */
const shortages: ReadonlySet<string | undefined> = new Set(['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE']);

const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1_000;

export interface Patience {
  /** How long a request waits; 0 for as long as it takes. */
  readonly timeoutMs: number;
  /** Called with the system's error when the first start of a shortage has failed, and when one works again. */
  readonly onShortage: (cause: unknown) => void;
  readonly onRelief: () => void;
}

interface Waiting {
  readonly invocation: Invocation;
  readonly signal: AbortSignal;
  readonly since: number;
  readonly resolve: (started: ScriptProcess) => void;
  readonly reject: (reason: unknown) => void;
  /** Ends the wait when it has lasted too long or nobody waits for the answer any more; not while it is tried. */
  watch: (() => void) | undefined;
}

/**
 * Starts as `start` does. During a shortage, requests wait in the order in which they came, and only the first of them
 * is tried: after pauses that grow, and whenever a process of ours has ended.
 *
 * @throws BridgeError `ERR_SYSTEM_LIMIT` after `timeoutMs`, or when the request is aborted; what `start` throws.
 */
export class PatientStart {
  readonly #start: StartScript;
  readonly #patience: Patience;
  readonly #waiting = new Set<Waiting>();
  #isShort = false;
  #pauseMs = FIRST_PAUSE_MS;
  #timer: NodeJS.Timeout | undefined;
  #isTrying = false;

  constructor(start: StartScript, patience: Patience) {
    this.#start = start;
    this.#patience = patience;
  }

  readonly start: StartScript = async (invocation, signal) => {
    if (this.#waiting.size === 0) {
      try {
        return await this.#tryStart(invocation, signal);
      } catch (error) {
        if (!isShortage(error)) throw error;
      }
    }
    return new Promise((resolve, reject) => {
      const waiting = { invocation, signal, since: performance.now(), resolve, reject, watch: undefined };
      this.#waiting.add(waiting);
      this.#watch(waiting);
      this.#schedule();
    });
  };

  async #tryStart(invocation: Invocation, signal: AbortSignal): Promise<ScriptProcess> {
    try {
      const started = await this.#start(invocation, signal);
      if (this.#isShort) this.#patience.onRelief();
      this.#isShort = false;
      this.#pauseMs = FIRST_PAUSE_MS;
      // What it has taken is there again for the next one.
      void started.exited.then(() => {
        this.#retryIfPausing();
      });
      return started;
    } catch (error) {
      if (isShortage(error) && !this.#isShort) {
        this.#isShort = true;
        this.#patience.onShortage((error as BridgeError).cause);
      }
      throw error;
    }
  }

  /** Has the first be tried after a pause, unless that is planned. */
  #schedule(): void {
    if (this.#waiting.size === 0 || this.#isTrying) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#retry();
    }, this.#pauseMs);
  }

  #retryIfPausing(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    void this.#retry();
  }

  /** Tries the first, and the next ones as long as that works. */
  async #retry(): Promise<void> {
    this.#isTrying = true;
    for (const waiting of this.#waiting) {
      waiting.watch?.();
      waiting.watch = undefined;
      try {
        waiting.resolve(await this.#tryStart(waiting.invocation, waiting.signal));
      } catch (error) {
        if (isShortage(error)) {
          this.#pauseMs = Math.min(2 * this.#pauseMs, MAX_PAUSE_MS);
          this.#watch(waiting);
          break;
        }
        waiting.reject(error);
      }
      this.#waiting.delete(waiting);
    }
    this.#isTrying = false;
    this.#schedule();
  }

  /** From now on the request leaves when it has waited long enough, or is aborted. */
  #watch(waiting: Waiting): void {
    const { signal, since } = waiting;
    const { timeoutMs } = this.#patience;
    const leave = (why: string): void => {
      waiting.watch?.();
      this.#waiting.delete(waiting);
      waiting.reject(new BridgeError('ERR_SYSTEM_LIMIT', why));
      if (this.#waiting.size > 0) return;
      clearTimeout(this.#timer);
      this.#timer = undefined;
    };
    const onTimeout = (): void => {
      const waited = `for ${String(timeoutMs)} ms (--queue-timeout)`;
      leave(`the system has let no program be started ${waited}; see ulimit -u and -n`);
    };
    const onAbort = (): void => {
      leave(reasonOf(signal.reason));
    };
    const left = Math.max(0, since + timeoutMs - performance.now());
    const timer = timeoutMs === 0 ? undefined : setTimeout(onTimeout, left);
    signal.addEventListener('abort', onAbort);
    waiting.watch = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
    if (signal.aborted) onAbort();
  }
}

function isShortage(error: unknown): boolean {
  return (
    error instanceof BridgeError && error.code === 'ERR_SPAWN' && shortages.has(systemCodeOf(error.cause))
  );
}
