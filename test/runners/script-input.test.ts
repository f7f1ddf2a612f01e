import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough, Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { describe, it } from 'node:test';

import { feedScript } from '../../src/runners/script-input.js';
import { Collector, settled, SlowReader } from '../helpers/sinks.js';
import { countedSource } from '../helpers/streams.js';

const ignore = (): void => undefined;

describe('A request’s body', () => {
  it('reaches the script octet by octet, and ends', async () => {
    const body = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 256));
    const script = new Collector();
    let bytes = 0;
    feedScript(Readable.from([body.subarray(0, 1), body.subarray(1)]), script, (count) => {
      bytes += count;
    });
    await finished(script);
    assert.deepEqual(script.octets, body);
    assert.equal(bytes, body.length);
  });

  it('reaches the script in one write where it comes in many small records at once', async () => {
    const source = new PassThrough();
    const writes: number[] = [];
    const script = new Writable({
      writev: (pieces, done) => {
        writes.push(pieces.length);
        done();
      },
    });
    feedScript(source, script, ignore);
    source.resume();
    await settled();
    for (let count = 0; count < 8; count++) source.write('record');
    await settled();
    for (let count = 0; count < 3; count++) source.write('record');
    source.end();
    await finished(script);
    assert.deepEqual(writes, [8, 3]);
  });

  it('that is empty ends the script’s standard input', async () => {
    const script = new Collector();
    feedScript(Readable.from([]), script, ignore);
    await finished(script);
    assert.equal(script.octets.length, 0);
  });

  it('is not read faster than the script reads', async () => {
    const script = new SlowReader();
    const bytes = 50 * 1024 * 1024;
    const source = countedSource(bytes);
    let mostAhead = 0;
    feedScript(source, script, () => {
      mostAhead = Math.max(mostAhead, source.given - script.takenBytes);
    });
    await finished(script);
    assert.equal(script.takenBytes, bytes);
    assert.ok(mostAhead <= 131_072, `${String(mostAhead)} octets were read ahead of the script`);
  });

  it('waits for a script that does not read', async () => {
    const source = countedSource(50 * 1024 * 1024);
    const script = new SlowReader({ heldUp: true });
    feedScript(source, script, ignore);
    await settled();
    assert.ok(source.given <= 131_072, `${String(source.given)} octets were read`);
    source.destroy();
    await once(script, 'close');
  });
});

describe('A script that does not want the body', () => {
  const closing = (code: string): Writable =>
    new Writable({
      write: (_chunk, _encoding, done) => {
        done(Object.assign(new Error(code), { code }));
      },
    });

  for (const code of ['EPIPE', 'ECONNRESET']) {
    it(`may close it (${code}), which destroys the body`, async () => {
      const source = countedSource(10 * 1024 * 1024);
      feedScript(source, closing(code), ignore);
      await once(source, 'close');
      assert.equal(source.errored, null, 'that is no fault of the body’s');
    });
  }

  it('may end in the middle of it', async () => {
    const source = countedSource(10 * 1024 * 1024);
    const script = new SlowReader({ heldUp: true });
    feedScript(source, script, ignore);
    await settled();
    script.destroy();
    await once(source, 'close');
  });
});

describe('A request that is aborted', () => {
  it('closes the script’s standard input, without an end', async () => {
    const source = new PassThrough();
    const script = new Collector();
    feedScript(source, script, ignore);
    source.write('half');
    await settled();
    source.destroy();
    await once(script, 'close');
    assert.ok(!script.writableFinished, 'an aborted body is no complete one');
  });
});
