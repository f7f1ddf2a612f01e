/** One daemon of the soak: the real one, its access log and its rotation, and what the system says of it. */

import { mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { ask } from '../helpers/ask.js';
import { type Bridge, startBridge } from '../helpers/bridge.js';
import { childrenOf, descriptorsOf, residentMiB, until } from '../helpers/processes.js';
import { type AccessLine, miscounted, readAccessLines } from './access-lines.js';

/** How much more memory it may have at the end than it had when every kind of load had been run. */
export const MAX_GROWTH_MIB = 48;
const EXIT_MS = 15_000;

export interface WatchedOptions {
  /** Takes the socket, the logs and what the daemon regards as the directory for temporary files. */
  readonly directory: string;
  /** The command of its site and its options, without those of listening and logging. */
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

export class Watched {
  readonly socket: string;
  readonly #bridge: Bridge;
  readonly #directory: string;
  readonly #mark: string;
  #rotations = 0;
  #firstDescriptors = 0;
  #firstMiB: number | undefined;

  private constructor(bridge: Bridge, directory: string, mark: string) {
    this.#bridge = bridge;
    this.#directory = directory;
    this.#mark = mark;
    this.socket = join(directory, 'sock');
  }

  /** Starts it; it has answered one request and is idle then. */
  static async start({ directory, args, env = process.env }: WatchedOptions): Promise<Watched> {
    const temporary = join(directory, 'temp');
    mkdirSync(temporary, { recursive: true });
    const mark = `FCGI2CGI_SOAK=${directory}`;
    const [command = '', ...options] = args;
    const own = ['--listen', join(directory, 'sock'), '--env', mark, '--log-format', 'json'];
    const bridge = await startBridge(
      [command, ...own, '--access-log', join(directory, 'access'), ...options],
      { ...env, TMPDIR: temporary },
    );
    const watched = new Watched(bridge, directory, mark);
    await ask(watched.socket);
    await until(() => watched.processes().length === 0);
    // The end of that request's connection may take a moment.
    do {
      watched.#firstDescriptors = watched.descriptors;
      await delay(100);
    } while (watched.descriptors !== watched.#firstDescriptors);
    return watched;
  }

  get pid(): number {
    return this.#bridge.process.pid ?? 0;
  }

  get descriptors(): number {
    return descriptorsOf(this.pid);
  }

  get residentMiB(): number {
    return residentMiB(this.pid);
  }

  /** What it was like at first, for comparison: descriptors when it had started, memory when it had warmed up. */
  get first(): { readonly descriptors: number; readonly residentMiB: number } {
    return { descriptors: this.#firstDescriptors, residentMiB: this.#firstMiB ?? NaN };
  }

  warmedUp(): void {
    this.#firstMiB = this.residentMiB;
  }

  get hasEnded(): boolean {
    return this.#bridge.process.exitCode !== null || this.#bridge.process.signalCode !== null;
  }

  /** Moves the access log away and has it begun anew. */
  rotate(): void {
    const file = join(this.#directory, 'access');
    // Until the daemon has obeyed it writes to the moved file, and there is no new one to be moved.
    if (!readdirSync(this.#directory).includes('access')) return;
    renameSync(file, `${file}.${String(++this.#rotations)}`);
    process.kill(this.pid, 'SIGHUP');
  }

  /** Processes that it has started, and theirs, whoever their parent is by now. */
  processes(): number[] {
    const marked = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && this.#hasMark(pid));
    return [...new Set([...marked.map(Number), ...childrenOf(this.pid)])];
  }

  #hasMark(pid: string): boolean {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(this.#mark);
    } catch {
      return false;
    }
  }

  /** Waits until it is idle, at most so long; says what is not as it was at first. */
  async settle(patienceMs: number): Promise<string[]> {
    const isIdle = (): boolean =>
      this.descriptors === this.#firstDescriptors && this.processes().length === 0;
    const deadline = performance.now() + patienceMs;
    while (!this.hasEnded && !isIdle() && performance.now() < deadline) await delay(50);
    if (this.hasEnded) return [`it has ended: ${this.#how()}`];
    const problems: string[] = [];
    const { descriptors } = this;
    if (descriptors !== this.#firstDescriptors) {
      problems.push(`${String(descriptors)} descriptors, at its start ${String(this.#firstDescriptors)}`);
    }
    const left = this.processes();
    if (left.length > 0) problems.push(`processes ${left.join()} are left`);
    const grown = this.residentMiB - (this.#firstMiB ?? Infinity);
    if (grown > MAX_GROWTH_MIB) problems.push(`its memory has grown by ${grown.toFixed()} MiB`);
    return problems;
  }

  /** SIGTERM; says what it has left, and what is wrong with its logs. */
  async stop(): Promise<{ readonly problems: string[]; readonly lines: AccessLine[] }> {
    const patience = setTimeout(() => this.#bridge.process.kill('SIGKILL'), EXIT_MS);
    await this.#bridge.stop();
    clearTimeout(patience);
    const problems: string[] = [];
    if (this.#bridge.process.exitCode !== 0) problems.push(`SIGTERM: it ended with ${this.#how()}`);
    const temporary = readdirSync(join(this.#directory, 'temp'));
    if (temporary.length > 0) problems.push(`temporary files are left: ${temporary.join()}`);
    const names = readdirSync(this.#directory);
    if (names.includes('sock')) problems.push('its socket is left');
    const logs = names.filter((name) => name.startsWith('access'));
    const lines = readAccessLines(logs.map((name) => join(this.#directory, name)));
    return { problems: [...problems, ...miscounted(lines), ...this.#logProblems()], lines };
  }

  /** Ends it and all that it has started, in any case. */
  kill(): void {
    this.#bridge.process.kill('SIGKILL');
    for (const pid of this.processes()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
  }

  #how(): string {
    return String(this.#bridge.process.exitCode ?? this.#bridge.process.signalCode);
  }

  /** A stack is logged where the bridge itself is at fault; what is no JSON, Node has printed. */
  #logProblems(): string[] {
    return this.#bridge
      .log()
      .split('\n')
      .filter((line) => line !== '' && (!line.startsWith('{') || line.includes('"stack":')))
      .map((line) => `it logged: ${line}`);
  }
}
