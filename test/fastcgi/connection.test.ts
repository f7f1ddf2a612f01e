import assert from 'node:assert/strict';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';

import { aborted, Peer, tcpPair } from '../helpers/peer.js';
import { begin, hex, record, wholeRequest } from '../helpers/records.js';

const KEEP = { flags: 1 };

describe('A connection', () => {
  it('answers a request octet for octet and is closed after it without KEEP_CONN', async () => {
    const peer = new Peer();
    const request = await peer.request(
      hex(`01 01 0001 0008 00 00  0001 00 0000000000
           01 04 0001 0004 04 00  01 01 41 42  00000000
           01 04 0001 0000 00 00
           01 05 0001 0004 04 00  626f6479  00000000
           01 05 0001 0000 00 00`),
    );
    assert.equal(request.requestId, 1);
    assert.equal(request.keepConn, false);
    assert.equal(request.problem, undefined);
    assert.deepEqual(request.params, [['A', 'B']]);
    assert.equal(await text(peer.stdin(request)), 'body');
    request.stdout.write('hi');
    await request.end(258);
    await once(peer.far, 'end');
    assert.deepEqual(
      peer.octets,
      hex(`01 06 0001 0002 00 00  6869
           01 06 0001 0000 00 00
           01 03 0001 0008 00 00  00000102 00 000000`),
    );
    await peer.rest();
    assert.equal(request.signal.aborted, false);
    assert.deepEqual(peer.problems, []);
  });

  it('carries one request after the other with KEEP_CONN, with the same id', async () => {
    const peer = new Peer();
    for (const name of ['one', 'two', 'three']) {
      const request = await peer.request(wholeRequest(1, { ...KEEP, stdin: name }));
      request.stdout.end(await text(peer.stdin(request)));
      await request.end(0);
      assert.deepEqual(await peer.ask(), [`STDOUT 1 ${name}`, 'STDOUT 1 end', 'END_REQUEST 1 00000000 00']);
    }
    assert.equal(new Set(peer.requests).size, 3);
    await peer.leave();
  });

  it('says that a request has no body where STDIN ends right behind the params, and only there', async () => {
    const empty: boolean[] = [];
    const peer = new Peer({ onRequest: ({ hasBody }) => empty.push(!hasBody) });
    const [params, end] = [[begin(1, KEEP), record(4, 1, '')], record(5, 1, '')];
    await peer.ask(...params, end, record(2, 1, ''));
    await peer.ask(...params, record(5, 1, 'x'), end, record(2, 1, ''));
    await peer.ask(...params);
    await peer.ask(end, record(2, 1, ''));
    assert.deepEqual(empty, [true, false, false]);
    await peer.leave();
  });

  it('hands a request over though what comes right behind its params ends the connection', async () => {
    const peer = new Peer();
    peer.send(begin(1, KEEP), record(4, 1, ''), Buffer.alloc(8));
    await peer.connection.closed;
    assert.deepEqual(
      peer.requests.map(({ signal }) => signal.aborted),
      [true],
    );
  });

  it('carries multiplexed requests, each with its own params, body and answer', async () => {
    const peer = new Peer();
    await peer.ask(
      begin(1, KEEP),
      begin(0x0102, KEEP),
      record(4, 1, '\x01'),
      record(4, 0x0102, '\x01\x01X'),
      record(4, 1, '\x01AB'),
      record(4, 0x0102, 'Y'),
      record(4, 0x0102),
      record(5, 0x0102, 'second'),
      record(4, 1),
      record(5, 1, 'first'),
      record(5, 0x0102),
      record(5, 1),
    );
    const [second, first] = peer.requests;
    assert.ok(first && second);
    assert.deepEqual([first.requestId, second.requestId], [1, 0x0102]);
    assert.deepEqual([first.params, second.params], [[['A', 'B']], [['X', 'Y']]]);
    assert.deepEqual(await Promise.all([text(peer.stdin(first)), text(peer.stdin(second))]), [
      'first',
      'second',
    ]);
    first.stdout.write('1');
    second.stdout.write('2');
    await second.end(2);
    await first.end(1);
    assert.deepEqual(await peer.ask(), [
      'STDOUT 1 1',
      'STDOUT 258 2',
      'STDOUT 258 end',
      'END_REQUEST 258 00000002 00',
      'STDOUT 1 end',
      'END_REQUEST 1 00000001 00',
    ]);
    await peer.leave();
  });

  it('ends only after the last of its requests, if one of them came without KEEP_CONN', async () => {
    const peer = new Peer();
    await peer.ask(wholeRequest(1), wholeRequest(2, KEEP));
    const [first, second] = peer.requests;
    assert.ok(first && second);
    await first.end(0);
    assert.deepEqual(await peer.ask(), ['STDOUT 1 end', 'END_REQUEST 1 00000000 00']);
    assert.equal(second.signal.aborted, false);
    await second.end(0);
    assert.deepEqual(await peer.rest(), ['STDOUT 2 end', 'END_REQUEST 2 00000000 00']);
  });

  it('delivers a request when its params are complete, before its body has come', async () => {
    const peer = new Peer();
    await peer.ask(begin(1), record(4, 1, '\x01\x00A'));
    assert.equal(peer.requests.length, 0);
    await peer.ask(record(4, 1));
    assert.equal(peer.requests.length, 1);
    await peer.leave();
  });

  it('answers ABORT_REQUEST by END_REQUEST at once, and aborts the signal', async () => {
    const peer = new Peer();
    const request = await peer.request(begin(1, KEEP), record(4, 1), record(5, 1, 'part'));
    request.stdout.write('begun');
    assert.deepEqual(await peer.ask(record(2, 1)), ['STDOUT 1 begun', 'END_REQUEST 1 0000008f 00']);
    assert.equal(request.signal.aborted, true);
    assert.match(String(request.signal.reason), /ABORT_REQUEST/);
    assert.ok(peer.stdin(request).destroyed && request.stdout.destroyed && request.stderr.destroyed);
    await request.end(0);
    assert.deepEqual(await peer.ask(record(2, 1)), [], 'END_REQUEST is sent once');
    const next = await peer.request(wholeRequest(1, KEEP));
    assert.notEqual(next, request);
    await peer.leave();
  });

  it('is closed after ABORT_REQUEST of a request without KEEP_CONN', async () => {
    const peer = new Peer();
    await peer.request(begin(1), record(4, 1));
    peer.send(record(2, 1));
    assert.deepEqual(await peer.rest(), ['END_REQUEST 1 0000008f 00']);
  });

  it('answers ABORT_REQUEST of a request whose params are not complete, which nobody hears of', async () => {
    const peer = new Peer();
    const answer = await peer.ask(begin(1, KEEP), record(4, 1, '\x01'), record(2, 1), record(4, 1));
    assert.deepEqual(answer, ['END_REQUEST 1 0000008f 00']);
    assert.equal(peer.requests.length, 0);
    await peer.leave();
  });

  it('answers GET_VALUES with the values it knows and leaves out the others', async () => {
    const peer = new Peer({ values: { FCGI_MAX_CONNS: '7', FCGI_MPXS_CONNS: '1' } });
    const asked = '\x0e\x00FCGI_MAX_CONNS\x0c\x00FCGI_UNKNOWN';
    assert.deepEqual(await peer.ask(record(9, 0, asked)), ['GET_VALUES_RESULT 0 \x0e\x01FCGI_MAX_CONNS7']);
    await peer.leave();
  });

  it('answers GET_VALUES for names that every object of JavaScript has as unknown', async () => {
    const peer = new Peer({ values: { FCGI_MAX_CONNS: '7' } });
    const asked = '\x09\x00__proto__\x08\x00toString\x0b\x00constructor';
    assert.deepEqual(await peer.ask(record(9, 0, asked)), ['GET_VALUES_RESULT 0 end']);
    await peer.leave();
  });

  it('answers GET_VALUES that asks for one name a thousand times with one value', async () => {
    const peer = new Peer({ values: { N: 'x'.repeat(100) } });
    const answer = await peer.ask(record(9, 0, '\x01\x00N'.repeat(20_000)));
    assert.deepEqual(answer, [`GET_VALUES_RESULT 0 \x01\x64N${'x'.repeat(100)}`]);
    await peer.leave();
  });

  it('answers management records of unknown types with UNKNOWN_TYPE, also type 0', async () => {
    const peer = new Peer();
    assert.deepEqual(
      await peer.ask(record(12, 0), record(255, 0, 'content', { paddingBytes: 1 }), record(0, 0, 'x')),
      ['UNKNOWN_TYPE 0 0c', 'UNKNOWN_TYPE 0 ff', 'UNKNOWN_TYPE 0 00'],
    );
    await peer.leave();
  });

  for (const [name, role] of Object.entries({ AUTHORIZER: 2, FILTER: 3, 'role 0': 0, 'role 255': 255 })) {
    it(`refuses ${name} with UNKNOWN_ROLE and ignores the rest of that request`, async () => {
      const peer = new Peer();
      assert.deepEqual(await peer.ask(begin(1, { ...KEEP, role }), wholeRequest(1).subarray(16)), [
        'END_REQUEST 1 00000000 03',
      ]);
      assert.equal(peer.requests.length, 0);
      await peer.request(wholeRequest(1, KEEP));
      await peer.leave();
    });
  }

  it('is closed after UNKNOWN_ROLE without KEEP_CONN', async () => {
    const peer = new Peer();
    peer.send(begin(1, { role: 2 }), record(4, 1), record(5, 1));
    assert.deepEqual(await peer.rest(), ['END_REQUEST 1 00000000 03']);
    assert.deepEqual(peer.problems, []);
  });

  it('refuses requests beyond maxRequests with a document until one has ended', async () => {
    const peer = new Peer({ maxRequests: 2 });
    const answer = await peer.ask(...[1, 2, 3].map((id) => wholeRequest(id, KEEP)));
    assert.deepEqual(answer, ['STDOUT 3 max-requests', 'STDOUT 3 end', 'END_REQUEST 3 00000000 00']);
    assert.deepEqual(
      peer.requests.map(({ requestId }) => requestId),
      [1, 2],
    );
    await peer.requests[0]?.end(0);
    assert.equal((await peer.request(wholeRequest(3, KEEP))).requestId, 3);
    await peer.leave();
  });

  it('delivers a request with too many params with ERR_MAX_PARAMS_SIZE, and can answer it', async () => {
    const peer = new Peer({ maxParamsBytes: 8 });
    const exact = await peer.request(wholeRequest(1, { ...KEEP, params: '\x03\x03abcdef' }));
    assert.equal(exact.problem, undefined);
    assert.deepEqual(exact.params, [['abc', 'def']]);
    await exact.end(0);
    await peer.ask();
    const parts = [record(4, 1, '\x03\x03abc'), record(4, 1, 'def'), record(4, 1, '\x00\x00')];
    const request = await peer.request(begin(1, KEEP), ...parts, record(4, 1), record(5, 1));
    assert.equal(request.problem?.code, 'ERR_MAX_PARAMS_SIZE');
    assert.match(request.problem.message, /10 octets.*\(8\)/);
    assert.deepEqual(request.params, []);
    request.stdout.end('no');
    await request.end(0);
    assert.deepEqual((await peer.ask())[0], 'STDOUT 1 no');
    await peer.leave();
  });

  it('delivers a request with damaged params with ERR_FASTCGI_PARAMS, and the others go on', async () => {
    const peer = new Peer();
    await peer.ask(wholeRequest(2, KEEP));
    const request = await peer.request(wholeRequest(1, { ...KEEP, params: '\x01\x7fA' }));
    assert.equal(request.problem?.code, 'ERR_FASTCGI_PARAMS');
    assert.deepEqual(request.params, []);
    assert.equal(peer.requests[0]?.signal.aborted, false);
    assert.deepEqual(peer.problems, []);
    await peer.leave();
  });

  for (const how of ['destroy', 'end'] as const) {
    it(`aborts its requests with ERR_FASTCGI_DISCONNECTED when the web server leaves by ${how}`, async () => {
      const peer = new Peer({ pair: await tcpPair() });
      const request = await peer.request(begin(1, KEEP), begin(2, KEEP), record(4, 1), record(5, 1, 'x'));
      peer.far[how]();
      if (!request.signal.aborted) await aborted(request.signal);
      assert.equal((request.signal.reason as { code?: string }).code, 'ERR_FASTCGI_DISCONNECTED');
      assert.ok(peer.stdin(request).destroyed && request.stdout.destroyed);
      await request.end(0);
      await peer.connection.closed;
      assert.deepEqual(peer.problems, [], 'that is nobody’s fault');
      peer.far.destroy();
    });
  }
});
