import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { OctetCollector } from '../../src/fastcgi/octet-collector.js';

describe('Collected octets', () => {
  it('are what came, in any cut, and no view of it', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 3_000 }), { maxLength: 20 }), (pieces) => {
        const collector = new OctetCollector(100_000);
        const expected = Buffer.concat(pieces);
        for (const piece of pieces) {
          const octets = Buffer.from(piece);
          collector.take(octets);
          octets.fill(0);
        }
        assert.deepEqual(collector.collected(), expected);
        assert.equal(collector.bytes, expected.length);
      }),
    );
  });

  it('are all kept up to the limit, and none beyond it', () => {
    const collector = new OctetCollector(3);
    for (const octet of 'abc') collector.take(Buffer.from(octet));
    assert.equal(collector.collected().toString(), 'abc');
    collector.take(Buffer.from('d'));
    assert.equal(collector.collected().length, 0);
    assert.equal(collector.bytes, 4);
  });

  it('cost no more memory than twice their number, even in pieces of one octet', () => {
    const collector = new OctetCollector(1_000_000);
    for (let count = 0; count < 300_000; count++) collector.take(Buffer.of(1));
    assert.ok(collector.collected().buffer.byteLength <= 600_000);
  });
});
