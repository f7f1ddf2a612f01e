/** Runs scripts by fork servers, and the same ones anew, without FastCGI and without a daemon. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { EventEmitter } from 'node:events';
import { Readable } from 'node:stream';
import { after } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';

import type { Invocation } from '../../src/cgi/invocation.js';
import { shippedFile } from '../../src/daemon/package.js';
import { ProcessRunner, type StartScript } from '../../src/runners/process-runner.js';
import type { RunResult } from '../../src/runners/runner.js';
import { spawnScript } from '../../src/runners/start-queue.js';
import { type WarmOptions, WarmScripts } from '../../src/runners/warm/warm-scripts.js';
import { limits, requestBody } from './run-fixture.js';
import { Collector } from './sinks.js';
import { startProcess } from './spawn-method.js';

export interface Answered {
  readonly stdout: string;
  readonly stderr: string;
  readonly outcome: RunResult;
  /** Whether a fork server has made its process. */
  readonly isWarm: boolean;
}

/** What a web server gets, and the log. */
export interface Page {
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: unknown;
}

/** An answer as a page; without the time that Perl's CGI::Carp puts before each warning. */
export function pageOf({ stdout, stderr, outcome: { status, exit } }: Omit<Answered, 'isWarm'>): Page {
  return { status, stdout, stderr: stderr.replaceAll(/^\[[^\]]*\]/gm, ''), exit };
}

export interface WarmEvent {
  readonly level: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

const started: WarmScripts[] = [];

/** Runs it anew. */
export const spawned: StartScript = spawnScript(startProcess, 0);

after(async () => {
  for (const each of started) await each.close();
});

/** Runs an invocation to its end. */
export async function runBy(
  start: StartScript,
  invocation: Invocation,
  body = '',
  signal?: AbortSignal,
): Promise<Omit<Answered, 'isWarm'>> {
  const stdout = new Collector();
  const stderr = new Collector();
  const stdin = Readable.from(body === '' ? [] : [Buffer.from(body, 'latin1')]);
  const outcome = await new ProcessRunner(limits, start).run(
    invocation,
    { stdin: requestBody(stdin), stdout, stderr },
    signal ?? new AbortController().signal,
  );
  await new Promise((resolve) => stdout.end(resolve));
  return { stdout: stdout.text, stderr: stderr.text, outcome };
}

/** Fork servers that end with the tests of the file, and what they have had logged. */
export class Warm {
  readonly scripts: WarmScripts;
  readonly events: WarmEvent[] = [];
  readonly #emitter = new EventEmitter();
  #spawned = 0;

  constructor(options: Partial<WarmOptions> = {}) {
    this.scripts = new WarmScripts({
      spawn: (invocation, signal) => {
        this.#spawned++;
        return spawned(invocation, signal);
      },
      startServer: spawned,
      programs: shippedFile('scripts/warm'),
      maxForkServers: 16,
      idleTimeoutMs: 0,
      limits: { launcher: [], niceness: undefined, values: new Map() },
      loadTimeoutMs: 30_000,
      lookUpTimeoutMs: 0,
      onEvent: (level, fields, message) => {
        this.events.push({ level, fields, message });
        this.#emitter.emit('event');
      },
      ...options,
    });
    started.push(this.scripts);
  }

  /** Runs it warm if it can be, else anew. One at a time, so that it can be told which it was. */
  async run(invocation: Invocation, body = ''): Promise<Answered> {
    const before = this.#spawned;
    const answered = await runBy(this.scripts.start, invocation, body);
    return { ...answered, isWarm: this.#spawned === before };
  }

  /**
   * Has a fork server make the page before it has learned what that takes, and after; fails unless it is always the one of
   * a new process, and gives that.
   */
  async compared(invocation: Invocation, message: string): Promise<Page> {
    let expected: Page | undefined;
    let server: unknown;
    let now = await this.scripts.prepare(invocation);
    do {
      server = now;
      const answered = await this.run(invocation);
      // Later, for the first of all may make caches, which takes modules that others don't need.
      expected ??= pageOf(await runBy(spawned, invocation));
      assert.deepEqual(pageOf(answered), expected, message);
      assert.ok(answered.isWarm, message);
      now = await this.scripts.prepare(invocation);
    } while (!isDeepStrictEqual(now, server));
    return expected;
  }

  /** Resolves with the event that matches, now or later. */
  async event(pattern: RegExp): Promise<WarmEvent> {
    for (;;) {
      const found = this.events.find((event) =>
        pattern.test(`${event.message} ${JSON.stringify(event.fields)}`),
      );
      if (found !== undefined) return found;
      await once(this.#emitter, 'event');
    }
  }

  /** Runs it until it is answered by a fork server: by the first one, or by one that has loaded what was learned. */
  async warmUp(invocation: Invocation, { learned = true } = {}): Promise<void> {
    await this.run(invocation);
    await this.event(/ready .*"modules":0/);
    while (learned && !this.events.some(({ fields }) => Number(fields['modules']) > 0)) {
      await this.run(invocation);
      // What is run meanwhile takes the time of what is loaded.
      await delay(50);
    }
  }
}
