/** The socket of who sends requests: what the application has sent is read, also where that no longer reads itself. */

import { Socket } from 'node:net';

type Done = (error?: Error | null) => void;

/**
 * A socket that outlives a write which fails, as when the application has answered without reading the body and has closed
 * the connection: what is written from then on is thrown away, and reading goes on to the end. Node's own would be
 * destroyed, with all that it has not read.
 */
export class ReadingSocket extends Socket {
  #isUnread = false;

  override _write(chunk: unknown, encoding: BufferEncoding, done: Done): void {
    if (this.#isUnread) done();
    else super._write(chunk, encoding, this.#outliving(done));
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], done: Done): void {
    if (this.#isUnread) done();
    else super._writev?.(chunks, this.#outliving(done));
  }

  #outliving(done: Done): Done {
    return (error) => {
      if (error) this.#isUnread = true;
      done();
    };
  }
}
