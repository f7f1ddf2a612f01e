/** Answers requests: asks the site, waits for a slot, has the invocation run, and accounts for how it went. */

import { randomBytes } from 'node:crypto';

import { type ByteBudget, valueOf } from '../../base/bytes.js';
import { interpreterFault } from '../../base/executable.js';
import { type Invocation, lacksLength, withLength } from '../../cgi/invocation.js';
import type { RefusalReason } from '../../fastcgi/connection-options.js';
import type { Request } from '../../fastcgi/request.js';
import type { AccessLog } from '../../observe/access-log.js';
import { type Log, RepeatedEvents } from '../../observe/log.js';
import { ShortLived } from '../../base/memory.js';
import { Deadline } from '../../base/timer.js';
import { RequestBody } from '../../runners/request-body.js';
import type { Runner } from '../../runners/runner.js';
import { checked, type Site } from '../../sites/site.js';
import { accessOf, accessOfUnread, ActiveRequest, ActiveRequests, uriOf } from './active-requests.js';
import type { Admission, Release } from './admission.js';
import {
  pageBytes,
  type RequestResult,
  resultOfRun,
  resultOfSite,
  resultUnread,
  resultUnstarted,
  send,
} from './request-result.js';
import type { Tally } from '../status/collector.js';
import type { OwnPage } from '../status/pages.js';

export interface HandlerOptions {
  /** What the access log calls the site, if a daemon has several. */
  readonly name?: string | undefined;
  readonly site: Site;
  readonly runner: Pick<Runner, 'run'>;
  readonly admission: Admission;
  readonly body: BodyLimits;
  /** How long the site may take for its look-ups; 0 for as long as it takes. */
  readonly lookUpTimeoutMs: number;
  readonly log: Log;
  readonly accessLog: AccessLog | undefined;
  /** Pages that the bridge answers by itself, without a slot or a process. */
  readonly ownPage?: OwnPage | undefined;
  /** Counts requests that have ended, but for those pages. */
  readonly tally?: Tally | undefined;
}

/** What is kept of a request's body, and for how long none of it may come where all of it is waited for. */
export interface BodyLimits {
  readonly bufferBytes: number;
  readonly maxSpoolBytes: number;
  readonly spoolBudget: ByteBudget;
  readonly idleTimeoutMs: number;
}

export class Handler {
  /** Those that have begun and not ended. */
  readonly active = new ActiveRequests();
  readonly #options: HandlerOptions;
  readonly #refusals: RepeatedEvents;
  readonly #responses = new ShortLived<Promise<void>>();
  /** Request ids are unique across restarts, short, and sort in the order of arrival. */
  readonly #idPrefix = randomBytes(4).toString('hex');
  #idCount = 0;

  constructor(options: HandlerOptions) {
    this.#options = options;
    this.#refusals = new RepeatedEvents(options.log);
  }

  /** To be called when no request comes any more. */
  close(): void {
    this.#refusals.close();
  }

  /**
   * Begins to answer a request, whose END_REQUEST is sent in any case; slots are shared out among addresses. Returns what
   * its STDIN is written to, if it has a body. Calls `ended` when its process is gone, too.
   */
  handle(request: Request, connection: object, ended?: () => void): RequestBody | undefined {
    const id = this.#nextId();
    const body = request.input.isEmpty ? undefined : this.#bodyOf(id, request);
    const active = new ActiveRequest(id, request, body, connection);
    this.active.add(active);
    const response = this.#respond(active).finally(() => {
      this.#responses.delete(response);
      ended?.();
    });
    this.#responses.add(response);
    return body;
  }

  #bodyOf(id: string, request: Request): RequestBody {
    return new RequestBody({
      ...this.#options.body,
      mayWait: () => request.isAlone,
      onProblem: ({ code, message }) => {
        this.#options.log.warn({ id, code }, `its connection waits until the program reads on: ${message}`);
      },
    });
  }

  /** Requests whose process is not gone yet, or that have not ended. */
  get running(): number {
    return this.#responses.size;
  }

  /** Resolves when those that run now have ended, and their processes are gone. */
  async ended(): Promise<void> {
    await Promise.all(this.#responses);
  }

  async #respond(active: ActiveRequest): Promise<void> {
    const result = await this.#answer(active).catch((error: unknown) =>
      resultUnstarted(error, active.request.signal),
    );
    active.stdin?.destroy();
    await this.#end(active, result);
  }

  /** What is said to a request that its connection refuses, before anything of it was read. */
  refuse(why: RefusalReason): Buffer {
    const id = this.#nextId();
    const result = resultUnread(why);
    this.#log(result, () => ({ id, ...result.fields }));
    const response = result.page ? pageBytes(result.page, { id, headOnly: false }) : Buffer.alloc(0);
    const { accessLog, tally, name } = this.#options;
    const access = { ...accessOfUnread(id, result.page?.status ?? 503, response.length), site: name };
    accessLog?.write(access);
    tally?.ended(access, result);
    return response;
  }

  #nextId(): string {
    return `${this.#idPrefix}-${String(++this.#idCount)}`;
  }

  async #answer(active: ActiveRequest): Promise<RequestResult> {
    const { site, ownPage, lookUpTimeoutMs, body } = this.#options;
    const { params, problem, signal, account } = active.request;
    if (problem !== undefined) throw problem;
    const page = ownPage?.(params);
    if (page !== undefined) {
      active.isOwnPage = true;
      return resultOfSite({ kind: 'answer', answer: await page });
    }
    let since = account.paramsAt;
    let found = await site.resolve(params, new Deadline(signal, lookUpTimeoutMs));
    if (found.kind !== 'defer') {
      found = checked(found);
      if (found.kind !== 'run') return resultOfSite(found);
      active.invocation = found.invocation;
      if (lacksLength(found.invocation)) {
        // Before it is admitted: an upload, however slow, holds no slot that a process could have.
        const bytes = (await active.stdin?.whole(body.idleTimeoutMs)) ?? 0;
        found = { kind: 'run', invocation: withLength(found.invocation, bytes) };
        since = performance.now();
      }
    }
    const release = await this.#slot(active, since);
    try {
      // As much work as a process: there is no more of it at once than of those.
      if (found.kind === 'defer') found = checked(await found.resolve(new Deadline(signal, lookUpTimeoutMs)));
      return found.kind === 'run' ? await this.#run(active, found.invocation) : resultOfSite(found);
    } finally {
      release();
      this.#noteLoad();
    }
  }

  /** Waits for a slot; the caller gives it back when all of its work is done. */
  async #slot(active: ActiveRequest, since: number): Promise<Release> {
    const { request, connection } = active;
    const source = valueOf(request.params, 'REMOTE_ADDR') || connection;
    const waitsSince = (active.waitsSince = performance.now());
    const entered = this.#options.admission.enter(source, request.signal, since);
    this.#noteLoad();
    return entered.finally(() => {
      active.queueMs = performance.now() - waitsSince;
      this.#noteLoad();
    });
  }

  #noteLoad(): void {
    const { admission, tally } = this.#options;
    tally?.load(admission.running, admission.waiting);
  }

  async #run(active: ActiveRequest, invocation: Invocation): Promise<RequestResult> {
    const { request, stdin } = active;
    active.invocation = invocation;
    if (stdin?.errored) throw stdin.errored;
    const run = await this.#options.runner.run(invocation, active, request.signal);
    const { firstLine, endedBy, exit } = run;
    // To find out reads files: only where nothing else says why nothing was written.
    const isUnexplained = firstLine === '' && endedBy === undefined && exit?.kind === 'exited';
    return resultOfRun(run, request, {
      hasAnswered: active.hasAnswered,
      fault: isUnexplained ? await interpreterFault(invocation.file) : undefined,
      doubt: invocation.doubt,
    });
  }

  /** Refusals for want of room come in thousands; each has its line in the access log. */
  #log({ word, level, message, fields }: RequestResult, all: () => Readonly<Record<string, unknown>>): void {
    const { log } = this.#options;
    if (word === 'not-admitted') this.#refusals.log(String(fields?.['code']), level, all, message);
    else if (log.hears?.(level) !== false) log[level](all(), message);
  }

  /** Ends a request, whatever became of it, and accounts for it: the one place where that happens. */
  async #end(active: ActiveRequest, result: RequestResult): Promise<void> {
    const { id, request, isOwnPage } = active;
    const { name, accessLog, tally } = this.#options;
    const { fields, appStatus } = result;
    this.#log(result, () => ({ id, uri: uriOf(request.params), ...fields }));
    send(result, request, id);
    await request.end(appStatus);
    this.active.delete(active);
    const { onEnded } = active;
    if (accessLog === undefined && tally === undefined && onEnded.length === 0) return;
    const access = accessOf(active, result, name);
    accessLog?.write(access);
    if (!isOwnPage) tally?.ended(access, result);
    for (const told of onEnded) told(access);
  }
}
