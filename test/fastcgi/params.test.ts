import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';

import fc from 'fast-check';

import { ByteBudget, fromBuffer, fromText, valueOf } from '../../src/base/bytes.js';
import { BridgeError } from '../../src/base/errors.js';
import { decodeParams, encodeParams, ParamsCollector, paramText } from '../../src/fastcgi/params.js';
import { hex } from '../helpers/records.js';

const octets = (maxLength: number): fc.Arbitrary<string> =>
  fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes).toString('latin1'));
const pairs = fc.array(fc.tuple(octets(300), octets(300)), { maxLength: 8 });

describe('Params', () => {
  it('are read from short and long lengths in all four combinations', () => {
    const long = 'x'.repeat(128);
    const wire = Buffer.concat([
      hex('01 01 41 42'),
      hex('01 80000080 41'),
      Buffer.from(long),
      hex('80000080 01'),
      Buffer.from(`${long}B`),
      hex('80000080 80000080'),
      Buffer.from(long + long),
    ]);
    const expected = [
      ['A', 'B'],
      ['A', long],
      [long, 'B'],
      [long, long],
    ] as const;
    assert.deepEqual(decodeParams(wire), expected);
    assert.deepEqual(encodeParams(expected), wire);
  });

  it('have lengths of one octet up to 127 and of four octets from 128', () => {
    assert.deepEqual(encodeParams([['A', 'x'.repeat(127)]]).subarray(0, 3), hex('01 7f 41'));
    assert.deepEqual(encodeParams([['A', 'x'.repeat(128)]]).subarray(0, 6), hex('01 80000080 41'));
    assert.deepEqual(encodeParams([['A', 'x'.repeat(0x01_02_03)]]).subarray(0, 6), hex('01 80010203 41'));
  });

  it('may have a long length where a short one would do', () => {
    assert.deepEqual(decodeParams(hex('80000001 80000000 41')), [['A', '']]);
  });

  it('keep empty names, empty values and repeated names in the order of the wire', () => {
    assert.deepEqual(decodeParams(hex('01 00 41  00 01 42  01 01 41 43  00 00')), [
      ['A', ''],
      ['', 'B'],
      ['A', 'C'],
      ['', ''],
    ]);
    assert.deepEqual(decodeParams(Buffer.of()), []);
  });

  it('are the same after a round trip, whatever octets they have', () => {
    fc.assert(
      fc.property(pairs, (params) => {
        assert.deepEqual(decodeParams(encodeParams(params)), params);
      }),
    );
  });

  it('are refused where the wire ends within a pair, wherever that is', () => {
    const wire = encodeParams([
      ['NAME', 'value'],
      ['LONG', 'y'.repeat(130)],
    ]);
    for (let bytes = 1; bytes < wire.length; bytes += 1) {
      const part = wire.subarray(0, bytes);
      if (bytes === 11) assert.deepEqual(decodeParams(part), [['NAME', 'value']]);
      else assert.throws(() => decodeParams(part), { name: 'BridgeError', code: 'ERR_FASTCGI_PARAMS' });
    }
  });

  it('are refused without reading or reserving what an absurd length promises', () => {
    const promises = [
      'ffffffff 00 41',
      '00 ffffffff',
      'ffffffff ffffffff',
      '7f 7f 41',
      '80',
      '01 80',
      'c0000000 00',
    ];
    for (const wire of promises) {
      assert.throws(() => decodeParams(hex(wire)), { code: 'ERR_FASTCGI_PARAMS' }, wire);
    }
  });

  it('take any garbage without throwing anything but a BridgeError, and make up no octets', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        try {
          const params = decodeParams(Buffer.from(bytes));
          const kept = params.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
          assert.ok(kept + 2 * params.length <= bytes.length);
        } catch (error) {
          assert.ok(error instanceof BridgeError);
          assert.equal(error.code, 'ERR_FASTCGI_PARAMS');
        }
      }),
    );
  });

  it('are looked up by name, and the last of a repeated name counts', () => {
    const params = [
      ['A', '1'],
      ['B', ''],
      ['A', '2'],
    ] as const;
    assert.equal(valueOf(params, 'A'), '2');
    assert.equal(valueOf(params, 'B'), '');
    assert.equal(valueOf(params, 'C'), undefined);
  });

  it('are shown to people as UTF-8, and as empty when they are absent', () => {
    assert.equal(paramText([['A', fromText('grün')]], 'A'), 'grün');
    assert.equal(paramText([['A', 'gr\xfcn']], 'A'), 'gr\ufffdn');
    assert.equal(paramText([], 'A'), '');
  });
});

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
          collector.add(piece);
          piece.fill(0);
        }
        assert.deepEqual(collector.decode(), pairs);
      }),
    );
  });

  it('are all kept up to the limit, and none beyond it', () => {
    const [collector, budget] = collectorOf(3);
    for (const octet of '\x01\x00a') collector.add(Buffer.from(octet));
    assert.equal(budget.takenBytes, 3);
    collector.add(Buffer.from('d'));
    assert.equal(budget.takenBytes, 0);
    assert.throws(() => collector.decode(), { code: 'ERR_MAX_PARAMS_SIZE', message: / sent 4 octets / });
    assert.equal(budget.takenBytes, 0);
    const [other] = collectorOf(3);
    for (const octet of '\x01\x00a') other.add(Buffer.from(octet));
    assert.deepEqual(other.decode(), [['a', '']]);
  });

  it('cost no more memory than twice their number, even in pieces of one octet', () => {
    const alloc = mock.method(Buffer, 'alloc');
    try {
      const [collector] = collectorOf(1_000_000);
      for (let count = 0; count < 300_000; count++) collector.add(Buffer.of(1));
      assert.ok(alloc.mock.calls.length > 0);
      assert.ok(Math.max(...alloc.mock.calls.map(({ arguments: [size] }) => size)) <= 600_000);
    } finally {
      alloc.mock.restore();
    }
  });
});
