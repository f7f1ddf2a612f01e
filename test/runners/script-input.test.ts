import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough, Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { describe, it } from 'node:test';

import { feedScript } from '../../src/runners/script-input.js';
import { Collector, settled, SlowReader } from '../helpers/sinks.js';

const ignore = (): void => undefined;

/** A source of `bytes` octets that counts what was asked of it. */
function countedSource(bytes: number): Readable & { given: number } {
  const piece = Buffer.alloc(16_384, 'x');
  const source = Object.assign(
    new Readable({
      read: () => {
        const next = piece.subarray(0, Math.min(piece.length, bytes - source.given));
        source.given += next.length;
        source.push(next.length === 0 ? null : next);
      },
    }),
    { given: 0 },
  );
  return source;
}

describe('A request’s body', () => {
  it('reaches the script octet by octet, and ends', async () => {
    const body = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 256));
    const script = new Collector();
    let bytes = 0;
    await feedScript(Readable.from([body.subarray(0, 1), body.subarray(1)]), script, (count) => {
      bytes += count;
    });
    await finished(script);
    assert.deepEqual(script.octets, body);
    assert.equal(bytes, body.length);
  });

  it('that is empty ends the script’s standard input', async () => {
    const script = new Collector();
    await feedScript(Readable.from([]), script, ignore);
    await finished(script);
    assert.equal(script.octets.length, 0);
  });

  it('has arrived when it has ended, read by the script or not', async () => {
    const script = new SlowReader({ heldUp: true });
    const source = new PassThrough();
    let arrived = false;
    const fed = feedScript(source, script, ignore).then(() => (arrived = true));
    source.write('half');
    await settled();
    assert.equal(arrived, false, 'the body has not ended');
    source.end('half');
    await fed;
    assert.equal(script.takenBytes, 0);
    script.goOn();
    await finished(script);
    assert.equal(script.takenBytes, 8);
  });

  it('is not read faster than the script reads', async () => {
    const script = new SlowReader();
    const bytes = 50 * 1024 * 1024;
    const source = countedSource(bytes);
    let mostAhead = 0;
    void feedScript(source, script, () => {
      mostAhead = Math.max(mostAhead, source.given - script.takenBytes);
    });
    await finished(script);
    assert.equal(script.takenBytes, bytes);
    assert.ok(mostAhead <= 131_072, `${String(mostAhead)} octets were read ahead of the script`);
  });

  it('waits for a script that does not read', async () => {
    const source = countedSource(50 * 1024 * 1024);
    const script = new SlowReader({ heldUp: true });
    void feedScript(source, script, ignore);
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
    it(`may close it (${code}): the rest is read and thrown away`, async () => {
      const source = countedSource(10 * 1024 * 1024);
      await feedScript(source, closing(code), ignore);
      await finished(source);
      assert.equal(source.given, 10 * 1024 * 1024);
    });
  }

  it('may end in the middle of it', async () => {
    const source = countedSource(10 * 1024 * 1024);
    const script = new SlowReader({ heldUp: true });
    const fed = feedScript(source, script, ignore);
    await settled();
    script.destroy();
    await fed;
    await finished(source);
    assert.equal(source.given, 10 * 1024 * 1024);
  });

  it('is not waited for when more of the body is to come', async () => {
    const source = new PassThrough();
    const fed = feedScript(source, closing('EPIPE'), ignore);
    source.write('a piece');
    await fed;
    source.write(Buffer.alloc(1_000_000));
    await settled();
    assert.equal(source.readableLength, 0, 'the rest is not kept');
    source.end();
    await finished(source);
  });
});

describe('A request that is aborted', () => {
  it('closes the script’s standard input', async () => {
    const source = new PassThrough();
    const script = new Collector();
    const fed = feedScript(source, script, ignore);
    source.write('half');
    await settled();
    source.destroy();
    await fed;
    assert.ok(script.destroyed);
    assert.ok(!script.writableFinished, 'an aborted body is no complete one');
  });
});

describe('A body that must come in although the script does not read it', () => {
  const MB = 1024 * 1024;

  /** A script that reads nothing until it is told to, a body, and what asks for the rest of it. */
  function heldUp(bytes: number, maxBytes: number) {
    const source = countedSource(bytes);
    const script = new SlowReader({ heldUp: true });
    let ask = (): void => undefined;
    const wanted = new Promise<void>((resolve) => (ask = resolve));
    const fed = feedScript(source, script, ignore, { wanted, maxBytes });
    return { source, script, fed, ask };
  }

  it('is taken to disk, and reaches the script whole', async () => {
    const { source, script, fed, ask } = heldUp(10 * MB, 20 * MB);
    await settled();
    assert.ok(source.given <= 131_072);
    ask();
    await fed;
    assert.deepEqual([source.given, script.takenBytes], [10 * MB, 0]);
    script.goOn();
    await finished(script);
    assert.equal(script.takenBytes, 10 * MB);
    assert.ok(script.mostWaiting <= 262_144, 'it is read from there no faster than the script reads');
  });

  it('is waited for no longer when the disk has as much of it as may be; nothing is lost', async () => {
    const { source, script, fed, ask } = heldUp(10 * MB, 2 * MB);
    ask();
    await fed;
    assert.ok(source.given < 3 * MB, `${String(source.given)} octets were read`);
    script.goOn();
    await finished(script);
    assert.equal(script.takenBytes, 10 * MB);
  });

  it('is thrown away when the script ends while it comes', async () => {
    const source = new PassThrough();
    const script = new SlowReader({ heldUp: true });
    const fed = feedScript(source, script, ignore, { wanted: Promise.resolve(), maxBytes: MB });
    source.write('a piece');
    await settled();
    script.destroy();
    await fed;
    source.end(Buffer.alloc(MB));
    await finished(source);
  });

  it('has no end for the script when it is aborted', async () => {
    const source = new PassThrough();
    const script = new Collector();
    const fed = feedScript(source, script, ignore, { wanted: Promise.resolve(), maxBytes: MB });
    source.write('a piece');
    await settled();
    source.destroy();
    await fed;
    assert.ok(script.destroyed && !script.writableFinished);
  });
});
