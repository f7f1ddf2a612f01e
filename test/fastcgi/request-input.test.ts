import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';

import fc from 'fast-check';

import { ByteBudget, fromBuffer } from '../../src/base/bytes.js';
import { encodeParams } from '../../src/fastcgi/params.js';
import { RequestInput } from '../../src/fastcgi/request-input.js';

function inputOf(maxParamsBytes: number): [RequestInput, ByteBudget] {
  const paramsBudget = new ByteBudget(10_000_000);
  const limits = { maxParamsBytes, paramsBudget, idleTimeoutMs: 0 };
  return [new RequestInput(1, limits, () => undefined), paramsBudget];
}

describe('Collected params', () => {
  it('are what came, in any cut, and no view of it', () => {
    const bytes = fc.uint8Array({ maxLength: 300 }).map(fromBuffer);
    fc.assert(
      fc.property(fc.array(fc.tuple(bytes, bytes), { maxLength: 20 }), fc.nat(3_000), (pairs, cut) => {
        const [input] = inputOf(100_000);
        const octets = encodeParams(pairs);
        for (const piece of [octets.subarray(0, cut), octets.subarray(cut)]) {
          input.takeParams(piece);
          piece.fill(0);
        }
        assert.equal(input.endParams(), true);
        assert.deepEqual([input.params, input.problem], [pairs, undefined]);
      }),
    );
  });

  it('are all kept up to the limit, and none beyond it', () => {
    const [input, budget] = inputOf(3);
    for (const octet of '\x01\x00a') input.takeParams(Buffer.from(octet));
    assert.equal(budget.takenBytes, 3);
    input.takeParams(Buffer.from('d'));
    assert.equal(budget.takenBytes, 0);
    assert.equal(input.endParams(), true);
    assert.equal(input.problem?.code, 'ERR_MAX_PARAMS_SIZE');
    assert.match(input.problem.message, / sent 4 octets /);
    assert.deepEqual([input.params, budget.takenBytes], [[], 0]);
    const [other] = inputOf(3);
    for (const octet of '\x01\x00a') other.takeParams(Buffer.from(octet));
    assert.equal(other.endParams(), true);
    assert.deepEqual([other.params, other.problem], [[['a', '']], undefined]);
  });

  it('cost no more memory than twice their number, even in pieces of one octet', () => {
    const alloc = mock.method(Buffer, 'alloc');
    try {
      const [input] = inputOf(1_000_000);
      for (let count = 0; count < 300_000; count++) input.takeParams(Buffer.of(1));
      assert.ok(alloc.mock.calls.length > 0);
      assert.ok(Math.max(...alloc.mock.calls.map(({ arguments: [size] }) => size)) <= 600_000);
    } finally {
      alloc.mock.restore();
    }
  });
});
