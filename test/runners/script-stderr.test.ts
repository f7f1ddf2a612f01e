import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { describe, it } from 'node:test';

import { carryStderr } from '../../src/runners/script-stderr.js';
import { Collector, settled, SlowReader } from '../helpers/sinks.js';

/** Nobody gives up. */
const patient = new AbortController().signal;

describe('A script’s standard error', () => {
  it('goes to the web server whole, and its end is kept', async () => {
    const sink = new Collector();
    const tail = await carryStderr(
      Readable.from([Buffer.from('first\n'), Buffer.from('last\n')]),
      sink,
      8,
      patient,
    );
    assert.equal(sink.text, 'first\nlast\n');
    assert.equal(tail, 'st\nlast\n');
  });

  it('is kept to its bound however much there is, in whatever pieces', async () => {
    for (const size of [1, 7, 100, 100_000]) {
      const piece = Buffer.alloc(size, 'x');
      const pieces = Array.from({ length: 50 }, () => piece);
      const tail = await carryStderr(
        Readable.from([...pieces, Buffer.from('end')]),
        new Collector(),
        20,
        patient,
      );
      assert.equal(tail, `${'x'.repeat(17)}end`, `in pieces of ${String(size)}`);
    }
  });

  it('is kept also when the web server is gone, or leaves', async () => {
    const sink = new SlowReader({ heldUp: true });
    const source = new PassThrough();
    const carried = carryStderr(source, sink, 100, patient);
    source.write(Buffer.alloc(50_000, 'x'));
    await settled();
    sink.destroy();
    source.end('why it failed');
    assert.match(await carried, /why it failed$/);
  });

  it('is not read faster than the web server takes it', async () => {
    const sink = new SlowReader({ heldUp: true });
    let given = 0;
    const source = new Readable({
      read: () => {
        given += 10_000;
        source.push(given > 1_000_000 ? null : Buffer.alloc(10_000, 'x'));
      },
    });
    const carried = carryStderr(source, sink, 100, patient);
    await settled();
    assert.ok(given < 100_000, `${String(given)} octets were read`);
    source.destroy();
    sink.destroy();
    await carried;
  });

  it('is waited for no longer once the run is given up', async () => {
    const givenUp = new AbortController();
    const source = new PassThrough();
    const carried = carryStderr(source, new SlowReader({ heldUp: true }), 100, givenUp.signal);
    source.end(Buffer.alloc(50_000, 'x'));
    await settled();
    givenUp.abort();
    assert.equal((await carried).length, 100);
  });

  it('ends without a word when the run’s owner closes it', async () => {
    const source = new PassThrough();
    const carried = carryStderr(source, new Collector(), 100, patient);
    source.write('so far');
    await settled();
    source.destroy();
    assert.equal(await carried, 'so far');
  });
});
