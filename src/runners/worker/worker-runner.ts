/** Runs invocations in the workers of a FastCGI application: a request goes to a free one, and its answer comes back. */

import { NOTHING } from '../../base/bytes.js';
import type { Invocation } from '../../cgi/invocation.js';
import { systemCodeOf } from '../../base/errors.js';
import type { Requester } from '../../fastcgi/requester.js';
import { ProcessRunner } from '../process-runner.js';
import type { RunnerStatus } from '../../base/runner-status.js';
import type { RunResult, RunLimits, Runner, RunStreams } from '../runner.js';
import type { Worker } from './worker.js';
import type { WorkerPool } from './worker-pool.js';
import { connectTo, WorkerRequest } from './worker-request.js';
import type { WaitSignal } from '../../base/timer.js';

/** Workers that one request may be sent to, if each ends without a sign of an answer: it may be what ends them. */
const MAX_WORKERS_PER_REQUEST = 8;

/** Methods that ask for nothing but an answer (RFC 9110 §9.2.1): nobody minds if it is asked for twice. */
const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

/** What the system says of a connection when it fails without a fault of the worker's. */
const outOfDescriptors: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']);

/** Owns the pool: `destroy` closes it. */
export class WorkerRunner implements Runner {
  readonly #limits: RunLimits;
  readonly #pool: WorkerPool;
  readonly #runs = new Set<ProcessRunner>();

  constructor(limits: RunLimits, pool: WorkerPool) {
    this.#limits = limits;
    this.#pool = pool;
  }

  async run(invocation: Invocation, streams: RunStreams, signal: WaitSignal): Promise<RunResult> {
    const isRepeatable = canBeRepeated(invocation);
    // Such a request has no body that could be gone after a first try.
    const repeated = isRepeatable ? { ...invocation, input: NOTHING } : invocation;
    for (let tries = 1; ; tries++) {
      let request: WorkerRequest | undefined;
      const run = new ProcessRunner(this.#limits, async () => {
        request = await this.#begin(invocation, signal, { awaitsSign: !isRepeatable || tries > 1 });
        return request;
      });
      this.#runs.add(run);
      const outcome = await run.run(repeated, streams, signal);
      this.#runs.delete(run);
      const sent = request;
      if (sent === undefined) return outcome;
      const isLost = !sent.isAnswered && !sent.hasBegun && outcome.endedBy === undefined;
      const again = isLost && isRepeatable && tries < MAX_WORKERS_PER_REQUEST && !signal.aborted;
      // Without END_REQUEST nobody knows whether there should have been more.
      if (again) continue;
      const startError = isLost ? sent.fault : undefined;
      return { ...outcome, startError, isShort: outcome.isShort || !sent.isAnswered };
    }
  }

  status(): RunnerStatus {
    return this.#pool.status();
  }

  async destroy(): Promise<void> {
    for (const run of this.#runs) await run.destroy();
    await this.#pool.close();
  }

  /**
   * Sends the request to a free worker. One that can't be connected to has surely not seen it; nor has one that loses
   * the connection before it has given a sign of life. Only safe requests are sent without one, and only at first.
   * Workers that end on purpose are no tries: where each one does so after an answer, a request may meet many.
   */
  async #begin(
    invocation: Invocation,
    signal: WaitSignal,
    { awaitsSign }: { awaitsSign: boolean },
  ): Promise<WorkerRequest> {
    for (let tries = 1; ; tries++) {
      const worker = await this.#pool.take(signal);
      try {
        const requester = await connectTo(worker);
        if (awaitsSign) await this.#pool.signOfLife(requester);
        return this.#send(worker, requester, invocation, signal);
      } catch (error) {
        const isOurs = outOfDescriptors.has(systemCodeOf(error) ?? '');
        // Else it ends, or has closed its socket and will never accept again.
        if (isOurs) this.#pool.give(worker, { answered: false });
        else if (await this.#pool.lose(worker)) tries -= 1;
        if (isOurs || tries === MAX_WORKERS_PER_REQUEST) throw error;
      }
    }
  }

  #send(worker: Worker, requester: Requester, invocation: Invocation, signal: WaitSignal): WorkerRequest {
    const request = new WorkerRequest(worker, requester, invocation.variables, {
      bodyBytes: canBeRepeated(invocation) ? 0 : lengthOf(invocation),
      mayFinish: () => signal.aborted,
      kill: () => this.#pool.dismiss(worker),
    });
    void request.exited.then(() => {
      this.#pool.give(worker, { answered: request.isAnswered });
    });
    return request;
  }
}

function canBeRepeated({ variables }: Invocation): boolean {
  const length = variables.get('CONTENT_LENGTH') ?? '';
  return safeMethods.has(variables.get('REQUEST_METHOD') ?? '') && /^0*$/.test(length);
}

/** What is in the body, where the web server says so. */
function lengthOf({ variables }: Invocation): number | undefined {
  const length = variables.get('CONTENT_LENGTH') ?? '';
  return /^\d+$/.test(length) ? Number(length) : undefined;
}
