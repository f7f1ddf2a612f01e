import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';

import fc from 'fast-check';

import { ByteBudget, fromBuffer } from '../../src/base/bytes.js';
import { encodeParams, ParamsCollector } from '../../src/fastcgi/params.js';

function collectorOf(maxParamsBytes: number): [ParamsCollector, ByteBudget] {
  const paramsBudget = new ByteBudget(10_000_000);
  return [new ParamsCollector({ maxParamsBytes, paramsBudget }), paramsBudget];
}

describe('Collected params', () => {
  it('are what came, in any cut, and no view of it', () => {
    const bytes = fc.uint8Array({ maxLength: 300 }).map(fromBuffer);
    fc.assert(
      fc.property(fc.array(fc.tuple(bytes, bytes), { maxLength: 20 }), fc.nat(3_000), (pairs, cut) => {
        const [collector] = collectorOf(100_000);
        const octets = encodeParams(pairs);
        for (const piece of [octets.subarray(0, cut), octets.subarray(cut)]) {
          collector.take(piece);
          piece.fill(0);
        }
        assert.deepEqual(collector.decoded(), pairs);
      }),
    );
  });

  it('are all kept up to the limit, and none beyond it', () => {
    const [collector, budget] = collectorOf(3);
    for (const octet of '\x01\x00a') collector.take(Buffer.from(octet));
    assert.equal(budget.takenBytes, 3);
    collector.take(Buffer.from('d'));
    assert.equal(budget.takenBytes, 0);
    assert.throws(() => collector.decoded(), { code: 'ERR_MAX_PARAMS_SIZE', message: / sent 4 octets / });
    const [other] = collectorOf(3);
    for (const octet of '\x01\x00a') other.take(Buffer.from(octet));
    assert.deepEqual(other.decoded(), [['a', '']]);
  });

  it('cost no more memory than twice their number, even in pieces of one octet', () => {
    const alloc = mock.method(Buffer, 'alloc');
    try {
      const [collector] = collectorOf(1_000_000);
      for (let count = 0; count < 300_000; count++) collector.take(Buffer.of(1));
      assert.ok(Math.max(...alloc.mock.calls.map(({ arguments: [size] }) => size)) <= 600_000);
    } finally {
      alloc.mock.restore();
    }
  });
});
