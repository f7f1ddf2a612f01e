/** One request on its way through a worker, in the form of a process that runs for it; and whether workers show that they accept. */

import { once } from 'node:events';

import type { MetaVariables } from '../../cgi/invocation.js';
import { BridgeError, reasonOf } from '../../base/errors.js';
import { ProtocolStatus, protocolStatusName } from '../../fastcgi/constants.js';
import { ReadingSocket } from '../../fastcgi/connection-socket.js';
import { Requester, type SentRequest } from '../../fastcgi/requester.js';
import type { ExitStatus } from '../../process/exit-status.js';
import type { ScriptProcess } from '../script-run.js';
import type { Worker } from './worker.js';
import { unlessLate, type WaitSignal } from '../../base/timer.js';

/** How soon after the connection the worker itself ends, if that is why the connection has ended. */
const EXIT_FOLLOWS_MS = 200;

/** Connects to a worker, which accepts when it comes to it. @throws Error if its socket is closed. */
export async function connectTo({ path }: Pick<Worker, 'path'>): Promise<Requester> {
  const socket = new ReadingSocket().connect(path);
  await once(socket, 'connect');
  return new Requester(socket);
}

/**
 * A request that a worker has been sent. Its `exited` is the END_REQUEST's appStatus, or how the worker has ended where
 * it gave none. It owns the connection, one for each request, as web servers have it that start applications themselves.
 */
export class WorkerRequest implements ScriptProcess {
  readonly pid: number;
  readonly stdin: SentRequest['stdin'];
  readonly stdout: SentRequest['stdout'];
  readonly stderr: SentRequest['stderr'];
  readonly exited: Promise<ExitStatus>;
  readonly #requester: Requester;
  readonly #sent: SentRequest;
  readonly #mayFinish: () => boolean;
  readonly #kill: () => Promise<void>;
  /** Why no answer that has not begun will come, as far as the worker has said that. */
  fault: BridgeError | undefined;
  #isAnswered = false;
  #hasEnded = false;
  #terminating: Promise<void> | undefined;

  /**
   * STDIN ends with the last of `bodyBytes`, where they are known. `mayFinish` says whether a request that is ended leaves
   * its worker alone, if that answers within the grace; `kill` ends the worker.
   */
  constructor(
    worker: Worker,
    requester: Requester,
    variables: MetaVariables,
    {
      bodyBytes,
      mayFinish,
      kill,
    }: { bodyBytes: number | undefined; mayFinish: () => boolean; kill: () => Promise<void> },
  ) {
    this.#requester = requester;
    this.#sent = requester.send([...variables], { bodyBytes });
    this.#mayFinish = mayFinish;
    this.#kill = kill;
    this.pid = worker.pid;
    this.stdin = this.#sent.stdin;
    this.stdout = this.#sent.stdout;
    this.stderr = this.#sent.stderr;
    const ended = this.#sent.ended.then(
      ({ appStatus, protocolStatus }): ExitStatus => {
        this.#hasEnded = true;
        this.#isAnswered = protocolStatus === ProtocolStatus.REQUEST_COMPLETE;
        if (!this.#isAnswered) this.fault = refusalOf(protocolStatus);
        return { kind: 'exited', code: appStatus };
      },
      (error: unknown) => {
        this.#hasEnded = true;
        const isLost = error instanceof BridgeError && error.code === 'ERR_FASTCGI_DISCONNECTED';
        if (!isLost) this.fault = protocolError(reasonOf(error));
        return undefined;
      },
    );
    this.exited = ended.then(async (exit): Promise<ExitStatus> => {
      // libfcgi waits for us to close, for two seconds; and nobody reads the rest of a body any more.
      requester.close();
      this.stdin.destroy();
      // One that lives on has merely closed the connection, as if it had ended with status 0.
      return exit ?? (await unlessLate(worker.exited, EXIT_FOLLOWS_MS)) ?? { kind: 'exited', code: 0 };
    });
  }

  /** Whether END_REQUEST has come or never will, though `exited` may wait for how the worker ends. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Whether END_REQUEST came, so that all of the answer has. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  get hasBegun(): boolean {
    return this.#sent.answerBytes() > 0;
  }

  /**
   * Ends a request that was not answered: the worker may finish it within `graceMs`, if it may at all; else it is ended.
   */
  terminate(graceMs: number): Promise<void> {
    this.#terminating ??= this.#end(graceMs);
    return this.#terminating;
  }

  async #end(graceMs: number): Promise<void> {
    // Its worker may serve another request by now.
    if (this.#isAnswered) {
      await this.exited;
      return;
    }
    if (this.#mayFinish()) {
      this.#sent.abort();
      this.stdin.end();
      if ((await unlessLate(this.exited, graceMs)) !== undefined) return;
    }
    await this.#kill();
    // Somebody else may hold its end of the connection.
    this.#requester.close();
    await this.exited;
  }
}

/** Why a worker did not answer, by the protocolStatus of its END_REQUEST (FastCGI 1.0 §5.5). */
function refusalOf(protocolStatus: number): BridgeError {
  const why = `refused the request with ${protocolStatusName(protocolStatus)}`;
  if (protocolStatus !== ProtocolStatus.OVERLOADED) return protocolError(`it ${why}`);
  return new BridgeError('ERR_WORKER_OVERLOADED', `the application ${why}`);
}

function protocolError(why: string): BridgeError {
  return new BridgeError('ERR_WORKER_PROTOCOL', `the application did not answer the request: ${why}`);
}

/** How long a request waits for a sign of life of the worker that it goes to. */
const PATIENCE_MS = 1_000;

export class ReadinessProbe {
  #isKnown = false;

  /** Whether a worker of this application has ever given a sign of life. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /**
   * Waits for the first sign of life of a worker that has started, on a connection of its own. Resolves with whether it
   * came: not if the worker ends, closes connections without a request, or `signal` aborts, which closes this one.
   */
  async first(worker: Pick<Worker, 'path'>, signal: WaitSignal): Promise<boolean> {
    try {
      const requester = await connectTo(worker);
      signal.addEventListener('abort', () => {
        requester.close();
      });
      if (signal.aborted) requester.close();
      await requester.probe();
      requester.close();
      this.#isKnown = true;
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Waits for a sign of life of a worker that was connected to, if workers of this application give any; one that takes
   * longer than a second may be busy with what it does after an answer.
   *
   * @throws BridgeError `ERR_FASTCGI_DISCONNECTED`
   */
  async next(requester: Requester): Promise<void> {
    if (!this.#isKnown) return;
    await unlessLate(requester.probe(), PATIENCE_MS);
  }
}
