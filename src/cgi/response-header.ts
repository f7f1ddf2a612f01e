/** Observes a script's standard output until its header ends; the body is none of its business (RFC 3875 §6). */

import { BridgeError } from '../base/errors.js';

/** What the first bytes of a response said. */
export interface ResponseHeader extends Omit<ResponseFields, 'block'> {
  /** The header block as the script wrote it, less what a web server can't take. */
  readonly header: Buffer;
  readonly body: Buffer;
}

const LF = 0x0a;
const CR = 0x0d;

/** Collects a response's header, in whatever cut it comes, up to `maxHeaderBytes`. */
export class ResponseHeaderReader {
  readonly #maxHeaderBytes: number;
  #held: Buffer = Buffer.alloc(0);
  #searched = 0;

  constructor(maxHeaderBytes: number) {
    this.#maxHeaderBytes = maxHeaderBytes;
  }

  /**
   * Takes more of the script's output; returns the header once it is complete, after which it must not be called again.
   * Leading 1xx blocks, which hgweb prints when it is asked to expect, are taken out.
   *
   * @throws BridgeError `ERR_MAX_HEADER_SIZE`, `ERR_INVALID_HEADER`
   */
  push(chunk: Buffer): ResponseHeader | undefined {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    for (;;) {
      const held = this.#held;
      // The block ends with its empty line: LF or CRLF, after another line's end or at the very beginning.
      let lf = held.indexOf(LF, this.#searched);
      for (; lf > 0; lf = held.indexOf(LF, lf + 1)) {
        if (held[lf - 1] === LF || (held[lf - 1] === CR && (lf === 1 || held[lf - 2] === LF))) break;
      }
      const end = lf + 1;
      if (end === 0 || end > this.#maxHeaderBytes) {
        if (held.length > this.#maxHeaderBytes) {
          const most = `more than --max-header-size allows (${String(this.#maxHeaderBytes)} bytes)`;
          throw new BridgeError('ERR_MAX_HEADER_SIZE', `the script wrote a header of ${most}`);
        }
        this.#searched = held.length;
        return undefined;
      }
      const written = held.toString('latin1', 0, end);
      if (/^HTTP\/\d(?:\.\d)? 1\d\d/.test(written)) {
        this.#held = held.subarray(end);
        this.#searched = 0;
        continue;
      }
      const { status, contentBytes, block } = responseFields(written);
      return { status, contentBytes, header: Buffer.from(block, 'latin1'), body: held.subarray(end) };
    }
  }

  /** The first line of what was taken, as long as the header is not complete. */
  get firstLine(): string {
    return this.#held.toString('latin1', 0, MAX_SHOWN).split('\n')[0] ?? '';
  }
}

/** A header block as a web server can take it. */
export interface ResponseFields {
  /** The HTTP status that the web server will send: `Status`, else 302 for a `Location`, else 200 (RFC 3875 §6.3). */
  readonly status: number;
  /** How long the body is to be, where the script says so: after that many bytes the response is complete. */
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
  let block = written;
  const statusLine = /^HTTP\/\d(?:\.\d)?( \d{3}[^\r\n]*)\r?\n/.exec(written);
  if (statusLine !== null) {
    block = written.slice(statusLine[0].length);
    // Perl's CGI.pm, told of NPH, writes both.
    if (!/^status:/im.test(block)) block = `Status:${statusLine[1] ?? ''}${firstEnd(written)}${block}`;
  }
  const lines = block.split(/\r?\n/).slice(0, -2);
  if (lines.length === 0) throw invalid('has no field');
  let stated: number | undefined;
  let length: number | undefined;
  let isRedirect = false;
  for (const line of lines) {
    // CGI/1.1 knows no lines that continue the one before.
    const [, name, text] = FIELD.exec(line) ?? [];
    if (name === undefined || text === undefined)
      throw invalid(`has a line that is no field: ${shown(line)}`);
    const value = text.trim();
    switch (name.toLowerCase()) {
      case 'status':
        stated = same('Status', stated, statusOf(value));
        break;
      case 'content-length':
        length = same('Content-Length', length, lengthOf(value));
        break;
      case 'location':
        isRedirect = true;
    }
  }
  const status = stated ?? (isRedirect ? 302 : 200);
  // RFC 9110 §8.6: it must not have one.
  if (status === 204) block = block.replace(/^content-length:[^\n]*\n/gim, '');
  return {
    status,
    // RFC 9110 §6.4.1: these have no content, whatever a field says.
    contentBytes: status === 204 || status === 304 ? 0 : length,
    block: stated === undefined && isRedirect ? `Status: 302 Found${firstEnd(block)}${block}` : block,
  };
}

function firstEnd(block: string): string {
  return block[block.indexOf('\n') - 1] === '\r' ? '\r\n' : '\n';
}

function statusOf(value: string): number {
  if (!/^[2-9]\d\d(?!\d)/.test(value)) throw invalid(`has a Status that is no final status: ${shown(value)}`);
  return Number(value.slice(0, 3));
}

function lengthOf(value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw invalid(`has a Content-Length that is no length: ${shown(value)}`);
  return Number(value);
}

/** What a field says that another one of its name may have said before: web servers choose either, or refuse it. */
function same(name: string, before: number | undefined, value: number): number {
  if (before !== undefined && before !== value)
    throw invalid(`has a ${name} more than once, each with another value`);
  return value;
}

function shown(text: string): string {
  return JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text);
}

function invalid(what: string): BridgeError {
  return new BridgeError('ERR_INVALID_HEADER', `the script’s header ${what} (RFC 3875 §6.3)`);
}
