/** One script that is run warm: its fork servers, from the first one to the last, and what was learned for them. */

import type { ByteString } from '../../base/bytes.js';
import type { Invocation } from '../../cgi/invocation.js';
import { reasonOf } from '../../base/errors.js';
import { backoffOf } from '../../base/timer.js';
import type { OwnedProcess } from '../../process/owned-process.js';
import type { ForkServer } from './fork-server.js';
import { fits, type SeenVariables, mergeLessons, type Variables } from './messages.js';
import { NotForked } from './forked-processes.js';

/** A script whose modules depend on the request has a fork server for each of this number of kinds of requests. */
const MAX_KINDS = 4;
/** After these many processes have taught nothing new, nothing more is asked of others. */
const LESSONS = 32;
/** Fork servers that take another one's place as there is more to load: after the first, it is seldom worth it. */
const MAX_ROUNDS = 4;

export interface WarmScriptOptions {
  /** Makes a fork server for requests that have these variables, as far as they decide; undefined where there may be no more. */
  readonly makeServer: (
    variables: Variables,
    modules: Variables,
    onLearned: (modules: Variables) => void,
    isReplacement: boolean,
  ) => ForkServer | undefined;
  /** Called with why a request is, or will be, run otherwise. */
  readonly onProblem: (reason: string) => void;
  /** Called when a fork server serves. */
  readonly onServing: (server: ForkServer, modules: number) => void;
}

/** A fork server that serves, and for which requests. */
interface Serving {
  readonly server: ForkServer;
  readonly seen: SeenVariables;
}

/** Owns its fork servers until `close`; their maker waits for their end. */
export class WarmScript {
  readonly #options: WarmScriptOptions;
  readonly #modules = new Map<ByteString, ByteString>();
  /** What requests have taught of modules since the script, or what it loads, has changed last. */
  readonly #taught = new Map<ByteString, ByteString>();
  /** A script that could not be loaded is tried again. */
  readonly #retry = new Retry();
  #serving: readonly Serving[] = [];
  /** The one that is being loaded; more than one at a time would only slow each other down. */
  #loading: ForkServer | undefined;
  #lessons = LESSONS;
  #rounds = 0;
  #loadedModules = 0;
  /** What has gone wrong last. */
  #problem: string | undefined;
  #isClosed = false;
  /** When it was asked for last; by `performance.now()`. */
  usedAt = performance.now();

  constructor(options: WarmScriptOptions) {
    this.#options = options;
  }

  /** Fork servers that it has, or is about to have. */
  get servers(): number {
    return this.#serving.length + (this.#loading === undefined ? 0 : 1);
  }

  /** A process of a fork server that fits, or undefined: the request is then to be run otherwise. */
  async fork(invocation: Invocation, args: readonly ByteString[]): Promise<OwnedProcess | undefined> {
    this.usedAt = performance.now();
    const fitting = this.#fittingFor(invocation);
    if (fitting === undefined) return undefined;
    try {
      const forked = await fitting.server.fork(invocation, args, this.#lessons > 0 && this.#lessons-- > 0);
      this.#retry.succeeded();
      return forked;
    } catch (error) {
      if (!(error instanceof NotForked)) throw error;
      this.#retire(fitting);
      if (error.why === 'stale') this.#startOver();
      else this.#fail(error);
      return undefined;
    }
  }

  /** Waits for a fork server that fits and has loaded all that was learned so far; resolves to it, or to why it is missing. */
  async prepare(invocation: Invocation): Promise<ForkServer | string> {
    this.usedAt = performance.now();
    for (;;) {
      const fitting = this.#fittingFor(invocation);
      const loading = this.#loading;
      if (loading === undefined) return fitting?.server ?? this.#problem ?? 'it is no longer wanted';
      await loading.ready.catch(() => undefined);
    }
  }

  /** Ends its fork servers, each with the last process that it has forked. */
  close(): void {
    this.#isClosed = true;
    for (const each of this.#serving) this.#retire(each);
    this.#loading?.close();
    this.#loading = undefined;
  }

  /** Forgets what it has loaded, so that nothing is kept that nobody asks for; it loads again when it is asked. */
  rest(): void {
    for (const each of this.#serving) this.#retire(each);
  }

  /** One that serves and fits, if there is; has one loaded where it is missing, or where there is more to load. */
  #fittingFor(invocation: Invocation): Serving | undefined {
    const fitting = this.#serving.find(({ seen }) => fits(seen, invocation.variables));
    if (fitting === undefined) this.#loadFirst(invocation);
    else if (this.#learnsMore()) this.#load(invocation, fitting);
    return fitting;
  }

  #loadFirst(invocation: Invocation): void {
    if (this.#isClosed || this.#loading !== undefined || !this.#retry.isDue) return;
    if (this.#serving.length >= MAX_KINDS) {
      const names = [...new Set(this.#serving.flatMap(({ seen }) => [...seen.keys()]))];
      this.#tellProblem(`it loads differently for different values of ${names.join(', ')}`);
      return;
    }
    this.#load(invocation);
  }

  /** What has changed may need other modules, and may work where it has not. */
  #startOver(): void {
    this.#lessons = LESSONS;
    this.#rounds = 0;
    this.#taught.clear();
    this.#retry.reset();
  }

  /** Whether there is something that was learned and is worth to be loaded ahead. */
  #learnsMore(): boolean {
    const isEnough = this.#rounds === 0 || this.#lessons <= LESSONS / 2;
    return (
      this.#modules.size > this.#loadedModules &&
      this.#rounds < MAX_ROUNDS &&
      isEnough &&
      this.#loading === undefined
    );
  }

  /** Loads a fork server; when it serves, it takes the place of `replaced`. */
  #load(invocation: Invocation, replaced?: Serving): void {
    const modules = new Map(this.#modules);
    const learn = (learned: Variables): void => {
      for (const [name, found] of learned) {
        const taught = mergeLessons(this.#taught.get(name) ?? found, found);
        this.#taught.set(name, taught);
        this.#modules.set(name, taught);
      }
    };
    const server = this.#options.makeServer(invocation.variables, modules, learn, replaced !== undefined);
    if (server === undefined) {
      if (replaced === undefined) this.#tellProblem('there are as many fork servers as there may be');
      return;
    }
    this.#loading = server;
    this.#loadedModules = modules.size;
    if (replaced !== undefined) {
      this.#rounds++;
      this.#lessons = LESSONS;
    }
    server.ready.then(
      (seen) => {
        if (this.#loading !== server) return;
        this.#loading = undefined;
        this.#serving = [...this.#serving, { server, seen }];
        this.#options.onServing(server, modules.size);
        if (replaced !== undefined) this.#retire(replaced);
        void server.gone.then((reason) => {
          const remaining = this.#serving.filter((each) => each.server !== server);
          if (remaining.length < this.#serving.length && reason !== undefined) this.#fail(reason);
          this.#serving = remaining;
        });
      },
      (error: unknown) => {
        if (this.#loading !== server) return;
        this.#loading = undefined;
        this.#fail(error);
      },
    );
  }

  #fail(error: unknown): void {
    if (this.#isClosed) return;
    this.#retry.failed();
    this.#tellProblem(reasonOf(error));
  }

  #tellProblem(reason: string): void {
    this.#problem = reason;
    this.#options.onProblem(reason);
  }

  #retire(serving: Serving): void {
    this.#serving = this.#serving.filter((each) => each !== serving);
    serving.server.close();
  }
}

const firstRetry = backoffOf(1_000, 60_000);

export class Retry {
  #wait = firstRetry;
  #at = 0;

  get isDue(): boolean {
    return performance.now() >= this.#at;
  }

  failed(): void {
    this.#at = performance.now() + this.#wait.delayMs;
    this.#wait = this.#wait.next();
  }

  /** The next failure is a first one; it is not waited less for one that was. */
  succeeded(): void {
    this.#wait = firstRetry;
  }

  /** There is nothing to wait for any more. */
  reset(): void {
    this.#wait = firstRetry;
    this.#at = 0;
  }
}
