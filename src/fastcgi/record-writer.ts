/** Writes FastCGI records as octets (FastCGI 1.0 §3.3, §5), also what answers management records (§4); sends nothing. */

import { toText } from '../base/bytes.js';
import { BridgeError } from '../base/errors.js';
import {
  BeginRequest,
  EndRequest,
  GetValuesResult,
  MAX_CONTENT_BYTES,
  NULL_REQUEST_ID,
  RecordType,
  recordTypeName,
  UnknownType,
  VERSION_1,
} from './constants.js';
import { decodeParams } from './params.js';
import type { RecordEvent } from './record-reader.js';

/** The largest content that is a multiple of eight, so that a full record needs no padding (FastCGI 1.0 §3.3). */
const FULL_CONTENT_BYTES = MAX_CONTENT_BYTES & ~7;

/**
 * What STDERR records are padded with: HAProxy 2.6 crashes where the last octet that it has received is one of their
 * content.
 */
const PADDING = Buffer.alloc(1);

/** A record type beyond those of FastCGI 1.0 §8. */
const UNDEFINED_TYPE = 254;

/** A record's header, of the lowest eight bits of each number; without content it is the whole record. */
function header(type: number, id: number, contentBytes = 0, padding = 0): Buffer {
  return Buffer.of(VERSION_1, type, id >> 8, id, contentBytes >> 8, contentBytes, padding, 0);
}

function controlRecord(
  type: number,
  requestId: number,
  body: { getSize(): number; write(buffer: Buffer): void },
): Buffer {
  const content = Buffer.alloc(body.getSize());
  body.write(content);
  return Buffer.concat([header(type, requestId, content.length), content]);
}

/**
 * The stream records that carry `data`, cut where a record is full, padded where that is needed; to be written one after the other. The data is
 * not copied, so it must not change until it was sent. No data gives no record: the stream's end is `streamEnd`.
 */
export function streamRecords(type: number, requestId: number, data: Buffer): Buffer[] {
  const octets: Buffer[] = [];
  const padding = type === RecordType.STDERR ? [PADDING] : [];
  for (let offset = 0; offset < data.length; offset += FULL_CONTENT_BYTES) {
    const content = data.subarray(offset, offset + FULL_CONTENT_BYTES);
    octets.push(header(type, requestId, content.length, padding.length), content, ...padding);
  }
  return octets;
}

/** The record without content that ends a stream (FastCGI 1.0 §3.3). */
export function streamEnd(type: number, requestId: number): Buffer {
  return header(type, requestId);
}

/** BEGIN_REQUEST (FastCGI 1.0 §5.1). */
export function beginRequest(requestId: number, role: number, flags: number): Buffer {
  return controlRecord(RecordType.BEGIN_REQUEST, requestId, new BeginRequest(role, flags));
}

/** ABORT_REQUEST (FastCGI 1.0 §5.4). */
export function abortRequest(requestId: number): Buffer {
  return header(RecordType.ABORT_REQUEST, requestId);
}

/**
 * The ends of these streams, then END_REQUEST (FastCGI 1.0 §5.5); `appStatus` is what a CGI program's exit status would be.
 */
export function endRequest(
  requestId: number,
  appStatus: number,
  protocolStatus: number,
  streamTypes: readonly number[] = [],
): Buffer {
  const octets: Buffer[] = [];
  for (const type of streamTypes) octets.push(header(type, requestId));
  octets.push(controlRecord(RecordType.END_REQUEST, requestId, new EndRequest(appStatus, protocolStatus)));
  return Buffer.concat(octets);
}

/** GET_VALUES_RESULT (FastCGI 1.0 §4.1). */
export function getValuesResult(values: [string, string][]): Buffer {
  return controlRecord(RecordType.GET_VALUES_RESULT, NULL_REQUEST_ID, new GetValuesResult(values));
}

/** UNKNOWN_TYPE, the answer to a management record of a type that FastCGI 1.0 does not define (§4.2). */
export function unknownType(type: number): Buffer {
  return controlRecord(RecordType.UNKNOWN_TYPE, NULL_REQUEST_ID, new UnknownType(type));
}

/** A management record of a type that FastCGI 1.0 does not define, which UNKNOWN_TYPE answers (§4.2). */
export function unknownManagementRecord(): Buffer {
  return header(UNDEFINED_TYPE, NULL_REQUEST_ID);
}

/**
 * The answer to a record with the null request id; `values` are what GET_VALUES may ask for (§4.1).
 *
 * @throws BridgeError `ERR_FASTCGI_SEQUENCE` for a record that belongs to a request, `ERR_FASTCGI_PARAMS`.
 */
export function managementAnswer(event: RecordEvent, values: Readonly<Record<string, string>>): Buffer {
  if (event.type === RecordType.GET_VALUES) {
    const asked = new Set(decodeParams(event.content).map(([name]) => toText(name)));
    // Each once, however often it is asked for: the answer must fit into one record.
    return getValuesResult(Object.entries(values).filter(([name]) => asked.has(name)));
  }
  if (event.type > RecordType.UNKNOWN_TYPE || event.type === 0) return unknownType(event.type);
  throw outOfSequence(`${recordTypeName(event.type)} with the null request id (FastCGI 1.0 §3.3)`);
}

/** A record that may not come at that point, or not from a web server. */
export function outOfSequence(what: string): BridgeError {
  return new BridgeError('ERR_FASTCGI_SEQUENCE', `the web server sent ${what}`);
}

/** A record that no web server may send at any point. */
export function fromApplication(type: number): BridgeError {
  return outOfSequence(`${recordTypeName(type)}, which only an application sends (FastCGI 1.0 §3.3)`);
}
