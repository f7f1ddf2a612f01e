/**
 * Answers requests without a web server, each way: by new processes, and by processes of fork servers. The responses are
 * kept to be compared, as a web server would have seen them.
 */

import { createHash } from 'node:crypto';
import { pipeline, type Readable, Writable } from 'node:stream';

import { ByteBudget, type ByteString, fromBuffer, type NameValues } from '../../base/bytes.js';
import { BridgeError } from '../../base/errors.js';
import type { ResultWord } from '../../base/results.js';
import type { Invocation } from '../../cgi/invocation.js';
import type { ServedSiteConfiguration } from '../../daemon/configuration.js';
import { startAnew, warmScripts } from '../../daemon/make-runner.js';
import { resultOfRun } from '../../daemon/requests/request-result.js';
import type { Log } from '../../observe/log.js';
import { describeExit } from '../../process/exit-status.js';
import type { SetLimits } from '../../process/limits.js';
import { ProcessRunner } from '../../runners/process-runner.js';
import { RequestBody } from '../../runners/request-body.js';
import type { RunResult } from '../../runners/runner.js';
import type { Prepared, WarmScripts } from '../../runners/warm/warm-scripts.js';
import { ResponseReader } from '../get/response-reader.js';

/** How often it is tried to have a process forked: the script may change in between. */
const MAX_TRIES = 3;

export interface Run {
  readonly params: NameValues;
  readonly invocation: Invocation;
  readonly openBody: () => Readable;
}

function ignore(): void {
  // What of it is of interest, the result of a request says.
}

const silent: Log = { error: ignore, warn: ignore, info: ignore, debug: ignore };

/** Owns all processes until `close` has resolved. */
export class RunnerPair {
  readonly #configuration: ServedSiteConfiguration;
  readonly #signal: AbortSignal;
  readonly #warm: WarmScripts;
  readonly #spawning: ProcessRunner;
  readonly #forking: ProcessRunner;

  /** Both under the same limits. Aborting `signal` ends what runs. @throws BridgeError `ERR_START` */
  constructor(configuration: ServedSiteConfiguration, limits: SetLimits, signal: AbortSignal) {
    this.#configuration = configuration;
    this.#signal = signal;
    const { runner } = configuration;
    this.#warm = warmScripts(configuration, {
      maxForkServers: runner.maxForkServers,
      // One request after the other: no script's fork server has a claim on staying.
      minStayMs: 0,
      idleTimeoutMs: 0,
      limits,
      // Where nothing was forked, nothing is to run.
      spawn: () => Promise.reject(new BridgeError('ERR_SPAWN', 'nothing was forked')),
      onEvent: ignore,
    });
    this.#spawning = new ProcessRunner(configuration, startAnew(configuration, silent, limits));
    this.#forking = new ProcessRunner(configuration, this.#warm.start);
  }

  prepare({ invocation }: Run): Promise<Prepared> {
    return this.#warm.prepare(invocation);
  }

  async spawn(run: Run): Promise<RecordedResponse> {
    return (await this.#run(run, this.#spawning)).response;
  }

  /** Runs it in a process of a fork server, or resolves to why it can't be run so. */
  async fork(run: Run): Promise<RecordedResponse | string> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const prepared = await this.prepare(run);
      if (prepared.kind !== 'warm') return prepared.reason;
      const { response, isStarted } = await this.#run(run, this.#forking);
      if (isStarted) return response;
    }
    return 'its fork server forks nothing';
  }

  async close(): Promise<void> {
    await Promise.all([this.#spawning.destroy(), this.#forking.destroy()]);
    await this.#warm.close();
  }

  async #run(
    { params, invocation, openBody }: Run,
    runner: ProcessRunner,
  ): Promise<{ readonly response: RecordedResponse; readonly isStarted: boolean }> {
    const { stdinBufferBytes, maxSpoolBytes } = this.#configuration;
    const stdin = new RequestBody({
      bufferBytes: stdinBufferBytes,
      maxSpoolBytes,
      spoolBudget: new ByteBudget(maxSpoolBytes),
      mayWait: () => true,
      onProblem: ignore,
    });
    // An error of the source is found in `errored` of the body.
    pipeline(openBody(), stdin, ignore);
    const recorder = new ResponseRecorder();
    const { stdout, stderr } = recorder;
    const outcome = await runner.run(invocation, { stdin, stdout, stderr }, this.#signal);
    stdin.destroy();
    const response = await recorder.recorded(outcome, params, this.#signal);
    return { response, isStarted: outcome.startError === undefined };
  }
}

/** What is kept of a body, and of standard error. */
const MAX_BODY_BYTES = 16_777_216;
const MAX_STDERR_BYTES = 1_048_576;

export interface RecordedResponse {
  readonly status: number;
  /** By their names in lower case; the values of one that repeats, a line each. */
  readonly fields: ReadonlyMap<string, ByteString>;
  readonly body: Written;
  readonly stderr: Written;
  readonly exit: string;
  readonly end: ResultWord;
}

/** Takes one answer. */
export class ResponseRecorder {
  readonly #body = new CappedCopy(MAX_BODY_BYTES);
  readonly #stderr = new CappedCopy(MAX_STDERR_BYTES);
  #header: ByteString = '';
  readonly #reader = new ResponseReader({
    header: (bytes) => {
      this.#header = bytes.toString('latin1');
      return Promise.resolve(true);
    },
    body: (bytes) => {
      this.#body.take(bytes);
      return Promise.resolve(true);
    },
    stderr: (bytes) => {
      this.#stderr.take(bytes);
    },
  });

  readonly stdout = new Writable({
    write: (piece: Buffer, _encoding, done) => {
      this.#reader.take(piece).then(() => {
        done();
      }, done);
    },
  });
  readonly stderr = new Writable({
    write: (piece: Buffer, _encoding, done) => {
      this.#stderr.take(piece);
      done();
    },
  });

  /** The answer, once its run is over. */
  async recorded(outcome: RunResult, params: NameValues, signal: AbortSignal): Promise<RecordedResponse> {
    await new Promise<void>((resolve) => {
      this.stdout.end(resolve);
    });
    const { exit, startError } = outcome;
    const { word: end, page } = resultOfRun(outcome, { params, signal }, { hasAnswered: false });
    return {
      // Without a header, it is a document of the daemon's own that says why.
      status: page?.status ?? outcome.status ?? 500,
      fields: fieldsOf(this.#header),
      body: this.#body.written,
      stderr: this.#stderr.written,
      exit: exit === undefined ? (startError?.message ?? 'not started') : describeExit(exit),
      end,
    };
  }
}

function fieldsOf(header: ByteString): ReadonlyMap<string, ByteString> {
  const fields = new Map<string, ByteString>();
  for (const line of header.split(/\r?\n/)) {
    const [written = '', ...value] = line.split(':');
    if (written === '') continue;
    const name = written.toLowerCase();
    const known = fields.get(name);
    const text = value.join(':').trim();
    fields.set(name, known === undefined ? text : `${known}\n${text}`);
  }
  return fields;
}

export interface Written {
  readonly beginning: ByteString;
  readonly bytes: number;
  readonly sha256: string;
}

export class CappedCopy {
  readonly #maxBytes: number;
  readonly #hash = createHash('sha256');
  readonly #pieces: Buffer[] = [];
  #keptBytes = 0;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  take(piece: Buffer): void {
    this.#hash.update(piece);
    this.#bytes += piece.length;
    const kept = piece.subarray(0, this.#maxBytes - this.#keptBytes);
    if (kept.length > 0) this.#pieces.push(kept);
    this.#keptBytes += kept.length;
  }

  get written(): Written {
    const beginning = fromBuffer(Buffer.concat(this.#pieces));
    return { beginning, bytes: this.#bytes, sha256: this.#hash.copy().digest('hex') };
  }
}
