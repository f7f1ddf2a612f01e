/** Observes a script's standard output until its header ends; the body is none of its business (RFC 3875 §6). */

import { BridgeError } from '../errors.js';
import { responseFields } from './response-fields.js';

/** What the first octets of a response said. */
export interface ResponseHead {
  /** The HTTP status that the web server will send: `Status`, else 302 for a `Location`, else 200 (RFC 3875 §6.3). */
  readonly status: number;
  /** How long the body is to be, where the script says so: after that many octets the response is complete. */
  readonly contentBytes: number | undefined;
  /** The header block as the script wrote it, less what a web server can't take. */
  readonly header: Buffer;
  /** What has already come of the body. */
  readonly body: Buffer;
}

const LF = 0x0a;
const CR = 0x0d;

/** Where the header block that starts at `from` ends, after its empty line (LF or CRLF); -1 while it has not. */
function headerEnd(octets: Buffer, from: number, searchFrom: number): number {
  for (let lf = octets.indexOf(LF, Math.max(from, searchFrom)); lf !== -1; lf = octets.indexOf(LF, lf + 1)) {
    const lineIsEmpty =
      lf === from ||
      octets[lf - 1] === LF ||
      (octets[lf - 1] === CR && (lf - 1 === from || octets[lf - 2] === LF));
    if (lineIsEmpty) return lf + 1;
  }
  return -1;
}

/** Collects a response's header, in whatever cut it comes, up to `maxHeaderBytes`. */
export class ResponseHeadObserver {
  readonly #maxHeaderBytes: number;
  #held: Buffer = Buffer.alloc(0);
  #searched = 0;

  constructor(maxHeaderBytes: number) {
    this.#maxHeaderBytes = maxHeaderBytes;
  }

  /** Octets that wait for the header's end. */
  get heldBytes(): number {
    return this.#held.length;
  }

  /**
   * Takes more of the script's output; returns the head once it is complete, after which it must not be called again.
   * Leading 1xx blocks, which hgweb prints when it is asked to expect, are taken out.
   *
   * @throws BridgeError `ERR_MAX_HEADER_SIZE`, `ERR_INVALID_HEADER`
   */
  push(chunk: Buffer): ResponseHead | undefined {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    for (;;) {
      const end = headerEnd(this.#held, 0, this.#searched);
      if (end === -1 || end > this.#maxHeaderBytes) {
        if (this.#held.length > this.#maxHeaderBytes) throw this.#tooLarge();
        this.#searched = this.#held.length;
        return undefined;
      }
      const block = this.#held.toString('latin1', 0, end);
      if (/^HTTP\/\d(?:\.\d)? 1\d\d/.test(block)) {
        this.#held = this.#held.subarray(end);
        this.#searched = 0;
        continue;
      }
      const fields = responseFields(block);
      return {
        status: fields.status,
        contentBytes: fields.contentBytes,
        header: Buffer.from(fields.block, 'latin1'),
        body: this.#held.subarray(end),
      };
    }
  }

  #tooLarge(): BridgeError {
    return new BridgeError(
      'ERR_MAX_HEADER_SIZE',
      `the script wrote a header of more than --max-header-size allows (${String(this.#maxHeaderBytes)} octets)`,
    );
  }
}
