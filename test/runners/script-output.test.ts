import assert from 'node:assert/strict';
import { PassThrough, Readable, type Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import { type OutputRun, ScriptOutput } from '../../src/runners/script-output.js';
import { Collector, settled, SlowReader } from '../helpers/sinks.js';

const HEADER = 'Content-Type: text/plain\n\n';

/** A run that nobody gives up. */
const quiet: OutputRun = {
  limits: { maxHeaderBytes: 1_000, holdDuringUploadBytes: 1_000, holdUntilExitBytes: 0 },
  idleTimer: { putOff: () => undefined },
  startTimer: { stop: () => undefined },
  onFull: () => undefined,
  headOnly: false,
  hasBody: true,
  givenUp: new AbortController().signal,
};

/** A script that is fed by the test, and a web server; the body has arrived once as much is held as may be. */
function carried<Sink extends Writable>(sink: Sink, options: Partial<OutputRun & OutputRun['limits']> = {}) {
  const script = new PassThrough({ highWaterMark: 1024 * 1024 });
  const onFull = (): void => {
    output.bodyArrived();
  };
  const run = { ...quiet, onFull, ...options, limits: { ...quiet.limits, ...options } };
  const output = new ScriptOutput(script, sink, run);
  const done = output.carry();
  done.catch(() => undefined);
  return { script, output, done, sink };
}

describe('A script’s answer', () => {
  it('goes to the web server untouched, with its status observed', async () => {
    let heads = 0;
    const { script, output, done, sink } = carried(new Collector(), { startTimer: { stop: () => heads++ } });
    output.bodyArrived();
    const body = Buffer.from(Array.from({ length: 10_000 }, (_, index) => (index * 7) % 256));
    script.write(`Status: 201 Made\r\nX: y\r\n\r`);
    assert.equal(output.status, undefined);
    script.write('\n');
    script.write(body.subarray(0, 5_000));
    script.end(body.subarray(5_000));
    await done;
    const header = 'Status: 201 Made\r\nX: y\r\n\r\n';
    assert.deepEqual(sink.octets, Buffer.concat([Buffer.from(header), body]));
    assert.deepEqual([output.status, output.sentBytes, heads], [201, header.length + body.length, 1]);
    assert.ok(!sink.writableEnded, 'the end is not for the carrier to say');
  });

  for (const [what, isLast, sent] of [
    ['at once while its script may write more', undefined, HEADER],
    ['a turn later where its script has ended, so that its end comes with it', true, ''],
  ] as const) {
    it(`is sent ${what}`, async () => {
      const script = Object.assign(new PassThrough(), { isLast });
      const sink = new Collector();
      const output = new ScriptOutput(script, sink, quiet);
      void output.carry();
      output.bodyArrived();
      await turn();
      script.write(HEADER);
      assert.equal(sink.text, sent);
      await turn();
      assert.equal(sink.text, HEADER);
    });
  }

  it('has interim responses taken out', async () => {
    const { script, output, done, sink } = carried(new Collector());
    output.bodyArrived();
    script.end(`HTTP/1.1 100 Continue\r\n\r\n${HEADER}body`);
    await done;
    assert.equal(sink.text, `${HEADER}body`);
  });

  it('is not begun before its header is complete', async () => {
    const { script, output, done, sink } = carried(new Collector());
    output.bodyArrived();
    script.end('Content-Type: text/plain\nno empty line');
    await done;
    assert.deepEqual([sink.text, output.status, output.sentBytes], ['', undefined, 0]);
  });

  it('is refused with a header that is too large', async () => {
    const { script, done, sink } = carried(new Collector());
    script.write('x'.repeat(1_001));
    await assert.rejects(done, { code: 'ERR_MAX_HEADER_SIZE' });
    assert.equal(sink.text, '');
  });

  it('is refused with a header that is not valid, also when the script has ended', async () => {
    const { script, output, done, sink } = carried(new Collector());
    script.end('\nbody');
    await assert.rejects(done, { code: 'ERR_INVALID_HEADER' });
    assert.deepEqual([sink.text, output.status], ['', undefined]);
  });

  for (const [what, header, pieces, sent, long] of [
    ['as long as announced', 'Content-Length: 4\n\n', ['ab', 'cd'], 'abcd', false],
    ['longer than announced', 'Content-Length: 4\n\n', ['ab', 'cde', 'f'], 'abcd', true],
    ['longer than announced, with its header', 'Content-Length: 4\n\n', ['abcdef'], 'abcd', true],
    ['of a status that has none', 'Status: 304\nContent-Length: 4\n\n', ['abcd'], '', true],
  ] as const) {
    it(`has a body ${what}, and what is more is thrown away`, async () => {
      const { script, output, done, sink } = carried(new Collector());
      output.bodyArrived();
      script.write(header + (pieces.length === 1 ? pieces[0] : ''));
      for (const piece of pieces.length === 1 ? [] : pieces) {
        await settled();
        script.write(piece);
      }
      script.end();
      await done;
      assert.deepEqual([sink.text, output.long, output.short], [header + sent, long, false]);
      assert.deepEqual([output.sentBytes, output.lost], [header.length + sent.length, false]);
    });
  }

  it('has no body where the request is HEAD, and is complete with its header', async () => {
    const header = 'Content-Length: 4\n\n';
    const { script, output, done, sink } = carried(new Collector(), { headOnly: true });
    output.bodyArrived();
    script.write(header.slice(0, -1));
    await settled();
    assert.equal(output.complete, false);
    script.write('\nab');
    await settled();
    assert.deepEqual([sink.text, output.complete], [header, true]);
    script.end('c');
    await done;
    assert.equal(output.short, false);
    assert.deepEqual([sink.text, output.sentBytes, output.lost], [header, header.length, false]);
  });

  it('is read no faster than the web server takes it', async () => {
    const sink = new SlowReader();
    const bytes = 50 * 1024 * 1024;
    let given = 0;
    let mostAhead = 0;
    const script = new Readable({
      read: () => {
        const piece = given === 0 ? Buffer.from(HEADER) : Buffer.alloc(65_536);
        given += piece.length;
        mostAhead = Math.max(mostAhead, given - sink.takenBytes);
        script.push(piece);
        if (given >= bytes) script.push(null);
      },
    });
    const output = new ScriptOutput(script, sink, quiet);
    output.bodyArrived();
    await output.carry();
    await new Promise((resolve) => sink.end(resolve));
    assert.equal(sink.takenBytes, given);
    assert.equal(output.sentBytes, given);
    assert.ok(mostAhead <= 400_000, `${String(mostAhead)} octets were read ahead of the web server`);
  });

  it('is read on and thrown away when the web server is gone', async () => {
    const { script, output, done, sink } = carried(new Collector());
    output.bodyArrived();
    script.write(`${HEADER}first`);
    await settled();
    sink.destroy();
    script.write('second');
    await settled();
    assert.equal(script.readableLength, 0, 'a script that still writes is not held up');
    script.end();
    await done;
    assert.equal(output.sentBytes, `${HEADER}first`.length);
  });

  it('does not wait for a web server that leaves while it is slow', async () => {
    const { script, output, done, sink } = carried(new SlowReader({ heldUp: true }));
    output.bodyArrived();
    script.write(HEADER + 'x'.repeat(100_000));
    await settled();
    sink.destroy();
    script.end('more');
    await done;
  });
});

describe('The answer to a request whose body still arrives', () => {
  it('is held back until the body has arrived', async () => {
    const { script, output, done, sink } = carried(new Collector());
    script.write(`${HEADER}first `);
    script.write('second ');
    await settled();
    assert.equal(sink.text, '');
    assert.equal(output.status, 200, 'what it says is known all the same');
    output.bodyArrived();
    await settled();
    assert.equal(sink.text, `${HEADER}first second `);
    script.write('third ');
    await settled();
    assert.equal(sink.text, `${HEADER}first second third `, 'nothing is held back after that');
    script.end('last');
    await done;
    assert.equal(sink.text, `${HEADER}first second third last`);
  });

  it('is sent when the script has ended', async () => {
    const { script, done, sink } = carried(new Collector());
    script.end(`${HEADER}all`);
    await done;
    assert.equal(sink.text, `${HEADER}all`);
  });

  it('is sent when as much as may be is held, and from then on at once', async () => {
    const { script, sink } = carried(new Collector());
    script.write(HEADER + 'x'.repeat(999 - HEADER.length));
    await settled();
    assert.equal(sink.octets.length, 0, 'one octet is missing');
    script.write('y');
    await settled();
    assert.equal(sink.octets.length, 1_000);
    script.write('z');
    await settled();
    assert.equal(sink.octets.length, 1_001, 'the web server has seen the answer begin');
    script.destroy();
  });

  it('is held in few pieces, however finely it is written', async () => {
    let pieces = 0;
    const sink = new Collector();
    const write = sink._write.bind(sink);
    sink._write = (...args) => {
      pieces += 1;
      write(...args);
    };
    const { script, output, done } = carried(sink, { holdDuringUploadBytes: 100_000 });
    const octets = 20_000;
    script.write(HEADER);
    // Each is read before the next is written.
    for (let count = 0; count < octets; count++) {
      script.write('x');
      await turn();
    }
    output.bodyArrived();
    script.end();
    await done;
    assert.equal(sink.text, `${HEADER}${'x'.repeat(octets)}`);
    assert.ok(pieces < 300, `${String(pieces)} pieces`);
  });

  it('waits for whoever sees to the body when as much as may be is held', async () => {
    let full = 0;
    const { script, output, sink } = carried(new Collector(), { onFull: () => full++ });
    script.write(HEADER + 'x'.repeat(1_000));
    await settled();
    script.write('not read');
    await settled();
    assert.deepEqual([full, sink.text, script.readableLength], [1, '', 8]);
    output.bodyArrived();
    await settled();
    assert.equal(sink.text, `${HEADER}${'x'.repeat(1_000)}not read`);
    script.destroy();
  });

  it('keeps its order when it is released while it is being sent', async () => {
    const { script, output, done, sink } = carried(new SlowReader({ heldUp: true }), {
      holdDuringUploadBytes: 10_000,
    });
    const pieces = Array.from({ length: 50 }, (_, index) => `${String(index)};`.repeat(1_000));
    const taken: Buffer[] = [];
    const write = sink._write.bind(sink);
    sink._write = (chunk: Buffer, encoding, next) => {
      taken.push(chunk);
      write(chunk, encoding, next);
    };
    script.write(HEADER);
    for (const piece of pieces.slice(0, 25)) script.write(piece);
    await settled();
    output.bodyArrived();
    output.bodyArrived();
    for (const piece of pieces.slice(25)) script.write(piece);
    sink.goOn();
    script.end();
    await done;
    await new Promise((resolve) => sink.end(resolve));
    assert.equal(Buffer.concat(taken).toString(), HEADER + pieces.join(''));
  });
});

describe('An answer that is held until it is whole', () => {
  const hold = { holdUntilExitBytes: 100 };

  it('is sent when the script has ended, not when its output or the request’s body has', async () => {
    const { script, output, done, sink } = carried(new Collector(), hold);
    output.bodyArrived();
    script.end(`${HEADER}all`);
    await done;
    assert.deepEqual([sink.text, output.status, output.complete], ['', 200, true]);
    output.scriptEnded({ isWhole: true });
    sink.end();
    assert.deepEqual([sink.text, output.withheld], [`${HEADER}all`, false]);
  });

  it('waits for the end of the stream, to go out with it', async () => {
    const { script, output, done, sink } = carried(new Collector(), hold);
    script.end(`${HEADER}all`);
    await done;
    output.scriptEnded({ isWhole: true });
    await settled();
    assert.equal(sink.text, '');
    sink.end();
    assert.equal(sink.text, `${HEADER}all`);
  });

  it('is forgotten when the script has ended before it was', async () => {
    const { script, output, done, sink } = carried(new Collector(), hold);
    script.end(`Content-Length: 5\n\nhal`);
    await done;
    output.scriptEnded({ isWhole: false });
    sink.end();
    assert.deepEqual([sink.text, output.status, output.withheld], ['', undefined, true]);
  });

  it('is sent as it comes once it is too large for that', async () => {
    const { script, output, done, sink } = carried(new Collector(), hold);
    output.bodyArrived();
    script.write(HEADER + 'x'.repeat(99 - HEADER.length));
    await settled();
    assert.equal(sink.octets.length, 0, 'one octet is missing');
    script.write('y');
    await settled();
    assert.equal(sink.octets.length, 100);
    script.end('z');
    await done;
    assert.equal(sink.octets.length, 101);
    output.scriptEnded({ isWhole: false });
    assert.deepEqual([output.status, output.withheld], [200, false]);
  });

  it('is held for the request’s body all the same, when it is too large', async () => {
    const { script, output, done, sink } = carried(new Collector(), hold);
    script.write(HEADER + 'x'.repeat(200));
    await settled();
    assert.equal(sink.text, '');
    output.bodyArrived();
    await settled();
    assert.equal(sink.octets.length, HEADER.length + 200);
    script.end();
    await done;
  });

  it('may be larger than what is held for a body', async () => {
    let full = 0;
    const { script, output, done, sink } = carried(new Collector(), {
      holdUntilExitBytes: 10_000,
      onFull: () => full++,
    });
    script.end(HEADER + 'x'.repeat(5_000));
    await settled();
    assert.equal(full, 1);
    output.bodyArrived();
    await done;
    assert.equal(sink.text, '');
    output.scriptEnded({ isWhole: true });
    sink.end();
    assert.equal(sink.octets.length, HEADER.length + 5_000);
  });
});

describe('A response is lost', () => {
  const header = 'Content-Length: 5\n\n';

  it('when the web server has left before all of it was handed over, held back or not yet written', async () => {
    const { script, output, done, sink } = carried(new Collector());
    script.write(`${header}whole`);
    await settled();
    assert.deepEqual([output.complete, output.lost], [true, false]);
    sink.destroy();
    script.end();
    await done;
    assert.deepEqual([output.lost, output.sentBytes], [true, 0]);
  });

  it('but not when it has left with all that the header says, whatever the script adds', async () => {
    const { script, output, done, sink } = carried(new Collector());
    output.bodyArrived();
    script.write(`${header}whole`);
    await settled();
    sink.destroy();
    script.end('and more');
    await done;
    assert.equal(output.lost, false);
  });
});

describe('A response is complete', () => {
  it('when it has the length that its header says', async () => {
    const { script, output } = carried(new Collector());
    script.write('Content-Length: 10\n\n12345');
    await settled();
    assert.equal(output.complete, false);
    script.write('67890');
    await settled();
    assert.equal(output.complete, true);
    script.destroy();
  });

  it('when the script has closed it', async () => {
    const { script, output, done } = carried(new Collector());
    script.end(`${HEADER}all`);
    await done;
    assert.equal(output.complete, true);
  });

  it('not before, and not because the bridge has closed it', async () => {
    const { script, output, done } = carried(new Collector());
    script.write(`${HEADER}much`);
    await settled();
    assert.equal(output.complete, false);
    script.destroy();
    await done;
    assert.equal(output.complete, false);
  });
});
