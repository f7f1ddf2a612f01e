import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Metrics } from '../../../src/observe/status/metrics.js';
import { sampleStatus } from '../../helpers/status.js';

const ended = {
  end: 'completed',
  status: 204,
  inBytes: 10,
  outBytes: 20,
  firstMs: 4,
  totalMs: 2_000,
} as const;

describe('The metrics', () => {
  it('count requests of each site by what ended them and by class of status', async () => {
    const metrics = await Metrics.open();
    const [one, other] = [metrics.counter('one'), metrics.counter('other')];
    one(ended);
    one(ended);
    one({ ...ended, end: 'aborted', status: undefined, firstMs: undefined });
    other({ ...ended, status: 503 });
    const counts = await metrics.countsOf('one');
    assert.deepEqual(counts.ended, [
      { end: 'completed', status: '2xx', requests: 2 },
      { end: 'aborted', status: 'none', requests: 1 },
    ]);
    assert.deepEqual([counts.receivedBytes, counts.sentBytes], [30, 60]);
    const { firstByte, total } = counts;
    assert.deepEqual([firstByte.count, total.count, total.sumMs], [2, 3, 6_000]);
    assert.deepEqual(
      firstByte.buckets.slice(0, 3).map(({ maxMs, count }) => [maxMs, count]),
      [
        [1, 0],
        [2.5, 0],
        [5, 2],
      ],
    );
    assert.deepEqual(total.buckets.at(-1), { maxMs: Infinity, count: 3 });
    assert.deepEqual((await metrics.countsOf('other')).ended, [
      { end: 'completed', status: '5xx', requests: 1 },
    ]);
  });

  it('go on with what was counted of a site that is made again', async () => {
    const metrics = await Metrics.open();
    metrics.counter('one')(ended);
    metrics.counter('one')(ended);
    const { ended: all, firstByte, total } = await metrics.countsOf('one');
    assert.deepEqual([all[0]?.requests, firstByte.count, total.count], [2, 2, 2]);
  });

  it('have a series for each site before its first request', async () => {
    const metrics = await Metrics.open();
    metrics.counter('idle');
    const { ended: none, total } = await metrics.countsOf('idle');
    assert.deepEqual([none, total.count, total.buckets.length > 5], [[], 0, true]);
    const text = await metrics.text(sampleStatus);
    assert.match(text, /^fcgi2cgi_requests_total\{site="idle",end="completed",status="2xx"\} 0$/m);
    assert.match(text, /^fcgi2cgi_request_seconds_count\{site="idle"\} 0$/m);
  });

  it('say what the status says when they are asked for, and nothing of an earlier one', async () => {
    const metrics = await Metrics.open();
    assert.match(await metrics.text(sampleStatus), /^fcgi2cgi_forks_total\{site=".*"\} 5$/m);
    const text = await metrics.text({ ...sampleStatus, sites: [], state: 'accepting' });
    assert.doesNotMatch(text, /^fcgi2cgi_forks_total\{/m);
    assert.match(text, /^fcgi2cgi_accepting 1$/m);
    assert.match(text, /^process_cpu_seconds_total 1\.5$/m);
  });
});
