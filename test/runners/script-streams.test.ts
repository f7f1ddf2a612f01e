import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import { PassThrough, Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { describe, it } from 'node:test';

import { carryStderr, drained, feedScript } from '../../src/runners/script-streams.js';
import { Collector, settled, SlowReader } from '../helpers/sinks.js';
import { countedSource } from '../helpers/streams.js';

const ignore = { putOff: (): void => undefined };

describe('A request’s body', () => {
  it('reaches the script octet by octet, and ends', async () => {
    const body = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 256));
    const script = new Collector();
    feedScript(Readable.from([body.subarray(0, 1), body.subarray(1)]), script, ignore);
    await finished(script);
    assert.deepEqual(script.octets, body);
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
    feedScript(source, script, {
      putOff: () => {
        mostAhead = Math.max(mostAhead, source.given - script.takenBytes);
      },
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

/** Nobody gives up. */
const patient = new AbortController().signal;

describe('A script’s standard error', () => {
  it('goes to the web server whole, and its end is kept', async () => {
    const sink = new Collector();
    const tail = await carryStderr(
      Readable.from([Buffer.from('first\n'), Buffer.from('last\n')]),
      { stderr: sink },
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
        { stderr: new Collector() },
        20,
        patient,
      );
      assert.equal(tail, `${'x'.repeat(17)}end`, `in pieces of ${String(size)}`);
    }
  });

  it('is kept also when the web server is gone, or leaves', async () => {
    const sink = new SlowReader({ heldUp: true });
    const source = new PassThrough();
    const carried = carryStderr(source, { stderr: sink }, 100, patient);
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
    const carried = carryStderr(source, { stderr: sink }, 100, patient);
    await settled();
    assert.ok(given < 200_000, `${String(given)} octets were read`);
    source.destroy();
    sink.destroy();
    await carried;
  });

  it('is waited for no longer once the run is given up', async () => {
    const givenUp = new AbortController();
    const source = new PassThrough();
    const carried = carryStderr(source, { stderr: new SlowReader({ heldUp: true }) }, 100, givenUp.signal);
    source.end(Buffer.alloc(50_000, 'x'));
    await settled();
    givenUp.abort();
    assert.equal((await carried).length, 100);
  });

  it('ends without a word when the run’s owner closes it', async () => {
    const source = new PassThrough();
    const carried = carryStderr(source, { stderr: new Collector() }, 100, patient);
    source.write('so far');
    await settled();
    source.destroy();
    assert.equal(await carried, 'so far');
  });
});

describe('Waiting until a stream can take more', () => {
  it('is over at once where nobody waits any more', async () => {
    await drained(new SlowReader({ heldUp: true }), AbortSignal.abort());
  });

  it('leaves no listener behind', async () => {
    const sink = new PassThrough();
    const { signal } = new AbortController();
    const count = (): readonly number[] => [
      ...['drain', 'close'].map((name) => sink.listenerCount(name)),
      getEventListeners(signal, 'abort').length,
    ];
    const before = count();
    const waited = drained(sink, signal);
    assert.notDeepEqual(count(), before);
    sink.emit('drain');
    await waited;
    assert.deepEqual(count(), before);
  });
});
