/** What a request answers: STDOUT and STDERR, as records (FastCGI 1.0 §3.3, §5.3). */

import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';

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

  constructor(requestId: number, send: Send) {
    this.#requestId = requestId;
    this.#send = send;
    this.stdout = this.#stream(RecordType.STDOUT, { alwaysEnd: true });
    this.stderr = this.#stream(RecordType.STDERR, { alwaysEnd: false });
  }

  /** When the first octet of STDOUT was handed to the transport, by `performance.now()`. */
  get firstOctetAt(): number | undefined {
    return this.#firstOctetAt;
  }

  /** Octets of STDOUT that were handed to the transport. */
  get stdoutBytes(): number {
    return this.#stdoutBytes;
  }

  /** Ends both streams; resolves when the transport has all of them, or when they were dropped. */
  async end(): Promise<void> {
    const flushed = [finished(this.stdout), finished(this.stderr)];
    this.stdout.end();
    this.stderr.end();
    await Promise.allSettled(flushed);
  }

  /** Forgets what the transport has not taken yet. */
  drop(): void {
    this.stdout.destroy();
    this.stderr.destroy();
  }

  #stream(type: number, { alwaysEnd }: { alwaysEnd: boolean }): Writable {
    let written = false;
    const send = (chunks: readonly Buffer[], done: () => void): void => {
      const octets = chunks.flatMap((chunk) => streamRecords(type, this.#requestId, chunk));
      if (octets.length === 0) {
        // Nothing was written; a record without content would end the stream.
        done();
        return;
      }
      written = true;
      if (type === RecordType.STDOUT) this.#countStdout(chunks);
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
      final: (done) => {
        if (alwaysEnd || written) this.#send([streamEnd(type, this.#requestId)]);
        done();
      },
    });
  }

  #countStdout(chunks: readonly Buffer[]): void {
    this.#firstOctetAt ??= performance.now();
    for (const chunk of chunks) this.#stdoutBytes += chunk.length;
  }
}
