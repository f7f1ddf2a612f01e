import assert from 'node:assert/strict';
import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { describe, it } from 'node:test';

import { BridgeError } from '../../src/base/errors.js';
import { ByteBudget, NOTHING } from '../../src/base/bytes.js';
import { type Carrier, Request } from '../../src/fastcgi/request.js';
import { bodyOf } from '../helpers/peer.js';
import { lines } from '../helpers/records.js';

/** A connection that keeps what it is given, and can take its time. */
class Transport implements Carrier {
  readonly ended: Request[] = [];
  readonly requestCount = 1;
  readonly #octets: Buffer[] = [];
  readonly #waiting: (() => void)[] = [];
  sends = 0;
  slow = false;

  get lines(): string[] {
    return lines(Buffer.concat(this.#octets));
  }

  readonly send = (octets: readonly Buffer[], done?: () => void): void => {
    this.sends += 1;
    this.#octets.push(...octets);
    if (!done || octets.length === 0) return;
    if (this.slow) this.#waiting.push(done);
    else done();
  };

  /** Says that everything was sent. */
  flush(): void {
    for (const done of this.#waiting.splice(0)) done();
  }

  requestReady(): void {
    // It has no time limit here.
  }

  requestEnded(request: Request): void {
    this.ended.push(request);
  }
}

function makeRequest({ maxParamsBytes = 100, idleTimeoutMs = 0 } = {}): [Request, Transport] {
  const transport = new Transport();
  const paramsBudget = new ByteBudget(1_000_000);
  const limits = { maxParamsBytes, paramsBudget, idleTimeoutMs };
  return [new Request(1, true, transport, limits), transport];
}

const lost = new BridgeError('ERR_FASTCGI_DISCONNECTED', 'gone');
const END = 'END_REQUEST 1 00000000 00';

describe('A request', () => {
  it('ends with the end of STDOUT, of STDERR and END_REQUEST, in this order', async () => {
    const [request, transport] = makeRequest();
    request.stderr.write('warning');
    request.stdout.write('body');
    await request.end(1);
    assert.deepEqual(transport.lines, [
      'STDERR 1 warning',
      'STDOUT 1 body',
      'STDOUT 1 end',
      'STDERR 1 end',
      'END_REQUEST 1 00000001 00',
    ]);
    assert.deepEqual(transport.ended, [request]);
  });

  it('hands all of its end to the connection at once', async () => {
    const [request, transport] = makeRequest();
    request.stderr.write('warning');
    request.stdout.write('body');
    assert.equal(transport.sends, 2);
    await request.end(0);
    assert.equal(transport.sends, 3);
  });

  it('has what still waits to be written go out with its end', async () => {
    const [request, transport] = makeRequest();
    request.stdout.cork();
    request.stdout.write('body');
    request.stdout.write(' and more');
    await request.end(0);
    assert.equal(transport.sends, 1);
    assert.deepEqual(transport.lines, ['STDOUT 1 body', 'STDOUT 1  and more', 'STDOUT 1 end', END]);
    assert.equal(request.stdoutBytes, 13);
  });

  it('has the connection take what is much before its end', async () => {
    const [request, transport] = makeRequest();
    transport.slow = true;
    request.stdout.cork();
    request.stdout.write(Buffer.alloc(65_537));
    const ended = request.end(0);
    assert.equal(transport.sends, 1);
    assert.notEqual(transport.lines.at(-1), END);
    transport.flush();
    await ended;
    assert.equal(transport.lines.at(-1), END);
  });

  it('leaves out STDERR if nothing was written to it, and ends STDOUT in any case', async () => {
    const [request, transport] = makeRequest();
    request.stderr.write('');
    await request.end(0);
    assert.deepEqual(transport.lines, ['STDOUT 1 end', END]);
  });

  it('ends once, however often and however it is ended', async () => {
    const [request, transport] = makeRequest();
    await Promise.all([request.end(0), request.end(1)]);
    await request.end(2);
    request.abort(lost, { answer: true });
    request.abort(lost, { answer: false });
    assert.deepEqual(transport.lines, ['STDOUT 1 end', END]);
    assert.equal(transport.ended.length, 1);
    assert.equal(request.signal.aborted, false, 'what has ended can’t be aborted');
  });

  it('can have its streams ended before, whose ends go with it', async () => {
    const [request, transport] = makeRequest();
    request.stdout.end('body');
    request.stderr.end('warning');
    await request.end(0);
    assert.deepEqual(transport.lines, [
      'STDOUT 1 body',
      'STDERR 1 warning',
      'STDOUT 1 end',
      'STDERR 1 end',
      END,
    ]);
  });

  it('waits with END_REQUEST until all of STDOUT was taken', async () => {
    const [request, transport] = makeRequest();
    transport.slow = true;
    request.stdout.write('one');
    request.stdout.write('two');
    const ended = request.end(0);
    assert.deepEqual(transport.lines, ['STDOUT 1 one']);
    transport.flush();
    assert.deepEqual(transport.lines, ['STDOUT 1 one', 'STDOUT 1 two']);
    transport.flush();
    await ended;
    assert.deepEqual(transport.lines.slice(2), ['STDOUT 1 end', END]);
  });

  it('takes a write without octets for nothing, not for the end of the stream', async () => {
    const [request, transport] = makeRequest();
    request.stdout.write('');
    request.stdout.write('body');
    request.stdout.write(Buffer.of());
    await request.end(0);
    assert.deepEqual(transport.lines, ['STDOUT 1 body', 'STDOUT 1 end', END]);
  });

  it('sends more than a record can hold as several', async () => {
    const [request, transport] = makeRequest();
    request.stdout.write(Buffer.alloc(100_000, 'x'));
    await request.end(0);
    assert.deepEqual(
      transport.lines.map((line) => line.replace(/x+/, (content) => String(content.length))),
      ['STDOUT 1 65528', 'STDOUT 1 34472', 'STDOUT 1 end', END],
    );
  });

  it('is answered at once when it is aborted, even while it waits for STDOUT to be taken', async () => {
    const [request, transport] = makeRequest();
    transport.slow = true;
    request.stdout.write('one');
    const ended = request.end(0);
    request.abort(lost, { answer: true });
    assert.deepEqual(transport.lines, ['STDOUT 1 one', 'END_REQUEST 1 0000008f 00']);
    assert.equal(request.signal.reason, lost);
    await ended;
    assert.equal(transport.lines.length, 2);
    assert.equal(transport.ended.length, 1);
  });

  it('counts what of STDOUT was still to be sent when it was given up', async () => {
    const [request, transport] = makeRequest();
    transport.slow = true;
    request.stdout.write('sent');
    transport.flush();
    request.stdout.write('under way');
    request.stdout.write('waiting');
    request.abort(lost, { answer: false });
    await request.end(0);
    assert.equal(request.unsentBytes, 16);
  });

  it('is not answered when nobody is left', async () => {
    const [request, transport] = makeRequest();
    const body = bodyOf(10);
    request.body = body;
    request.abort(lost, { answer: false });
    await request.end(0);
    assert.deepEqual(transport.lines, []);
    assert.equal(transport.ended.length, 1);
    assert.ok(body.destroyed && request.stdout.destroyed && request.stderr.destroyed);
  });

  it('ends once when its handler ends it at the very moment of the abort', async () => {
    const [request, transport] = makeRequest();
    let ended: Promise<void> | undefined;
    request.signal.addEventListener('abort', () => {
      ended = request.end(0);
    });
    request.abort(lost, { answer: true });
    await ended;
    assert.ok(ended);
    assert.equal(transport.lines.filter((line) => line.startsWith('END_REQUEST')).length, 1);
    assert.equal(transport.lines.at(-1), 'END_REQUEST 1 0000008f 00');
    assert.equal(transport.ended.length, 1);
  });

  it('sends nothing to STDERR that is asked for only once the request ends', async () => {
    const [request, transport] = makeRequest();
    const ended = request.end(0);
    assert.ok(request.stderr.destroyed);
    await ended;
    assert.deepEqual(transport.lines, ['STDOUT 1 end', END]);
  });

  it('takes writes after an abort without complaint', async () => {
    const [request, transport] = makeRequest();
    request.abort(lost, { answer: false });
    await new Promise<unknown>((resolve) => request.stdout.write('late', resolve));
    assert.deepEqual(transport.lines, []);
  });

  it('keeps a copy of its params, since the transport reuses its memory', () => {
    const [request] = makeRequest();
    const chunk = Buffer.from('\x01\x01AB');
    request.takeParams(chunk);
    chunk.fill(0xff);
    request.takeParams(NOTHING);
    assert.deepEqual(request.params, [['A', 'B']]);
  });

  it('copies of its STDIN only what is small beside the memory that it would keep', () => {
    const [request] = makeRequest();
    const body = bodyOf(65_536);
    const chunk = Buffer.from(new ArrayBuffer(65_536));
    request.takeParams(NOTHING);
    request.body = body;
    request.takeStdin(chunk.subarray(0, 8_192));
    assert.equal((body.read() as Buffer).buffer, chunk.buffer);
    request.takeStdin(chunk.subarray(0, 4_000));
    assert.notEqual((body.read() as Buffer).buffer, chunk.buffer);
  });

  it('says when its STDIN is full and when it is wanted again', async () => {
    const [request] = makeRequest();
    const body = bodyOf(10);
    assert.equal(request.takeParams(NOTHING), true);
    request.body = body;
    request.takeStdin(Buffer.alloc(9));
    assert.equal(request.isFull, false);
    request.takeStdin(Buffer.alloc(1));
    assert.equal(request.isFull, true);
    const wanted = once(body, 'drain');
    assert.equal((body.read() as Buffer).length, 10);
    await wanted;
    assert.equal(request.isFull, false);
    request.takeStdin(Buffer.alloc(20, 'x'));
    assert.equal(request.isFull, true);
    request.takeStdin(NOTHING);
    assert.equal(request.isFull, false, 'there is nothing to hold back any more');
    assert.equal((await buffer(body)).length, 20);
  });

  it('wants the rest of a STDIN whose reader has left, and forgets it', () => {
    const [request] = makeRequest();
    const body = bodyOf(10);
    request.takeParams(NOTHING);
    request.body = body;
    request.takeStdin(Buffer.alloc(20));
    body.destroy();
    assert.equal(request.isFull, false);
    request.takeStdin(Buffer.alloc(20));
    request.takeStdin(NOTHING);
    assert.equal(request.isFull, false);
  });

  it('that has ended destroys a body that comes only then', () => {
    const [request] = makeRequest();
    request.abort(lost, { answer: false });
    const body = bodyOf(10);
    request.body = body;
    assert.ok(body.destroyed);
  });
});
