/** Runs a fixture with the spawn runner, without FastCGI and without a daemon. */

import { dirname } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';

import { ByteBudget, fromText } from '../../src/base/bytes.js';
import type { Invocation } from '../../src/cgi/invocation.js';
import { RequestBody, type RequestBodyOptions } from '../../src/runners/request-body.js';
import type { RunResult, RunLimits, RunStreams } from '../../src/runners/runner.js';
import { spawnScript } from '../../src/runners/start-queue.js';
import { ProcessRunner } from '../../src/runners/process-runner.js';
import { fixture } from './bridge.js';
import { Collector } from './sinks.js';
import { startProcess } from './spawn-method.js';

/** No limit but those that keep a failed test from leaving a process. */
export const limits: RunLimits = {
  startTimeoutMs: 0,
  idleTimeoutMs: 0,
  maxTimeMs: 60_000,
  killGraceMs: 200,
  maxHeaderBytes: 65_536,
  stderrTailBytes: 4_096,
  holdDuringUploadBytes: 65_536,
  holdUntilExitBytes: 0,
};

export interface RunOptions {
  readonly args?: readonly string[];
  readonly limits?: Partial<RunLimits>;
  /** The request's body, as it comes. */
  readonly stdin?: Readable;
  readonly body?: Partial<RequestBodyOptions>;
  readonly stdout?: Writable;
  readonly invocation?: Partial<Invocation>;
  readonly signal?: AbortSignal;
}

export interface Run {
  readonly stdout: Collector;
  readonly stderr: Collector;
  readonly runner: ProcessRunner;
  readonly streams: RunStreams;
  readonly outcome: Promise<RunResult>;
}

/** A body as a responder makes it of what comes, on a connection that carries no other request. */
export function requestBody(source: Readable, options: Partial<RequestBodyOptions> = {}): RequestBody {
  const body = new RequestBody({
    bufferBytes: 65_536,
    maxSpoolBytes: 1_000_000_000,
    spoolBudget: new ByteBudget(1_000_000_000),
    mayWait: () => true,
    onProblem: () => undefined,
    ...options,
  });
  source.pipe(body);
  source.once('close', () => {
    if (!source.readableEnded) body.destroy(source.errored ?? undefined);
  });
  // As the connection does, which reads what comes behind it.
  body.once('close', () => source.resume());
  return body;
}

/** Starts the fixture; `stdout` of the options takes the answer in place of the one that is returned. */
export function runFixture(name: string, options: RunOptions = {}): Run {
  const file = fixture(`cgi/${name}`);
  const stdout = new Collector();
  const stderr = new Collector();
  const streams: RunStreams = {
    stdin: requestBody(options.stdin ?? Readable.from([]), options.body),
    stdout: options.stdout ?? stdout,
    stderr,
  };
  const runner = new ProcessRunner({ ...limits, ...options.limits }, spawnScript(startProcess, 0));
  const run = runner.run(
    {
      file: fromText(file),
      args: options.args ?? [],
      directory: fromText(dirname(file)),
      variables: new Map([['PATH', '/usr/bin:/bin']]),
      ...options.invocation,
    },
    streams,
    options.signal ?? new AbortController().signal,
  );
  // What the script has written last waits a turn for its request’s end, which comes from nobody here.
  const outcome = run.then(async (result) => {
    await turn();
    return result;
  });
  return { stdout, stderr, runner, streams, outcome };
}

/** The same for a shell script of one line. */
export function runShell(script: string, options: RunOptions = {}): Run {
  const invocation = { file: '/bin/sh', args: ['-c', script, 'sh', ...(options.args ?? [])] };
  return runFixture('', { ...options, invocation: { ...invocation, directory: '/', ...options.invocation } });
}

/** Resolves when the sink's text matches, with what its first group matched. */
export function printed(sink: Collector, pattern: RegExp): Promise<string> {
  return new Promise((resolve) => {
    const write = sink._write.bind(sink);
    const look = (): void => {
      const match = pattern.exec(sink.text);
      if (match !== null) resolve(match[1] ?? match[0]);
    };
    sink._write = (chunk: Buffer, encoding, done) => {
      write(chunk, encoding, done);
      look();
    };
    look();
  });
}
