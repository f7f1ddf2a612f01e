import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { formatTimings } from '../../../src/cli/get/get.js';

describe('Timings', () => {
  it('of one request are its own', () => {
    const sample = { connectMs: 0.123, firstMs: 10, totalMs: 20.05, result: 'status 200' };
    assert.equal(
      formatTimings([sample]),
      'connect            0.1 ms\nfirst byte        10.0 ms\ntotal             20.1 ms\n',
    );
  });

  it('of several are the least, the median and the most, and what became of them', () => {
    const sample = (totalMs: number, result = 'status 200', connectMs?: number) => {
      return { connectMs, firstMs: result === 'timeout' ? undefined : totalMs / 2, totalMs, result };
    };
    assert.equal(
      formatTimings([sample(8), sample(2, 'status 200', 1), sample(4), sample(100, 'timeout')]),
      `                  min    median       max  ms
connect           1.0       1.0       1.0
first byte        1.0       2.0       4.0
total             2.0       6.0     100.0
4 requests: 3 × status 200, 1 × timeout
`,
    );
  });
});
