import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';

import { workerReport } from '../../../src/daemon/make-runner.js';
import type { Log } from '../../../src/observe/log.js';
import { eachLine } from '../../../src/runners/worker/worker.js';

/** The lines of a stream that comes in these pieces. */
async function linesOf(...pieces: readonly (Buffer | string)[]): Promise<string[]> {
  const stream = new PassThrough();
  const lines: string[] = [];
  eachLine(stream, (line) => lines.push(line));
  for (const piece of pieces) stream.write(piece);
  stream.end();
  if (!stream.closed) await once(stream, 'close');
  return lines;
}

describe('What a worker says', () => {
  it('is cut into lines, in whatever pieces it comes', async () => {
    assert.deepEqual(await linesOf('one\ntw', 'o\r\n\n', 'three'), ['one', 'two', 'three']);
    const euro = Buffer.from('€\n');
    assert.deepEqual(await linesOf(euro.subarray(0, 1), euro.subarray(1)), ['€']);
  });

  it('is kept only so far where a line does not end', async () => {
    const lines = await linesOf(...Array.from({ length: 100 }, () => 'x'.repeat(1_000)));
    assert.equal(lines.join('').length, 100_000);
    assert.ok(lines.every(({ length }) => length <= 4_096));
    assert.ok(lines.length <= 50);
  });

  it('has a line each in the log, unless thousands come within 10 s: then the log says how many', (context) => {
    context.mock.timers.enable({ apis: ['setInterval'] });
    const logged: string[] = [];
    const note: Log['warn'] = (_, message) => logged.push(message);
    const report = workerReport({ error: note, warn: note, info: note, debug: note });
    for (let line = 1; line <= 5_000; line++) report.said(1, String(line));
    const { length } = logged;
    assert.deepEqual([length, logged[999], logged.at(-1)], [1_001, 'worker: 1000', 'worker: 1001']);
    context.mock.timers.tick(10_000);
    assert.deepEqual(logged.slice(length), ['3999 more within 10 s: worker: 5000']);
  });

  it('ends where the stream is destroyed', () => {
    const stream = new PassThrough();
    eachLine(stream, () => {
      assert.fail('there was no line');
    });
    stream.destroy(new Error('gone'));
  });
});
