import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, it, mock } from 'node:test';

import { Watch } from '../../src/daemon/supervise.js';

const ignore = (): void => undefined;

describe('A worker whose answers nobody sees', () => {
  it('may have served, however short its life', () => {
    const watch = new Watch(new PassThrough(), ignore, ignore);
    assert.equal(watch.mayHaveServed, true);
    watch.end();
  });

  it('has not served if it has written to its standard output, as a CGI program does', () => {
    const stdout = new PassThrough();
    let printed = 0;
    const watch = new Watch(stdout, ignore, () => printed++);
    stdout.write('Content-Type: text/html\n\n');
    stdout.write('more');
    assert.deepEqual([watch.mayHaveServed, printed], [false, 1]);
    watch.end();
  });

  it('is proven after five seconds, unless it has ended', () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    let proven = 0;
    const watch = new Watch(new PassThrough(), () => proven++, ignore);
    const ended = new Watch(new PassThrough(), () => proven++, ignore);
    mock.timers.tick(4_999);
    assert.equal(proven, 0);
    ended.end();
    mock.timers.tick(1);
    assert.equal(proven, 1);
    watch.end();
    mock.timers.reset();
  });
});
