/** Management records: what they ask of the application, apart from any request (FastCGI 1.0 §4). */

import { toText } from '../bytes.js';
import { BridgeError } from '../errors.js';
import { RecordType, recordTypeName } from './constants.js';
import { decodeParams } from './params.js';
import type { RecordEvent } from './record-reader.js';
import { getValuesResult, unknownType } from './record-writer.js';

/**
 * The answer to a record with the null request id; `values` are what GET_VALUES may ask for (§4.1).
 *
 * @throws BridgeError `ERR_FASTCGI_SEQUENCE` for a record that belongs to a request, `ERR_FASTCGI_PARAMS`.
 */
export function managementAnswer(event: RecordEvent, values: Readonly<Record<string, string>>): Buffer {
  if (event.kind === 'control' && event.type === RecordType.GET_VALUES) {
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
