/** One fork server's own process, from its start to its end, and what it is asked and answers. */

import { rm } from 'node:fs/promises';

import { type ByteString, fromText } from '../../base/bytes.js';
import type { Invocation } from '../../cgi/invocation.js';
import { reasonOf } from '../../base/errors.js';
import type { OwnedProcess } from '../../process/owned-process.js';
import { trySignal } from '../../process/process-group.js';
import {
  type Answer,
  ForkServerChannel,
  type Message,
  reasonText,
  type SeenVariables,
  type Variables,
} from './messages.js';
import { begin, ForkedProcesses, makePipeDirectory, NotForked } from './forked-processes.js';
import type { ScriptProcess } from '../script-run.js';

/** How long a fork server may take to fork; one that takes longer is of no use. */
const MAX_FORK_MS = 5_000;

export interface ForkServerOptions {
  /** Starts the fork server's own process, unless `signal` aborts before. */
  readonly start: (signal: AbortSignal) => Promise<ScriptProcess>;
  /** The variables of its own process and of the request that it is started for, and what to load ahead. */
  readonly load: Omit<Extract<Message, { kind: 'load' }>, 'kind' | 'directory'>;
  /** How long it may take to load; 0 for as long as it wants. */
  readonly loadTimeoutMs: number;
  /** How often it is looked whether it still answers: one that does not is ended at the second look. */
  readonly lookMs?: number;
  /** It has taught us which modules its script loads. */
  readonly onLearned: (modules: Variables) => void;
  /** Its script does not get ready ahead for some requests. */
  readonly onUnprepared: (reason: string) => void;
}

interface Pending {
  readonly resolve: (forked: OwnedProcess) => void;
  readonly reject: (error: NotForked) => void;
  readonly timer: NodeJS.Timeout;
}

type State =
  | { readonly kind: 'loading' }
  | { readonly kind: 'serving' }
  | { readonly kind: 'closing' }
  | { readonly kind: 'gone'; readonly reason: string };

/** Owns its process until `gone` has resolved; those that it has forked belong to the code that has asked for them. */
export class ForkServer {
  /** Resolves to the variables that were read while it loaded, and what they were. Rejects if it can't serve. */
  readonly ready: Promise<SeenVariables>;
  /** Resolves when its process is gone, and with it all that it has forked; to why, if nobody wanted that. */
  readonly gone: Promise<string | undefined>;

  /** When it was started; by `performance.now()`. */
  readonly startedAt = performance.now();

  readonly #options: ForkServerOptions;
  /** What was asked for and is not there yet. */
  readonly #pending = new Map<string, Pending>();
  readonly #forked = new ForkedProcesses();
  #state: State = { kind: 'loading' };
  #process: ScriptProcess | undefined;
  /** Ends the wait for its start. */
  readonly #starting = new AbortController();
  #channel: ForkServerChannel | undefined;
  #directory = '';
  #count = 0;
  #forks = 0;
  #prepared = 0;
  #hadNothingLeft = false;
  #readied: (values: SeenVariables) => void = () => undefined;
  #failed: (error: Error) => void = () => undefined;

  constructor(options: ForkServerOptions) {
    this.#options = options;
    this.ready = new Promise<SeenVariables>((resolve, reject) => {
      this.#readied = resolve;
      this.#failed = reject;
    });
    this.ready.catch(() => undefined);
    this.gone = this.#live();
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get state(): State['kind'] {
    return this.#state.kind;
  }

  /** Processes that it has forked. */
  get forks(): number {
    return this.#forks;
  }

  /** Of these, by processes in which the script had got ready. */
  get prepared(): number {
    return this.#prepared;
  }

  /**
   * Forks a process that runs the script with the invocation's directory, environment and these arguments.
   *
   * @throws NotForked; the request can then run otherwise.
   */
  fork(invocation: Invocation, args: readonly ByteString[], learn: boolean): Promise<OwnedProcess> {
    if (this.#state.kind !== 'serving') {
      const reason = this.#state.kind === 'gone' ? this.#state.reason : 'its fork server is not ready';
      return Promise.reject(new NotForked('gone', reason));
    }
    const id = `${String(this.pid)}-${String(++this.#count)}`;
    const { directory, variables } = invocation;
    return new Promise((resolve, reject) => {
      const late = `it took longer than ${String(MAX_FORK_MS)} ms to fork`;
      this.#pending.set(id, { resolve, reject, timer: setTimeout(this.#end, MAX_FORK_MS, late) });
      this.#channel?.tell({ kind: 'run', id, learn, directory, args, variables });
    });
  }

  /** Asks for nothing more; the fork server ends when all that it has forked has ended. */
  close(): void {
    if (this.#state.kind === 'gone') return;
    const wasLoading = this.#state.kind === 'loading';
    this.#state = { kind: 'closing' };
    this.#endInput();
    if (wasLoading) this.#end('it is no longer wanted');
  }

  /** At the end of its input a fork server gives up what nobody has opened yet: first all that was asked for is made. */
  #endInput(): void {
    if (this.#state.kind === 'closing' && this.#pending.size === 0) this.#channel?.finish();
  }

  async #live(): Promise<string | undefined> {
    try {
      this.#directory = await makePipeDirectory();
      await this.#run();
    } catch (error) {
      this.#lose(reasonOf(error));
    } finally {
      if (this.#directory !== '') await rm(this.#directory, { recursive: true, force: true });
    }
    return this.#state.kind === 'gone' ? this.#state.reason : undefined;
  }

  async #run(): Promise<void> {
    const own = await this.#options.start(this.#starting.signal);
    this.#process = own;
    const channel = new ForkServerChannel(own, this.#answer, this.#end);
    this.#channel = channel;
    const { load, loadTimeoutMs, lookMs = MAX_FORK_MS } = this.#options;
    const looks = setInterval(this.#look, lookMs).unref();
    const timer =
      loadTimeoutMs > 0
        ? setTimeout(() => {
            if (this.#state.kind === 'loading') this.#end('it took too long to load');
          }, loadTimeoutMs)
        : undefined;
    if (this.#state.kind === 'loading')
      channel.tell({ kind: 'load', directory: fromText(this.#directory), ...load });
    else void own.terminate(0);
    const end = await channel.over;
    clearTimeout(timer);
    clearInterval(looks);
    this.#lose(end);
    await this.#forked.abandon();
  }

  /** A stopped one reaps nothing, and does not see the end of its input. */
  readonly #look = (): void => {
    const hasNothingLeft = this.#state.kind === 'closing' && this.#pending.size + this.#forked.size === 0;
    if (this.#forked.hasUntold() || (hasNothingLeft && this.#hadNothingLeft))
      this.#end('it no longer answers');
    this.#hadNothingLeft = hasNothingLeft;
  };

  readonly #answer = (answer: Answer): void => {
    switch (answer.kind) {
      case 'ready':
        if (this.#state.kind !== 'loading') return;
        this.#state = { kind: 'serving' };
        this.#readied(
          new Map(answer.variables.map((name) => [name, this.#options.load.variables.get(name)])),
        );
        return;
      case 'unfit':
        this.#lose(reasonText(answer.reason));
        return;
      case 'forked':
        this.#begin(answer);
        return;
      case 'stale':
      case 'refused':
        this.#take(answer.id)?.reject(new NotForked(answer.kind, reasonText(answer.reason)));
        this.#endInput();
        return;
      case 'ended':
        this.#forked.ended(answer.pid, answer.exit);
        return;
      case 'learned':
        this.#options.onLearned(answer.modules);
        return;
      case 'unprepared':
        this.#options.onUnprepared(reasonText(answer.reason));
    }
  };

  #begin({ id, pid, name }: Extract<Answer, { kind: 'forked' }>): void {
    this.#forks += 1;
    if (name.startsWith('p')) this.#prepared += 1;
    const ended = this.#forked.expect(pid);
    try {
      // Nobody waits for it any more.
      if (!this.#pending.has(id)) throw new Error('it took too long');
      const begun = begin(pid, `${fromText(this.#directory)}/${name}`, ended);
      this.#take(id)?.resolve(begun);
    } catch (error) {
      // Its script has not begun.
      trySignal(-pid, 'SIGKILL');
      const reason = `the pipes of a forked process can't be opened: ${reasonOf(error)}`;
      this.#take(id)?.reject(new NotForked('refused', reason));
    }
    this.#endInput();
  }

  /** Ends the process; what it has forked, in sessions of their own, goes on. */
  readonly #end = (reason: string): void => {
    this.#lose(reason);
    this.#starting.abort(new Error(reason));
    void this.#process?.terminate(0);
  };

  #lose(reason: string): void {
    if (this.#state.kind !== 'closing' && this.#state.kind !== 'gone') this.#state = { kind: 'gone', reason };
    this.#failed(new NotForked('gone', reason));
    for (const id of [...this.#pending.keys()]) this.#take(id)?.reject(new NotForked('gone', reason));
  }

  #take(id: string): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(pending?.timer);
    return pending;
  }
}
