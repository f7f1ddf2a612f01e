import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { byOutcome, duration, percentiles, size } from '../../../src/observe/status/quantities.js';

describe('Quantities for people', () => {
  it('have two units of time at most', () => {
    const shown = [0.04, 9.96, 12.3, 999, 1_000, 9_949, 12_000, 60_000, 203_000, 3_660_000, 1e9].map(
      duration,
    );
    assert.deepEqual(shown, [
      ...['0.0 ms', '10.0 ms', '12 ms', '999 ms', '1.0 s', '9.9 s', '12 s'],
      ...['1 min', '3 min 23 s', '1 h 1 min', '11 d 13 h'],
    ]);
  });

  it('have units of 1024 octets', () => {
    assert.deepEqual([0, 1_023, 1_024, 15_000, 5e6, 2 ** 60].map(size), [
      ...['0 B', '1023 B', '1.0 kB', '15 kB', '4.8 MB', '1024 PB'],
    ]);
  });

  it('say of times by which bound so many were there, and nothing where there were none', () => {
    const buckets = [
      { maxMs: 2.5, count: 50 },
      { maxMs: 5_000, count: 98 },
      { maxMs: Infinity, count: 100 },
    ];
    assert.equal(
      percentiles({ count: 100, sumMs: 0, buckets }),
      '50 % within 2.5 ms, 95 % within 5 s, 99 % beyond 5 s',
    );
    assert.equal(percentiles({ count: 0, sumMs: 0, buckets: [] }), '');
  });

  it('are counts by outcome in the order that is asked for', () => {
    const ended = [
      { end: 'aborted', status: 'none', requests: 1 },
      { end: 'completed', status: '4xx', requests: 2 },
      { end: 'completed', status: '2xx', requests: 3 },
    ] as const;
    assert.deepEqual(byOutcome(ended, ['completed', 'refused', 'aborted']), {
      classes: ['2xx', '4xx', 'none'],
      rows: [
        ['completed', [3, 2, 0]],
        ['aborted', [0, 0, 1]],
      ],
    });
  });
});
