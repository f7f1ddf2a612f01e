/** FastCGI records as literal octets, written and read without the code under test. */

/** The octets of hexadecimal digits; white space groups them for the reader. */
export function hex(digits: string): Buffer {
  return Buffer.from(digits.replaceAll(/\s/g, ''), 'hex');
}

/** One record; content given as a string is a byte string. */
export function record(
  type: number,
  requestId: number,
  content: Buffer | string = '',
  { version = 1, paddingBytes = 0 }: { version?: number; paddingBytes?: number } = {},
): Buffer {
  const body = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  const header = Buffer.of(
    version,
    type,
    requestId >> 8,
    requestId & 0xff,
    body.length >> 8,
    body.length & 0xff,
    paddingBytes,
    0,
  );
  return Buffer.concat([header, body, Buffer.alloc(paddingBytes, 0xee)]);
}

/** BEGIN_REQUEST as lighttpd sends it, or with another role or flags. */
export function begin(requestId: number, { role = 1, flags = 0 } = {}): Buffer {
  return record(1, requestId, Buffer.of(0, role, flags, 0, 0, 0, 0, 0));
}

/** The records of a whole request with these PARAMS and STDIN octets. */
export function wholeRequest(
  requestId: number,
  { flags = 0, params = '', stdin = '' }: { flags?: number; params?: string; stdin?: string } = {},
): Buffer {
  return Buffer.concat([
    begin(requestId, { flags }),
    ...(params === '' ? [] : [record(4, requestId, params)]),
    record(4, requestId),
    ...(stdin === '' ? [] : [record(5, requestId, stdin)]),
    record(5, requestId),
  ]);
}

/** A record that was received, without its padding. */
interface Received {
  readonly type: number;
  readonly requestId: number;
  readonly content: Buffer;
}

/** The complete records that these octets begin with. */
export function received(octets: Buffer): Received[] {
  const records: Received[] = [];
  let offset = 0;
  while (offset + 8 <= octets.length) {
    const contentBytes = octets.readUInt16BE(offset + 4);
    const end = offset + 8 + contentBytes + octets.readUInt8(offset + 6);
    if (end > octets.length) break;
    if (octets[offset] !== 1) throw new Error(`no FastCGI record at octet ${String(offset)}`);
    records.push({
      type: octets.readUInt8(offset + 1),
      requestId: octets.readUInt16BE(offset + 2),
      content: octets.subarray(offset + 8, offset + 8 + contentBytes),
    });
    offset = end;
  }
  return records;
}

const names = new Map([
  [3, 'END_REQUEST'],
  [6, 'STDOUT'],
  [7, 'STDERR'],
  [10, 'GET_VALUES_RESULT'],
  [11, 'UNKNOWN_TYPE'],
]);

/** Records that were received, one line each: `STDOUT 1 hello`, `STDOUT 1 end`, `END_REQUEST 1 00000000 00`. */
export function lines(octets: Buffer): string[] {
  return received(octets).map(({ type, requestId, content }) => {
    const name = names.get(type) ?? String(type);
    const digits = content.toString('hex');
    if (type === 3) return `${name} ${String(requestId)} ${digits.slice(0, 8)} ${digits.slice(8, 10)}`;
    if (type === 11) return `${name} ${String(requestId)} ${digits.slice(0, 2)}`;
    return `${name} ${String(requestId)} ${content.toString('latin1') || 'end'}`;
  });
}
