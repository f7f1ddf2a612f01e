/** Makes the processes of scripts by forking them from fork servers, and in the way that always works where a fork server is missing. */

import { type ByteString, toText } from '../../base/bytes.js';
import type { WarmStatus } from '../../base/runner-status.js';
import type { Invocation } from '../../cgi/invocation.js';
import { Deadline } from '../../base/timer.js';
import type { SetLimits } from '../../process/limits.js';
import type { StartScript } from '../process-runner.js';
import { ForkServer } from './fork-server.js';
import { type InterpretedScript, Interpreters, type Language } from './interpreter.js';
import type { Variables } from './messages.js';
import { WarmScript } from './warm-script.js';

/** See `minStayMs`. */
const MIN_STAY_MS = 10_000;
/** Scripts that are remembered, with fork servers or without, and things that were said of them. */
const MAX_REMEMBERED = 1_000;

export interface WarmOptions {
  /** The way that always works. */
  readonly spawn: StartScript;
  /** Starts the processes of fork servers; it must not wait for ever. */
  readonly startServer: StartScript;
  /** The shipped fork servers' directory (`scripts/warm`). */
  readonly programs: ByteString;
  /** Without those that are about to take another one's place. */
  readonly maxForkServers: number;
  /** Fork servers of a script are not ended for another script's within this time of a request. */
  readonly minStayMs?: number;
  /** Time without a request after which a script's fork servers end; 0 for never. */
  readonly idleTimeoutMs: number;
  /** What each process of a request may use. */
  readonly limits: SetLimits;
  /** How long it may take to look at a program; 0 for as long as it takes. */
  readonly lookUpTimeoutMs: number;
  /** How long a fork server may take to load; 0 for as long as it wants. */
  readonly loadTimeoutMs: number;
  /** Takes events for the log; what comes again and again is told once. */
  readonly onEvent: (
    level: 'info' | 'warn',
    fields: Readonly<Record<string, unknown>>,
    message: string,
  ) => void;
}

/** Whether a process would be forked, by which fork server; or why not: no fork server serves, or could ever. */
export type Prepared =
  | { readonly kind: 'warm'; readonly pid: number | undefined }
  | { readonly kind: 'unfit' | 'other'; readonly reason: string };

/** Owns the fork servers until `close` has resolved. */
export class WarmScripts {
  readonly #options: WarmOptions;
  /** What was said: a limited number, further ones are never told. */
  readonly #said = new Set<string>();
  /** Why scripts are run by spawn, as far as it was said since they were last run warm. */
  readonly #problems = new Map<string, Set<string>>();
  readonly #interpreters = new Interpreters(MAX_REMEMBERED);
  readonly #scripts = new Map<string, WarmScript>();
  /** The fork servers, and whose they are. */
  readonly #servers = new Map<ForkServer, ByteString>();
  readonly #idleTimer: NodeJS.Timeout | undefined;
  #serversStarted = 0;
  #forks = 0;
  #isClosed = false;

  constructor(options: WarmOptions) {
    this.#options = options;
    const { idleTimeoutMs } = options;
    if (idleTimeoutMs > 0)
      this.#idleTimer = setInterval(() => {
        this.#endIdle(idleTimeoutMs);
      }, idleTimeoutMs / 2);
    this.#idleTimer?.unref();
  }

  /** Makes the process of an invocation. @throws BridgeError `ERR_SPAWN` */
  readonly start: StartScript = async (invocation, signal) => {
    const { lookUpTimeoutMs } = this.#options;
    const found = await this.#interpreters.find(invocation, new Deadline(signal, lookUpTimeoutMs));
    if (found.kind === 'other') {
      this.#say('info', { script: toText(invocation.file) }, `a program is not run warm: ${found.reason}`);
    } else if (!this.#isClosed && !hasNul(invocation)) {
      const forked = await this.#script(found, invocation).fork(invocation, found.args);
      if (forked !== undefined) {
        this.#forks += 1;
        return forked;
      }
    }
    return this.#options.spawn(invocation, signal);
  };

  /**
   * Waits until `start` would fork the invocation's process from a fork server that has loaded all that was learned so
   * far, or says why it would not.
   */
  async prepare(invocation: Invocation): Promise<Prepared> {
    const found = await this.#interpreters.find(invocation);
    if (found.kind === 'other') return found;
    if (this.#isClosed) return { kind: 'unfit', reason: 'it is no longer wanted' };
    const server = await this.#script(found, invocation).prepare(invocation);
    return typeof server === 'string' ? { kind: 'unfit', reason: server } : { kind: 'warm', pid: server.pid };
  }

  status(): WarmStatus {
    const now = performance.now();
    return {
      forkServersStarted: this.#serversStarted,
      forks: this.#forks,
      forkServers: [...this.#servers].map(([{ pid, state, startedAt, forks, prepared }, script]) => {
        return { script: toText(script), pid, state, ageMs: now - startedAt, forks, prepared };
      }),
    };
  }

  /** Ends the fork servers. Resolves when they are gone, and with them all that they have forked. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#idleTimer);
    for (const script of this.#scripts.values()) script.close();
    this.#scripts.clear();
    await Promise.all([...this.#servers.keys()].map((server) => server.gone));
  }

  #script(found: InterpretedScript, invocation: Invocation): WarmScript {
    const start = startVariables(invocation.variables);
    const { language, interpreter, programs, script } = found;
    const key = JSON.stringify([interpreter, script, invocation.directory, [...start].sort()]);
    const known = this.#scripts.get(key);
    if (known !== undefined) return known;
    const fields = { script: toText(script) };
    const made = new WarmScript({
      makeServer: (variables, modules, onLearned, isReplacement) => {
        if (!isReplacement && !this.#hasPlace()) return undefined;
        const [file, ...args] = [...interpreter, ...this.#program(language), script] as const;
        const server = new ForkServer({
          start: (signal) =>
            this.#options.startServer(
              { file, args, directory: invocation.directory, variables: start },
              signal,
            ),
          load: { start, variables, modules, limits: this.#options.limits.values, programs },
          loadTimeoutMs: this.#options.loadTimeoutMs,
          onLearned,
          onUnprepared: (reason) => {
            this.#say('info', { ...fields, reason }, 'a script is not prepared for some requests');
          },
        });
        this.#serversStarted += 1;
        this.#servers.set(server, script);
        void server.gone.then(() => this.#servers.delete(server));
        return server;
      },
      onProblem: (reason) => {
        this.#sayProblem(fields.script, reason);
      },
      onServing: ({ pid }, modules) => {
        this.#problems.delete(fields.script);
        this.#options.onEvent('info', { ...fields, pid, modules }, 'a fork server is ready');
      },
    });
    if (this.#scripts.size >= MAX_REMEMBERED) this.#forgetOldest();
    this.#scripts.set(key, made);
    return made;
  }

  /** Where the interpreter finds what makes a fork server of it. */
  #program(language: Language): readonly ByteString[] {
    const { programs } = this.#options;
    switch (language) {
      case 'python':
        return [`${programs}/python/fork_server.py`];
      case 'perl':
        return [`-I${programs}/perl`, '-MFcgi2cgi::ForkServer'];
    }
  }

  /** Whether there may be one more; makes place at the cost of the script that was not asked for the longest time. */
  #hasPlace(): boolean {
    const scripts = [...this.#scripts.values()].filter(({ servers }) => servers > 0);
    const servers = scripts.reduce((sum, script) => sum + script.servers, 0);
    const { maxForkServers, minStayMs = MIN_STAY_MS } = this.#options;
    if (servers < maxForkServers) return true;
    const [oldest] = scripts.sort((one, other) => one.usedAt - other.usedAt);
    if (oldest === undefined || performance.now() - oldest.usedAt < minStayMs) return false;
    oldest.rest();
    return true;
  }

  #say(level: 'info' | 'warn', fields: Readonly<Record<string, string>>, message: string): void {
    const event = JSON.stringify([fields, message]);
    if (this.#said.has(event) || this.#said.size >= MAX_REMEMBERED) return;
    this.#said.add(event);
    this.#options.onEvent(level, fields, message);
  }

  /** Says it once until the script is run warm again; what differs in names of files and in numbers is the same. */
  #sayProblem(script: string, reason: string): void {
    const said = this.#problems.get(script) ?? new Set();
    const kind = reason.replaceAll(/'[^']*'|\d+/g, '');
    if (said.has(kind)) return;
    if (this.#problems.size >= MAX_REMEMBERED) this.#problems.clear();
    this.#problems.set(script, said.add(kind));
    this.#options.onEvent('warn', { script, reason }, 'a script is run by spawn for a while');
  }

  #endIdle(idleTimeoutMs: number): void {
    const since = performance.now() - idleTimeoutMs;
    for (const [key, script] of this.#scripts) {
      if (script.usedAt > since) continue;
      script.close();
      this.#scripts.delete(key);
    }
  }

  #forgetOldest(): void {
    const [key, script] = [...this.#scripts].reduce((oldest, each) =>
      each[1].usedAt < oldest[1].usedAt ? each : oldest,
    );
    script.close();
    this.#scripts.delete(key);
  }
}

/** What no command can hold, the other way refuses with the right words. */
function hasNul({ args, directory, variables }: Invocation): boolean {
  return [...args, directory, ...variables.values()].some((bytes) => bytes.includes('\0'));
}

const names =
  /^(PATH|HOME|USER|LOGNAME|SHELL|TZ|TZDIR|TMPDIR|TEMP|TMP|LANG|LANGUAGE|LC_.*|LOCPATH|NLSPATH|GCONV_PATH|LD_.*|DYLD_.*|GLIBC_TUNABLES|MALLOC_.*|PYTHON.*|PERL.*|PYENV_.*|PLENV_.*|VIRTUAL_ENV|OPENSSL_.*|SSL_CERT_.*)$/;

/**
 * Those of a request's. A fork server is started with them and serves requests that have the same; it gets no others, as
 * those of its first request would be in its processes' /proc/self/environ for ever.
 */
export function startVariables(variables: Variables): Variables {
  return new Map([...variables].filter(([name]) => names.test(name)));
}
