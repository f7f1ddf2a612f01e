/** Cuts what arrives on a FastCGI connection into records, however the transport has cut it (FastCGI 1.0 §3.3). */

import { NOTHING } from '../base/bytes.js';
import { BridgeError } from '../base/errors.js';
import { HEADER_BYTES, RecordType, VERSION_1 } from './constants.js';

/**
 * What the reader found. A stream record's content comes in as many pieces as the transport brought, without a copy; one
 * that is empty is a record without content, the stream's end. Any other record comes whole, as `control`.
 */
export interface RecordEvent {
  readonly kind: 'stream' | 'control';
  readonly type: number;
  readonly requestId: number;
  readonly content: Buffer;
}

const streamTypes: ReadonlySet<number> = new Set([
  RecordType.PARAMS,
  RecordType.STDIN,
  RecordType.DATA,
  RecordType.STDOUT,
  RecordType.STDERR,
]);

/** Reads the records of one direction of one connection; holds at most one header and one control record. */
export class RecordReader {
  #at: 'header' | 'content' | 'padding' = 'header';
  readonly #header = Buffer.alloc(HEADER_BYTES);
  /** What has come of it; all of it until the record's padding is over. */
  #headerBytes = 0;
  /** What of the content or the padding is still to come. */
  #leftBytes = 0;
  /** What has come of a control record's content. */
  #parts: Buffer[] = [];

  /** Whether the rest of a record is still to come. */
  get isWithinRecord(): boolean {
    return this.#headerBytes > 0;
  }

  /**
   * The events that this chunk completes, in the order of the wire. The pieces of streams are views of the chunk.
   *
   * @throws BridgeError `ERR_FASTCGI_VERSION`: after it framing is lost and the connection can only be closed.
   */
  *read(chunk: Buffer): Generator<RecordEvent, void, undefined> {
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#at === 'header') {
        const end = offset + HEADER_BYTES - this.#headerBytes;
        const taken = chunk.copy(this.#header, this.#headerBytes, offset, end);
        this.#headerBytes += taken;
        offset += taken;
        if (this.#headerBytes < HEADER_BYTES) return;
        const version = this.#header.readUInt8(0);
        if (version !== VERSION_1) {
          const versions = `version ${String(version)}, not ${String(VERSION_1)}`;
          const why = `the peer sent a record of ${versions}: it does not speak FastCGI 1.0`;
          throw new BridgeError('ERR_FASTCGI_VERSION', why);
        }
        this.#at = 'content';
        this.#leftBytes = this.#header.readUInt16BE(4);
        if (this.#leftBytes > 0) continue;
      }
      // A piece of content or padding; one without octets is all of a record without content.
      const piece = this.#leftBytes > 0 ? chunk.subarray(offset, offset + this.#leftBytes) : NOTHING;
      this.#leftBytes -= piece.length;
      offset += piece.length;
      const isContent = this.#at === 'content';
      const isWhole = this.#leftBytes === 0;
      if (isWhole) {
        this.#leftBytes = isContent ? this.#header.readUInt8(6) : 0;
        this.#at = this.#leftBytes > 0 ? 'padding' : 'header';
        if (this.#at === 'header') this.#headerBytes = 0;
      }
      if (!isContent) continue;
      const type = this.#header.readUInt8(1);
      const requestId = this.#header.readUInt16BE(2);
      if (streamTypes.has(type)) {
        yield { kind: 'stream', type, requestId, content: piece };
        continue;
      }
      this.#parts.push(piece);
      if (!isWhole) continue;
      const content = this.#parts.length === 1 ? piece : Buffer.concat(this.#parts);
      this.#parts = [];
      yield { kind: 'control', type, requestId, content };
    }
  }
}
