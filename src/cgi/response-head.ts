/** Observes a script's standard output until its header ends; the body is none of its business (RFC 3875 §6). */

import { BridgeError } from '../errors.js';

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
   * Leading 1xx blocks, which hgweb prints when it is asked to expect, are taken out; the status line of a script that
   * thinks it is NPH becomes a `Status` field, since a FastCGI web server has no NPH (RFC 3875 §5).
   *
   * @throws BridgeError `ERR_MAX_HEADER_SIZE`
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
      const statusLine = /^HTTP\/\d(?:\.\d)? (\d{3})[^\r\n]*/.exec(block);
      if (statusLine?.[1]?.startsWith('1')) {
        this.#held = this.#held.subarray(end);
        this.#searched = 0;
        continue;
      }
      const header = this.#held.subarray(0, end);
      const body = this.#held.subarray(end);
      if (statusLine === null) return { ...meaningOf(block, statusOf(block)), header, body };
      const field = Buffer.from(`Status:${statusLine[0].slice(statusLine[0].indexOf(' '))}`, 'latin1');
      return {
        ...meaningOf(block, Number(statusLine[1])),
        header: Buffer.concat([field, header.subarray(statusLine[0].length)]),
        body,
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

function meaningOf(block: string, status: number): Pick<ResponseHead, 'status' | 'contentBytes'> {
  // RFC 9110 §6.4.1: these have no content, whatever a field says.
  if (status === 204 || status === 304) return { status, contentBytes: 0 };
  const length = /^content-length:[ \t]*(\d+)[ \t]*\r?$/im.exec(block);
  return { status, contentBytes: length === null ? undefined : Number(length[1]) };
}

function statusOf(block: string): number {
  const status = /^status:[ \t]*(\d{3})/im.exec(block);
  if (status !== null) return Number(status[1]);
  return /^location:/im.test(block) ? 302 : 200;
}
