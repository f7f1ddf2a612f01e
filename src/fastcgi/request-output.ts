/** What a request answers: STDOUT and STDERR, as records (FastCGI 1.0 §3.3, §5.3). */

import { Writable } from 'node:stream';

import { RecordType } from './constants.js';
import { streamEnd, streamRecords } from './record-writer.js';

/** What is left of STDOUT goes out with its end up to so much, which sockets take at once; the transport has to have more. */
const MAX_LAST_BYTES = 65_536;

/** Sends octets in order; calls `done` when the transport can take more. */
export type Send = (octets: readonly Buffer[], done?: () => void) => void;

export class RequestOutput {
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly #requestId: number;
  readonly #send: Send;
  #firstOctetAt: number | undefined;
  #stdoutBytes = 0;
  #hasStderr = false;
  /** Whether the streams are just being ended: what comes then was corked, and nothing is under way before it. */
  #isEnding = false;
  /** What of STDOUT goes out with its end. */
  #last: readonly Buffer[] = [];

  constructor(requestId: number, send: Send) {
    this.#requestId = requestId;
    this.#send = send;
    this.stdout = this.#stream(RecordType.STDOUT);
    this.stderr = this.#stream(RecordType.STDERR);
  }

  /** When the first octet of STDOUT was handed to the transport, by `performance.now()`. */
  get firstOctetAt(): number | undefined {
    return this.#firstOctetAt;
  }

  /** Octets of STDOUT that were handed to the transport. */
  get stdoutBytes(): number {
    return this.#stdoutBytes;
  }

  /**
   * Ends both streams; resolves when the transport has all of what was written, or when they were dropped. Their ends
   * are left to be sent, with what of STDOUT has still waited to be written: `endRecords`.
   */
  async end(): Promise<void> {
    this.#isEnding = true;
    const streams = [flushed(this.stdout), flushed(this.stderr)];
    this.#isEnding = false;
    await Promise.all(streams);
  }

  /**
   * What is left of STDOUT, its end, and that of STDERR if there was any: for one write with END_REQUEST, so that a web
   * server has nothing of a small answer, or all.
   */
  get endRecords(): readonly Buffer[] {
    const types = this.#hasStderr ? [RecordType.STDOUT, RecordType.STDERR] : [RecordType.STDOUT];
    return [...this.#last, ...types.map((type) => streamEnd(type, this.#requestId))];
  }

  /** Forgets what the transport has not taken yet. */
  drop(): void {
    this.stdout.destroy();
    this.stderr.destroy();
  }

  #stream(type: number): Writable {
    const send = (chunks: readonly Buffer[], done: () => void): void => {
      const octets = chunks.flatMap((chunk) => streamRecords(type, this.#requestId, chunk));
      if (octets.length === 0) {
        // Nothing was written; a record without content would end the stream.
        done();
        return;
      }
      if (type === RecordType.STDOUT) this.#countStdout(chunks);
      else this.#hasStderr = true;
      if (type === RecordType.STDOUT && this.#isEnding && bytesOf(octets) <= MAX_LAST_BYTES) {
        this.#last = octets;
        done();
        return;
      }
      this.#send(octets, done);
    };
    return new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        send([chunk], done);
      },
      writev: (chunks, done) => {
        send(
          chunks.map(({ chunk }) => chunk as Buffer),
          done,
        );
      },
    });
  }

  #countStdout(chunks: readonly Buffer[]): void {
    this.#firstOctetAt ??= performance.now();
    for (const chunk of chunks) this.#stdoutBytes += chunk.length;
  }
}

/** Ends a stream; resolves when it has passed everything on, or was destroyed. */
function flushed(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (stream.closed) resolve();
    else stream.once('close', resolve);
    stream.end();
  });
}

function bytesOf(octets: readonly Buffer[]): number {
  return octets.reduce((sum, buffer) => sum + buffer.length, 0);
}
