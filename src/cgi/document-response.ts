/** Document responses that the bridge gives by itself (RFC 3875 §6.2.1). */

import { STATUS_CODES } from 'node:http';

/** A complete document response. */
export interface DocumentResponse {
  /** The HTTP status code. */
  readonly status: number;
  /** All fields but `Status`; octets of ISO 8859-1, no line ends. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

/** The name of a status as people read it: `404 Not Found`. */
export function statusText(status: number): string {
  return `${String(status)} ${STATUS_CODES[status] ?? 'Error'}`;
}

/** The response as the octets of a script's output. */
export function documentOctets({ status, fields, body }: DocumentResponse): Buffer {
  const lines = [`Status: ${statusText(status)}`, ...fields.map(([name, value]) => `${name}: ${value}`)];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body]);
}
