/**
 * The numbers of FastCGI 1.0 §8, by the specification's names.
 *
 * They come from `fastcgi-stream`, whose record bodies serve too; its stream does not: it trusts its peer
 * (`test/fastcgi/fastcgi-stream.test.ts` holds one case for each way in which that shows).
 */

import fastcgi from 'fastcgi-stream';

const { records, constants } = fastcgi;

/** Record types (FastCGI 1.0 §8, `FCGI_BEGIN_REQUEST` to `FCGI_UNKNOWN_TYPE`). */
export const RecordType = Object.freeze({
  BEGIN_REQUEST: records.BeginRequest.TYPE,
  ABORT_REQUEST: records.AbortRequest.TYPE,
  END_REQUEST: records.EndRequest.TYPE,
  PARAMS: records.Params.TYPE,
  STDIN: records.StdIn.TYPE,
  STDOUT: records.StdOut.TYPE,
  STDERR: records.StdErr.TYPE,
  DATA: records.Data.TYPE,
  GET_VALUES: records.GetValues.TYPE,
  GET_VALUES_RESULT: records.GetValuesResult.TYPE,
  UNKNOWN_TYPE: records.UnknownType.TYPE,
});

/** Roles that a BEGIN_REQUEST asks for (FastCGI 1.0 §6). */
export const Role = Object.freeze(records.BeginRequest.roles);

/** The flag of a BEGIN_REQUEST by which the web server keeps the connection (FastCGI 1.0 §5.1). */
export const KEEP_CONN = records.BeginRequest.flags.KEEPCONN;

/** How the protocol fared, in an END_REQUEST (FastCGI 1.0 §5.5). */
export const ProtocolStatus = Object.freeze(records.EndRequest.protocolStatus);

export const VERSION_1 = constants.VERSION;
export const HEADER_BYTES = constants.HEADER_LEN;
export const MAX_CONTENT_BYTES = constants.MAX_CONTENT_SIZE;
/** The request id of management records (FastCGI 1.0 §3.3). */
export const NULL_REQUEST_ID = constants.NULL_REQUEST_ID;

/** The bodies of control records, as `fastcgi-stream` reads and writes them. */
export const { BeginRequest, EndRequest, GetValuesResult, UnknownType } = records;

const typeNames = new Map(Object.entries(RecordType).map(([name, type]) => [type, name]));

/** The specification's name of a record type, or its number. */
export function recordTypeName(type: number): string {
  return typeNames.get(type) ?? `type ${String(type)}`;
}

const statusNames = new Map(Object.entries(ProtocolStatus).map(([name, status]) => [status, name]));

/** The specification's name of a protocolStatus, or its number. */
export function protocolStatusName(status: number): string {
  return `FCGI_${statusNames.get(status) ?? String(status)}`;
}
