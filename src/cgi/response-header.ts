/** Observes a script's standard output until its header ends; the body is none of its business (RFC 3875 §6). */

import { BridgeError } from '../base/errors.js';

/** What the first bytes of a response said. */
export interface ResponseHeader {
  /** The HTTP status that the web server will send: `Status`, else 302 for a `Location`, else 200 (RFC 3875 §6.3). */
  readonly status: number;
  /** How long the body is to be, where the script says so: after that many bytes the response is complete. */
  readonly contentBytes: number | undefined;
  /** The header block as the script wrote it, less what a web server can't take. */
  readonly header: Buffer;
  readonly body: Buffer;
}

const LF = 0x0a;
const CR = 0x0d;

/** Where the header block ends, after its empty line (LF or CRLF); -1 while it has not. */
function headerEnd(bytes: Buffer, searchFrom: number): number {
  for (let lf = bytes.indexOf(LF, searchFrom); lf !== -1; lf = bytes.indexOf(LF, lf + 1)) {
    const lineIsEmpty =
      lf === 0 || bytes[lf - 1] === LF || (bytes[lf - 1] === CR && (lf === 1 || bytes[lf - 2] === LF));
    if (lineIsEmpty) return lf + 1;
  }
  return -1;
}

/** Collects a response's header, in whatever cut it comes, up to `maxHeaderBytes`. */
export class ResponseHeaderReader {
  readonly #maxHeaderBytes: number;
  #held: Buffer = Buffer.alloc(0);
  #searched = 0;

  constructor(maxHeaderBytes: number) {
    this.#maxHeaderBytes = maxHeaderBytes;
  }

  /**
   * Takes more of the script's output; returns the head once it is complete, after which it must not be called again.
   * Leading 1xx blocks, which hgweb prints when it is asked to expect, are taken out.
   *
   * @throws BridgeError `ERR_MAX_HEADER_SIZE`, `ERR_INVALID_HEADER`
   */
  push(chunk: Buffer): ResponseHeader | undefined {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    for (;;) {
      const end = headerEnd(this.#held, this.#searched);
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

  /** The first line of what was taken, as long as the header is not complete. */
  get firstLine(): string {
    return this.#held.toString('latin1', 0, MAX_SHOWN).split('\n')[0] ?? '';
  }

  #tooLarge(): BridgeError {
    return new BridgeError(
      'ERR_MAX_HEADER_SIZE',
      `the script wrote a header of more than --max-header-size allows (${String(this.#maxHeaderBytes)} bytes)`,
    );
  }
}

/** A header block as a web server can take it. */
export interface ResponseFields {
  /** The HTTP status that the web server will send (RFC 3875 §6.3.3). */
  readonly status: number;
  /** How long the body is to be, where the script says so. */
  readonly contentBytes: number | undefined;
  /** The block, byte by byte, with its empty line. */
  readonly block: string;
}

/** A name without white space or control bytes; a value without the bytes that some take for its end. */
const FIELD = /^([^\x00-\x20\x7f:]+):([^\x00\r]*)$/;

/** What a line of the header may take up in the log. */
const MAX_SHOWN = 100;

/**
 * Reads a header block, given with its empty line. An HTTP status line at its head is made a `Status` field, since a
 * web server that speaks FastCGI knows no NPH (RFC 3875 §5). A redirect without a status gets the 302 that RFC 3875
 * §6.2.3 has the web server make of it: nginx, lighttpd and HAProxy do, but Apache, Caddy and h2o say 200. None of
 * them follows a local redirect by itself (§6.2.2), so that one is the browser's to follow, too.
 *
 * @throws BridgeError `ERR_INVALID_HEADER` for what web servers refuse or, worse, take for different things.
 */
export function responseFields(written: string): ResponseFields {
  const block = withoutStatusLine(written);
  const fields = block.split(/\r?\n/).slice(0, -2).map(fieldOf);
  if (fields.length === 0) throw invalid('has no field');
  const values = (name: string): string[] => fields.flatMap((field) => (field[0] === name ? [field[1]] : []));
  const stated = only('Status', values('status').map(statusOf));
  const length = only('Content-Length', values('content-length').map(lengthOf));
  const status = stated ?? (values('location').length > 0 ? 302 : 200);
  return {
    status,
    // RFC 9110 §6.4.1: these have no content, whatever a field says.
    contentBytes: status === 204 || status === 304 ? 0 : length,
    block: stated === undefined && status === 302 ? `Status: 302 Found${firstEnd(block)}${block}` : block,
  };
}

function withoutStatusLine(block: string): string {
  const statusLine = /^HTTP\/\d(?:\.\d)?( \d{3}[^\r\n]*)\r?\n/.exec(block);
  if (statusLine === null) return block;
  const rest = block.slice(statusLine[0].length);
  // Perl's CGI.pm, told of NPH, writes both.
  return /^status:/im.test(rest) ? rest : `Status:${statusLine[1] ?? ''}${firstEnd(block)}${rest}`;
}

function firstEnd(block: string): string {
  return block[block.indexOf('\n') - 1] === '\r' ? '\r\n' : '\n';
}

/** A line's name, in lower case, and value; CGI/1.1 knows no lines that continue the one before. */
function fieldOf(line: string): readonly [name: string, value: string] {
  const [, name, value] = FIELD.exec(line) ?? [];
  if (name === undefined || value === undefined) throw invalid(`has a line that is no field: ${shown(line)}`);
  return [name.toLowerCase(), value.trim()];
}

function statusOf(value: string): number {
  if (!/^[2-9]\d\d(?!\d)/.test(value)) throw invalid(`has a Status that is no final status: ${shown(value)}`);
  return Number(value.slice(0, 3));
}

function lengthOf(value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw invalid(`has a Content-Length that is no length: ${shown(value)}`);
  return Number(value);
}

/** What all of a field's occurrences say: web servers choose the first, the last, or to refuse it. */
function only(name: string, [first, ...others]: readonly number[]): number | undefined {
  if (others.some((other) => other !== first))
    throw invalid(`has a ${name} more than once, each with another value`);
  return first;
}

function shown(text: string): string {
  return JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text);
}

function invalid(what: string): BridgeError {
  return new BridgeError('ERR_INVALID_HEADER', `the script’s header ${what} (RFC 3875 §6.3)`);
}
