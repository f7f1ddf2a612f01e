/** The daemon that the fuzz command drives: the real one, on a socket of its own, and what the system says of it. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

import { ask } from '../helpers/ask.js';
import { commandLine, fixture } from '../helpers/bridge.js';
import { childrenOf, descriptorsOf, residentMiB, until } from '../helpers/processes.js';

/** Small, so that streams can exceed it. */
export const MAX_REQUESTS = 8;
const LOG_LINES = 20;
/** How much more memory the daemon may have when it is idle than it had after its first streams. */
const MAX_GROWTH_MIB = 48;

export class Target {
  readonly socket: string;
  /** Where the scripts lie: a path as long on every machine, so that a seed makes the same streams. */
  readonly root: string;
  readonly #directory = mkdtempSync(join(tmpdir(), 'fcgi2cgi-fuzz-'));
  readonly #mark = `FCGI2CGI_FUZZ=${this.#directory}`;
  readonly #child;
  readonly #log: string[] = [];
  #logProblem: string | undefined;
  #descriptors = 0;
  #residentMiB: number | undefined;

  private constructor() {
    this.socket = join(this.#directory, 'sock');
    this.root = join(this.#directory, 'cgi');
    symlinkSync(fixture('cgi'), this.root);
    const options = ['--max-requests-per-connection', String(MAX_REQUESTS), '--kill-grace', '1s'];
    const site = ['--root', this.root, '--listen', this.socket, '--env', this.#mark];
    const [file, ...words] = commandLine(['dir', ...site, ...options]);
    this.#child = spawn(file, words, {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    createInterface(this.#child.stderr).on('line', (line) => {
      this.#log.push(line);
      if (this.#log.length > LOG_LINES) this.#log.shift();
      // A stack is logged where the bridge itself is at fault; what is no line of the log, Node has printed.
      if (line.includes(' stack=') || !/^\d{4}-[\d-]+T\S+Z (info|warn|error) /.test(line))
        this.#logProblem ??= line;
    });
  }

  static async start(): Promise<Target> {
    const target = new Target();
    await until(() => target.#log.some((line) => line.includes(' info listening ')));
    await target.serves();
    // The end of the known request's connection and process may take a moment.
    do {
      target.#descriptors = target.descriptors;
      await delay(100);
    } while (target.descriptors !== target.#descriptors || target.#scripts().length > 0);
    return target;
  }

  get #pid(): number {
    return this.#child.pid ?? 0;
  }

  /** The last lines of its log. */
  get log(): string {
    return this.#log.join('\n');
  }

  get descriptors(): number {
    return descriptorsOf(this.#pid);
  }

  get residentMiB(): number {
    return residentMiB(this.#pid);
  }

  /** A known request must be answered as ever. @throws Error */
  async serves(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
      throw new Error(`the daemon has ended: ${String(this.#child.exitCode ?? this.#child.signalCode)}`);
    }
    if (this.#logProblem !== undefined) throw new Error(`the daemon logged: ${this.#logProblem}`);
    const body = '\0known \xff body\n';
    const params = { SCRIPT_FILENAME: `${this.root}/echoes-body.sh`, REQUEST_METHOD: 'POST' };
    const got = JSON.stringify(await ask(this.socket, params, body));
    const stdout = `Content-Type: application/octet-stream\n\n${body}`;
    const expected = JSON.stringify({ stdout, stderr: '', appStatus: 0, protocolStatus: 0 });
    if (got !== expected) throw new Error(`the known request was answered with ${got}`);
  }

  /** With no connection open, it must have what it had at its start. @throws Error */
  async isIdle(): Promise<void> {
    await until(() => this.descriptors === this.#descriptors && this.#scripts().length === 0).catch(() => {
      const had = `${String(this.descriptors)} descriptors, scripts ${this.#scripts().join()}`;
      throw new Error(`when idle the daemon has ${had}; at its start ${String(this.#descriptors)}, none`);
    });
    this.#residentMiB ??= this.residentMiB;
    if (this.residentMiB - this.#residentMiB > MAX_GROWTH_MIB) {
      throw new Error(
        `the daemon's memory has grown from ${this.#residentMiB.toFixed()} to ${this.residentMiB.toFixed()} MiB`,
      );
    }
  }

  /** SIGTERM: it must end by itself at once, and leave neither a process nor its socket. @throws Error */
  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const patience = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    await exited;
    clearTimeout(patience);
    const left = readdirSync(this.#directory).filter((name) => name !== 'cgi');
    const scripts = this.#scripts();
    this.remove();
    if (this.#child.exitCode !== 0 || left.length > 0 || scripts.length > 0) {
      const how = String(this.#child.exitCode ?? this.#child.signalCode);
      throw new Error(`SIGTERM: ended with ${how}, left files ${left.join()}, processes ${scripts.join()}`);
    }
  }

  /** Ends it in any case, and removes its directory. */
  remove(): void {
    this.#child.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** Processes that it has started, and theirs, whoever their parent is by now. */
  #scripts(): number[] {
    const marked = readdirSync('/proc').filter((pid) => {
      if (!/^\d+$/.test(pid)) return false;
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(this.#mark);
      } catch {
        return false;
      }
    });
    return [...new Set([...marked.map(Number), ...childrenOf(this.#pid)])];
  }
}
