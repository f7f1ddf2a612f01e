/** Cuts what arrives on a FastCGI connection into records, however the transport has cut it (FastCGI 1.0 §3.3). */

import { BridgeError } from '../base/errors.js';
import { HEADER_BYTES, RecordType, VERSION_1 } from './constants.js';

/**
 * What the reader found. A stream record's content comes in as many `data` pieces as the transport brought,
 * without a copy; `end` is a stream record without content. Any other record comes whole, as `control`.
 */
export type RecordEvent =
  | { readonly kind: 'data'; readonly type: number; readonly requestId: number; readonly data: Buffer }
  | { readonly kind: 'end'; readonly type: number; readonly requestId: number }
  | { readonly kind: 'control'; readonly type: number; readonly requestId: number; readonly content: Buffer };

interface Header {
  readonly type: number;
  readonly requestId: number;
  readonly paddingBytes: number;
}

type State =
  | { readonly at: 'header' }
  | { readonly at: 'stream'; readonly header: Header; left: number }
  | { readonly at: 'control'; readonly header: Header; left: number; readonly parts: Buffer[] }
  | { readonly at: 'padding'; left: number };

const streamTypes: ReadonlySet<number> = new Set([
  RecordType.PARAMS,
  RecordType.STDIN,
  RecordType.DATA,
  RecordType.STDOUT,
  RecordType.STDERR,
]);

/** Reads the records of one direction of one connection; holds at most one header and one control record. */
export class RecordReader {
  #state: State = { at: 'header' };
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;

  /** Whether the rest of a record is still to come. */
  get isWithinRecord(): boolean {
    return this.#state.at !== 'header' || this.#headerBytes > 0;
  }

  /**
   * The events that this chunk completes, in the order of the wire. The pieces of `data` are views of the chunk.
   *
   * @throws BridgeError `ERR_FASTCGI_VERSION`: after it framing is lost and the connection can only be closed.
   */
  *read(chunk: Buffer): Generator<RecordEvent, void, undefined> {
    let offset = 0;
    while (offset < chunk.length) {
      const state = this.#state;
      if (state.at === 'header') {
        offset += this.#takeHeader(chunk, offset);
        if (this.#headerBytes === HEADER_BYTES) yield* this.#startRecord();
        continue;
      }
      const piece = chunk.subarray(offset, offset + state.left);
      offset += piece.length;
      state.left -= piece.length;
      if (state.at === 'stream') {
        const { type, requestId, paddingBytes } = state.header;
        if (state.left === 0) this.#skipPadding(paddingBytes);
        yield { kind: 'data', type, requestId, data: piece };
      } else if (state.at === 'control') {
        state.parts.push(piece);
        if (state.left === 0) yield this.#finishControl(state.header, state.parts);
      } else if (state.left === 0) {
        this.#state = { at: 'header' };
      }
    }
  }

  #takeHeader(chunk: Buffer, offset: number): number {
    const taken = chunk.copy(
      this.#header,
      this.#headerBytes,
      offset,
      offset + HEADER_BYTES - this.#headerBytes,
    );
    this.#headerBytes += taken;
    return taken;
  }

  *#startRecord(): Generator<RecordEvent, void, undefined> {
    this.#headerBytes = 0;
    const version = this.#header.readUInt8(0);
    if (version !== VERSION_1) {
      throw new BridgeError(
        'ERR_FASTCGI_VERSION',
        `the peer sent a record of version ${String(version)}, not ${String(VERSION_1)}: it does not speak FastCGI 1.0`,
      );
    }
    const type = this.#header.readUInt8(1);
    const contentBytes = this.#header.readUInt16BE(4);
    const header = {
      type,
      requestId: this.#header.readUInt16BE(2),
      paddingBytes: this.#header.readUInt8(6),
    };
    if (streamTypes.has(type)) {
      if (contentBytes > 0) {
        this.#state = { at: 'stream', header, left: contentBytes };
      } else {
        this.#skipPadding(header.paddingBytes);
        yield { kind: 'end', type, requestId: header.requestId };
      }
    } else if (contentBytes > 0) {
      this.#state = { at: 'control', header, left: contentBytes, parts: [] };
    } else {
      yield this.#finishControl(header, []);
    }
  }

  #finishControl(header: Header, parts: Buffer[]): RecordEvent {
    this.#skipPadding(header.paddingBytes);
    const content = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
    return { kind: 'control', type: header.type, requestId: header.requestId, content };
  }

  #skipPadding(paddingBytes: number): void {
    this.#state = paddingBytes > 0 ? { at: 'padding', left: paddingBytes } : { at: 'header' };
  }
}
