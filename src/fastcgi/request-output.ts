/** What a request answers: STDOUT and STDERR, as records (FastCGI 1.0 §3.3, §5.3). */

import { Writable } from 'node:stream';

import { RecordType } from './constants.js';
import { streamEnd, streamRecords } from './record-writer.js';

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
   * are left to be sent: `endRecords`.
   */
  async end(): Promise<void> {
    await Promise.all([flushed(this.stdout), flushed(this.stderr)]);
  }

  /** The end of STDOUT, and of STDERR if there was any, for one write with END_REQUEST. */
  get endRecords(): readonly Buffer[] {
    const types = this.#hasStderr ? [RecordType.STDOUT, RecordType.STDERR] : [RecordType.STDOUT];
    return types.map((type) => streamEnd(type, this.#requestId));
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
