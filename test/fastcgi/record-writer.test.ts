import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import {
  abortRequest,
  beginRequest,
  endRequest,
  getValuesResult,
  streamEnd,
  streamRecords,
  unknownType,
} from '../../src/fastcgi/record-writer.js';
import { hex, received } from '../helpers/records.js';

describe('The record writer', () => {
  it('writes BEGIN_REQUEST', () => {
    assert.deepEqual(beginRequest(1, 1, 0), hex('01 01 0001 0008 00 00  0001 00 0000000000'));
    assert.deepEqual(beginRequest(0x1234, 3, 1), hex('01 01 1234 0008 00 00  0003 01 0000000000'));
  });

  it('writes ABORT_REQUEST', () => {
    assert.deepEqual(abortRequest(65_535), hex('01 02 ffff 0000 00 00'));
  });

  it('writes END_REQUEST with all four octets of the appStatus', () => {
    assert.deepEqual(endRequest(1, 0, 0), hex('01 03 0001 0008 00 00  00000000 00 000000'));
    assert.deepEqual(endRequest(258, 0x0102_0304, 3), hex('01 03 0102 0008 00 00  01020304 03 000000'));
    assert.deepEqual(endRequest(1, 0xffff_fffe, 2), hex('01 03 0001 0008 00 00  fffffffe 02 000000'));
  });

  it('writes the ends of streams and END_REQUEST in one piece', () => {
    const ends = '01 06 0102 0000 00 00  01 07 0102 0000 00 00';
    assert.deepEqual(
      endRequest(258, 1, 0, [6, 7]),
      hex(`${ends}  01 03 0102 0008 00 00  00000001 00 000000`),
    );
  });

  it('writes GET_VALUES_RESULT with the null request id', () => {
    assert.deepEqual(
      getValuesResult([
        ['AB', '1'],
        ['C', ''],
      ]),
      hex('01 0a 0000 0008 00 00  02 01 4142 31  01 00 43'),
    );
    assert.deepEqual(getValuesResult([]), hex('01 0a 0000 0000 00 00'));
  });

  it('writes UNKNOWN_TYPE with the null request id', () => {
    assert.deepEqual(unknownType(200), hex('01 0b 0000 0008 00 00  c8 00000000000000'));
  });

  it('writes stream content and its end', () => {
    assert.deepEqual(
      Buffer.concat(streamRecords(6, 1, Buffer.from('hi'))),
      hex('01 06 0001 0002 00 00 6869'),
    );
    assert.deepEqual(streamEnd(6, 1), hex('01 06 0001 0000 00 00'));
  });

  it('pads what is for STDERR, at whose last octet HAProxy 2.6 crashes else', () => {
    assert.deepEqual(
      Buffer.concat(streamRecords(7, 1, Buffer.from('hi'))),
      hex('01 07 0001 0002 01 00 6869 00'),
    );
  });

  it('writes no record for no content, since that would end the stream', () => {
    assert.deepEqual(streamRecords(6, 1, Buffer.of()), []);
  });

  it('fills a record with a multiple of eight octets and cuts there', () => {
    const lengths = (bytes: number): number[] =>
      received(Buffer.concat(streamRecords(7, 1, Buffer.alloc(bytes)))).map(({ content }) => content.length);
    assert.deepEqual(lengths(65_528), [65_528]);
    assert.deepEqual(lengths(65_529), [65_528, 1]);
    assert.deepEqual(lengths(65_536), [65_528, 8]);
    assert.deepEqual(lengths(3 * 65_528), [65_528, 65_528, 65_528]);
  });

  it('does not copy content', () => {
    const data = Buffer.from('hello');
    assert.equal(streamRecords(6, 1, data)[1]?.buffer, data.buffer);
    assert.equal(streamRecords(6, 1, data)[1]?.byteOffset, data.byteOffset);
  });

  it('loses, repeats and reorders nothing, however long the content is', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 200_000 }),
        fc.integer({ min: 1, max: 65_535 }),
        fc.nat({ max: 255 }),
        (bytes, requestId, seed) => {
          const data = Buffer.from(
            Uint8Array.from({ length: bytes }, (_, index) => (index * 31 + seed) % 251),
          );
          const records = received(Buffer.concat(streamRecords(6, requestId, data)));
          assert.ok(Buffer.concat(records.map(({ content }) => content)).equals(data));
          assert.ok(records.every((one) => one.type === 6 && one.requestId === requestId));
          assert.ok(records.every((one) => one.content.length > 0));
        },
      ),
      { numRuns: 30 },
    );
  });
});
