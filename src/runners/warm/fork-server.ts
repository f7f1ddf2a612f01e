/** One fork server: its process, what it is asked, and the processes that it has forked for us. */

import { rm } from 'node:fs/promises';

import { type ByteString, fromBuffer, fromText } from '../../bytes.js';
import type { Invocation } from '../../cgi/invocation.js';
import { reasonOf } from '../../errors.js';
import { describeExit, type ExitStatus } from '../../process/exit-status.js';
import { OwnedProcess } from '../../process/owned-process.js';
import { groupRuns, signalGroup } from '../../process/process-group.js';
import {
  type Answer,
  decodeAnswer,
  encodeMessage,
  reasonText,
  type Message,
  type Variables,
} from './messages.js';
import { openEnds } from './named-pipes.js';
import { makePipeDirectory } from './pipe-directory.js';

/** How long a fork server may take to fork; one that takes longer is of no use. */
const MAX_FORK_MS = 5_000;
/** The longest line that one says: the names and files of all the modules that a script has loaded. */
const MAX_LINE_BYTES = 4_194_304;
/** What is kept of its standard error, to say why it has ended. */
const STDERR_TAIL_BYTES = 1_000;
/** Pause between looks at a process whose fork server is gone: nothing reports its end. */
const ORPHAN_POLL_MS = 50;
/** What nobody can tell any more, as the fork server that has it is gone. */
const UNKNOWN_EXIT: ExitStatus = { kind: 'exited', code: 1 };

/** Why a fork server has not forked: it is `stale`, or it is of no use any more; the request can run otherwise. */
export class NotForked extends Error {
  readonly why: 'stale' | 'refused' | 'gone';

  constructor(why: NotForked['why'], message: string) {
    super(message);
    this.name = 'NotForked';
    this.why = why;
  }
}

/** Variables that decided what was loaded; those without a value were not there. */
export type SeenVariables = ReadonlyMap<ByteString, ByteString | undefined>;

export interface ForkServerOptions {
  /** Starts the fork server's own process. */
  readonly start: () => Promise<OwnedProcess>;
  /** The variables of its own process and of the request that it is started for, and what to load ahead. */
  readonly load: Pick<Extract<Message, { kind: 'load' }>, 'start' | 'variables' | 'modules' | 'limits'>;
  /** How long it may take to load; 0 for as long as it wants. */
  readonly loadTimeoutMs: number;
  /** It has taught us which modules its script loads. */
  readonly onLearned: (modules: Variables) => void;
}

type State =
  | { readonly kind: 'loading' }
  | { readonly kind: 'serving' }
  | { readonly kind: 'closing' }
  | { readonly kind: 'gone'; readonly reason: string };

interface Pending {
  readonly resolve: (started: OwnedProcess) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** Owns its process until `gone` has resolved; those that it has forked belong to whoever has asked for them. */
export class ForkServer {
  /** Resolves to the variables that were read while it loaded, and what they were. Rejects if it can't serve. */
  readonly ready: Promise<SeenVariables>;
  /** Resolves when its process is gone, and with it all that it has forked; to why, if nobody wanted that. */
  readonly gone: Promise<string | undefined>;

  /** When it was started; by `performance.now()`. */
  readonly startedAt = performance.now();

  readonly #options: ForkServerOptions;
  readonly #pending = new Map<string, Pending>();
  readonly #running = new Map<number, (exit: ExitStatus) => void>();
  #state: State = { kind: 'loading' };
  #process: OwnedProcess | undefined;
  #directory = '';
  #line = '';
  #stderr = '';
  #count = 0;
  #forks = 0;
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
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#end(`it took longer than ${String(MAX_FORK_MS)} ms to fork`);
      }, MAX_FORK_MS);
      this.#pending.set(id, { resolve, reject, timer });
      const { directory, variables } = invocation;
      this.#tell({ kind: 'run', id, learn, directory, args, variables });
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
    if (this.#state.kind === 'closing' && this.#pending.size === 0) this.#process?.stdin.end();
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
    const own = await this.#options.start();
    this.#process = own;
    // EPIPE: it is gone, and its end says why.
    own.stdin.on('error', () => undefined);
    own.stdout.on('data', (octets: Buffer) => {
      this.#take(octets);
    });
    own.stderr.on('data', (octets: Buffer) => {
      this.#stderr = (this.#stderr + octets.toString('utf8')).slice(-STDERR_TAIL_BYTES);
    });
    const { load, loadTimeoutMs } = this.#options;
    const timer =
      loadTimeoutMs > 0
        ? setTimeout(() => {
            if (this.#state.kind === 'loading') this.#end('it took too long to load');
          }, loadTimeoutMs)
        : undefined;
    if (this.#state.kind === 'loading')
      this.#tell({ kind: 'load', directory: fromText(this.#directory), ...load });
    else void own.terminate(0);
    // With the last that it has said.
    const closed = new Promise((resolve) => own.stdout.once('close', resolve));
    const exit = await own.exited;
    clearTimeout(timer);
    await closed;
    const said = this.#stderr.trim().split('\n').at(-1) ?? '';
    this.#lose(`its fork server ended with ${describeExit(exit)}${said === '' ? '' : `: ${said}`}`);
    await Promise.all(
      [...this.#running].map(([pid, ended]) =>
        orphanEnded(pid).then(() => {
          ended(UNKNOWN_EXIT);
        }),
      ),
    );
  }

  #tell(message: Message): void {
    this.#process?.stdin.write(encodeMessage(message));
  }

  #take(octets: Buffer): void {
    const lines = (this.#line + fromBuffer(octets)).split('\n');
    this.#line = lines.pop() ?? '';
    for (const line of lines) {
      const answer = decodeAnswer(line);
      if (answer === undefined) this.#end('it said what is no answer');
      else this.#answer(answer);
    }
    if (this.#line.length > MAX_LINE_BYTES) this.#end('it said too much');
  }

  #answer(answer: Answer): void {
    switch (answer.kind) {
      case 'ready': {
        if (this.#state.kind !== 'loading') return;
        this.#state = { kind: 'serving' };
        const { variables } = this.#options.load;
        this.#readied(new Map(answer.variables.map((name) => [name, variables.get(name)])));
        return;
      }
      case 'unfit':
        this.#lose(reasonText(answer.reason));
        return;
      case 'forked':
        this.#forked(answer);
        return;
      case 'stale':
      case 'refused':
        this.#refused(answer);
        return;
      case 'ended':
        this.#running.get(answer.pid)?.(answer.exit);
        this.#running.delete(answer.pid);
        return;
      case 'learned':
        this.#options.onLearned(answer.modules);
    }
  }

  #forked({ id, pid, name }: Extract<Answer, { kind: 'forked' }>): void {
    this.#forks += 1;
    const pending = this.#settle(id);
    const ended = new Promise<ExitStatus>((resolve) => this.#running.set(pid, resolve));
    try {
      // Nobody waits for it any more.
      if (pending === undefined) throw new Error('it took too long');
      const ends = openEnds(`${fromText(this.#directory)}/${name}`);
      const exited = ended.then((exit) => {
        // As Node does: nobody is left to read it, though something that it has started may hold the other end.
        ends.stdin.destroy();
        return exit;
      });
      pending.resolve(new OwnedProcess({ pid, ...ends, exited }));
    } catch (error) {
      // Its script has not begun.
      signalGroup(pid, 'SIGKILL');
      pending?.reject(
        new NotForked('refused', `the pipes of a forked process can't be opened: ${reasonOf(error)}`),
      );
    }
    this.#endInput();
  }

  #refused({ kind, id, reason }: Extract<Answer, { kind: 'refused' | 'stale' }>): void {
    this.#settle(id)?.reject(new NotForked(kind, reasonText(reason)));
    this.#endInput();
  }

  #settle(id: string): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(pending?.timer);
    return pending;
  }

  /** Ends the process; what it has forked, in sessions of their own, goes on. */
  #end(reason: string): void {
    this.#lose(reason);
    void this.#process?.terminate(0);
  }

  #lose(reason: string): void {
    if (this.#state.kind !== 'closing' && this.#state.kind !== 'gone') this.#state = { kind: 'gone', reason };
    this.#failed(new NotForked('gone', reason));
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(new NotForked('gone', reason));
  }
}

async function orphanEnded(pid: number): Promise<void> {
  while (await groupRuns(pid)) await new Promise((resolve) => setTimeout(resolve, ORPHAN_POLL_MS));
}
