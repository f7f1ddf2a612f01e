import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { NOTHING } from '../../src/base/bytes.js';
import { BridgeError } from '../../src/base/errors.js';
import { type RecordEvent, RecordReader } from '../../src/fastcgi/record-reader.js';
import { hex, record } from '../helpers/records.js';

function readAll(chunks: readonly Buffer[]): RecordEvent[] {
  const reader = new RecordReader();
  return chunks.flatMap((chunk) => [...reader.read(chunk)]);
}

/** The events with the stream pieces of one record joined: what must not depend on how the transport cuts. */
function summary(events: readonly RecordEvent[]): string[] {
  const lines: string[] = [];
  let open: string | undefined;
  for (const { kind, type, requestId, content } of events) {
    const isEnd = kind === 'stream' && content.length === 0;
    const about = `${isEnd ? 'end' : kind} ${String(type)} ${String(requestId)}`;
    if (about === open) lines.push(`${lines.pop() ?? ''}${content.toString('hex')}`);
    else lines.push(`${about} ${content.toString('hex')}`);
    open = kind === 'stream' && !isEnd ? about : undefined;
  }
  return lines;
}

/** The octets in pieces that end at these places. */
function cut(octets: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places.map((place) => place % (octets.length + 1)), octets.length].sort((a, b) => a - b);
  return ends.map((end, index) => octets.subarray(ends[index - 1] ?? 0, end));
}

const arbitraryRecord = fc
  .record({
    type: fc.integer({ min: 0, max: 255 }),
    requestId: fc.integer({ min: 0, max: 65_535 }),
    content: fc.uint8Array({ maxLength: 40 }),
    paddingBytes: fc.integer({ min: 0, max: 9 }),
  })
  .map(({ type, requestId, content, paddingBytes }) =>
    record(type, requestId, Buffer.from(content), { paddingBytes }),
  );

describe('RecordReader', () => {
  it('reads the records of a whole request, octet for octet', () => {
    const octets = hex(`
      01 01 0001 0008 00 00  0001 00 0000000000
      01 04 0001 0004 04 00  01 01 41 42  00000000
      01 04 0001 0000 00 00
      01 05 0001 0003 05 00  ff 00 0a  0000000000
      01 05 0001 0000 00 00`);
    assert.deepEqual(readAll([octets]), [
      { kind: 'control', type: 1, requestId: 1, content: hex('0001 00 0000000000') },
      { kind: 'stream', type: 4, requestId: 1, content: hex('01 01 41 42') },
      { kind: 'stream', type: 4, requestId: 1, content: NOTHING },
      { kind: 'stream', type: 5, requestId: 1, content: hex('ff 00 0a') },
      { kind: 'stream', type: 5, requestId: 1, content: NOTHING },
    ]);
  });

  it('gives every stream type as data and end, and every other type whole', () => {
    for (let type = 0; type <= 255; type += 1) {
      const kind = type >= 4 && type <= 8 ? 'stream' : 'control';
      const [data, end] = [Buffer.from('x'), NOTHING].map((content) => ({
        kind,
        type,
        requestId: 1,
        content,
      }));
      assert.deepEqual(readAll([record(type, 1, 'x'), record(type, 1)]), [data, end], `type ${String(type)}`);
    }
  });

  it('reads request ids and lengths of two octets and padding of up to 255', () => {
    const content = Buffer.alloc(65_535, 'x');
    const octets = Buffer.concat([record(5, 0xfffe, content, { paddingBytes: 255 }), record(5, 0xfffe)]);
    assert.deepEqual(readAll([octets]), [
      { kind: 'stream', type: 5, requestId: 0xfffe, content: content },
      { kind: 'stream', type: 5, requestId: 0xfffe, content: NOTHING },
    ]);
  });

  it('skips padding after a record without content', () => {
    const octets = Buffer.concat([
      record(5, 1, '', { paddingBytes: 8 }),
      record(2, 1, '', { paddingBytes: 3 }),
      record(4, 2),
    ]);
    assert.deepEqual(summary(readAll([octets])), ['end 5 1 ', 'control 2 1 ', 'end 4 2 ']);
  });

  it('gives the same events however the transport cuts the octets', () => {
    fc.assert(
      fc.property(fc.array(arbitraryRecord, { maxLength: 12 }), fc.array(fc.nat()), (records, places) => {
        const octets = Buffer.concat(records);
        assert.deepEqual(summary(readAll(cut(octets, places))), summary(readAll([octets])));
      }),
    );
  });

  it('gives the same events when each octet comes alone', () => {
    const octets = Buffer.concat([
      record(1, 1, hex('0001000000000000')),
      record(4, 1, 'AB', { paddingBytes: 6 }),
      record(4, 1),
      record(9, 0, 'names', { paddingBytes: 3 }),
    ]);
    const alone = [...octets].map((octet) => Buffer.of(octet));
    assert.deepEqual(summary(readAll(alone)), summary(readAll([octets])));
    assert.equal(summary(readAll(alone)).length, 4);
  });

  it('hands stream content on as it comes, as a view of the chunk and not a copy', () => {
    const reader = new RecordReader();
    const chunk = record(5, 1, 'abcdef').subarray(0, 11);
    const [event] = [...reader.read(chunk)];
    assert.equal(event?.kind, 'stream');
    assert.equal(event.content.toString(), 'abc');
    assert.equal(event.content.buffer, chunk.buffer);
    assert.equal(event.content.byteOffset, chunk.byteOffset + 8);
  });

  it('gives the events before a bad record and then refuses it', () => {
    const reader = new RecordReader();
    const seen: RecordEvent[] = [];
    assert.throws(
      () => {
        for (const event of reader.read(Buffer.concat([record(5, 1), record(5, 2, '', { version: 2 })]))) {
          seen.push(event);
        }
      },
      { name: 'BridgeError', code: 'ERR_FASTCGI_VERSION', message: /version 2, not 1/ },
    );
    assert.deepEqual(seen, [{ kind: 'stream', type: 5, requestId: 1, content: NOTHING }]);
  });

  it('takes any garbage without throwing anything but a BridgeError', () => {
    const garbage = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      // Looks like a record, so that what follows the version is reached.
      fc.uint8Array({ maxLength: 200 }).map((octets) => Uint8Array.of(1, ...octets)),
    );
    fc.assert(
      fc.property(fc.array(garbage), (chunks) => {
        try {
          readAll(chunks.map((chunk) => Buffer.from(chunk)));
        } catch (error) {
          assert.ok(error instanceof BridgeError);
        }
      }),
    );
  });
});
