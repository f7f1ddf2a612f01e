/** How a request was answered, as its web server would have seen it, kept to be compared. */

import { Writable } from 'node:stream';

import type { ByteString, NameValues } from '../../bytes.js';
import { ran } from '../../daemon/run-ending.js';
import type { RequestEnd } from '../../observe/access-log.js';
import { describeExit } from '../../process/exit-status.js';
import type { Outcome } from '../../runners/runner.js';
import { Answer } from '../get/answer.js';
import { Kept, type Written } from './kept.js';

/** What is kept of a body, and of standard error. */
const MAX_BODY_BYTES = 16_777_216;
const MAX_STDERR_BYTES = 1_048_576;

export interface Answered {
  /** The HTTP status. */
  readonly status: number;
  /** By their names in lower case; the values of one that repeats, a line each. */
  readonly fields: ReadonlyMap<string, ByteString>;
  readonly body: Written;
  readonly stderr: Written;
  /** How its process has ended, for people. */
  readonly exit: string;
  readonly end: RequestEnd;
}

/** Takes one answer. */
export class AnswerTaker {
  readonly #body = new Kept(MAX_BODY_BYTES);
  readonly #stderr = new Kept(MAX_STDERR_BYTES);
  #header: ByteString = '';
  readonly #answer = new Answer({
    header: (octets) => {
      this.#header = octets.toString('latin1');
      return Promise.resolve(true);
    },
    body: (octets) => {
      this.#body.take(octets);
      return Promise.resolve(true);
    },
    stderr: (octets) => {
      this.#stderr.take(octets);
    },
  });

  readonly stdout = new Writable({
    write: (piece: Buffer, _encoding, done) => {
      this.#answer.take(piece).then(() => {
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
  async taken(outcome: Outcome, params: NameValues, signal: AbortSignal): Promise<Answered> {
    await new Promise<void>((resolve) => {
      this.stdout.end(resolve);
    });
    const { exit, startError } = outcome;
    const { end, document } = ran(outcome, { params, signal }, { hasAnswered: false });
    return {
      // Without a header, it is a document of the daemon's own that says why.
      status: document?.status ?? outcome.status ?? 500,
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
