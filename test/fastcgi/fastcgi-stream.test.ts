/** Why `fastcgi-stream` does not read or write our records: one case for each way in which it trusts its peer. */

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';

import fastcgi from 'fastcgi-stream';

import { Peer } from '../helpers/peer.js';
import { begin, hex, record, received, wholeRequest } from '../helpers/records.js';

interface LibraryRecord {
  readonly TYPE: number;
  readonly params?: unknown;
  readonly role?: unknown;
}
interface Library {
  on(event: 'record', listener: (requestId: number, record: LibraryRecord) => void): void;
  writeRecord(requestId: number, record: object): void;
}
const Library = fastcgi.FastCGIStream as new (stream: object) => Library;
const { StdOut } = fastcgi.records as unknown as { StdOut: new (data: Buffer) => object };

/** The records that the library makes of these chunks. */
function libraryReads(...chunks: Buffer[]): LibraryRecord[] {
  const stream = new EventEmitter();
  const records: LibraryRecord[] = [];
  new Library(stream).on('record', (_requestId, one) => records.push(one));
  for (const chunk of chunks) stream.emit('data', chunk);
  return records;
}

const KEEP = { flags: 1 };
/** PARAMS content whose only value has 200 octets, so that its length takes four. */
const longPair = Buffer.concat([hex('01 800000c8 41'), Buffer.alloc(200, 'x')]);

describe('Where fastcgi-stream fails', () => {
  it('an unknown record type costs the peer an UNKNOWN_TYPE answer, not us the process', async () => {
    assert.throws(() => libraryReads(record(99, 0)), TypeError);
    const peer = new Peer();
    assert.deepEqual(await peer.ask(record(99, 0, 'content'), record(99, 1, 'content')), [
      'UNKNOWN_TYPE 0 63',
    ]);
    assert.equal((await peer.request(wholeRequest(1, KEEP))).requestId, 1);
    await peer.leave();
  });

  it('a record of type 0 does not lose the framing of what follows', async () => {
    const inside = record(2, 1);
    assert.deepEqual(
      libraryReads(record(0, 0, inside), record(2, 2)).map(({ TYPE }) => TYPE),
      [2, 2],
      'the library takes the content for a record',
    );
    const peer = new Peer();
    const request = await peer.request(begin(1, KEEP), record(4, 1));
    assert.deepEqual(await peer.ask(record(0, 0, inside, { paddingBytes: 5 }), record(0, 7, inside)), [
      'UNKNOWN_TYPE 0 00',
    ]);
    assert.equal(request.signal.aborted, false);
    await peer.leave();
  });

  it('a version other than 1 is refused', async () => {
    assert.equal(libraryReads(record(2, 1, '', { version: 9 })).length, 1);
    const peer = new Peer();
    peer.send(record(2, 1, '', { version: 9 }));
    await peer.connection.closed;
    assert.equal(peer.problems[0]?.code, 'ERR_FASTCGI_VERSION');
  });

  for (const content of ['', '\x00\x01']) {
    it(`a BEGIN_REQUEST body of ${String(content.length)} octets is refused`, async () => {
      assert.equal(libraryReads(record(1, 1, content)).length, 1);
      const peer = new Peer();
      peer.send(record(1, 1, content));
      await peer.connection.closed;
      assert.equal(peer.problems[0]?.code, 'ERR_FASTCGI_LENGTH');
    });
  }

  it('a pair across two PARAMS records is one pair, wherever it is cut', async () => {
    const halves = [record(4, 1, longPair.subarray(0, 100)), record(4, 1, longPair.subarray(100))];
    const pairs = libraryReads(begin(1), ...halves).map(({ params }) => params);
    assert.notDeepEqual(pairs, [undefined, [['A', 'x'.repeat(200)]]]);
    assert.equal(pairs.length, 3, 'the library makes pairs of each record');
    for (let cut = 1; cut < longPair.length; cut += 1) {
      const peer = new Peer();
      const request = await peer.request(
        begin(1),
        record(4, 1, longPair.subarray(0, cut)),
        record(4, 1, longPair.subarray(cut)),
        record(4, 1),
      );
      assert.deepEqual(request.params, [['A', 'x'.repeat(200)]]);
      await peer.leave();
    }
  });

  it('a length prefix that points past the end makes the params useless, not wrong', async () => {
    const params = '\x01\x7fAB';
    assert.deepEqual(libraryReads(record(4, 1, params))[0]?.params, [['A', 'B']]);
    const peer = new Peer();
    const request = await peer.request(wholeRequest(1, { ...KEEP, params }));
    assert.equal(request.problem?.code, 'ERR_FASTCGI_PARAMS');
    assert.deepEqual(request.params, []);
    await peer.leave();
  });

  it('an empty value is a pair with an empty value', async () => {
    const params = '\x13\x00GIT_HTTP_EXPORT_ALL';
    assert.deepEqual(libraryReads(record(4, 1, params))[0]?.params, ['GIT_HTTP_EXPORT_ALL']);
    const peer = new Peer();
    const request = await peer.request(wholeRequest(1, { params }));
    assert.deepEqual(request.params, [['GIT_HTTP_EXPORT_ALL', '']]);
    await peer.leave();
  });

  it('a value that is not UTF-8 keeps its octets', async () => {
    const params = '\x09\x05PATH_INFO/gr\xfcn';
    assert.deepEqual(libraryReads(record(4, 1, params))[0]?.params, [['PATH_INFO', '/gr\ufffdn']]);
    const peer = new Peer();
    const request = await peer.request(wholeRequest(1, { params }));
    assert.deepEqual(request.params, [['PATH_INFO', '/gr\xfcn']]);
    await peer.leave();
  });

  it('STDOUT content over 65,535 octets becomes several records', async () => {
    const written: Buffer[] = [];
    const stream = new Duplex({ read: () => undefined, write: (chunk: Buffer) => void written.push(chunk) });
    new Library(stream).writeRecord(1, new StdOut(Buffer.alloc(65_537)));
    assert.equal(Buffer.concat(written).readUInt16BE(4), 1, 'the library’s length wraps');
    stream.destroy();
    const peer = new Peer();
    const request = await peer.request(wholeRequest(1));
    request.stdout.end(Buffer.alloc(65_537, 'x'));
    await request.end(0);
    await once(peer.far, 'end');
    assert.deepEqual(
      received(peer.octets).map(({ type, content }) => [type, content.length]),
      [
        [6, 65_528],
        [6, 9],
        [6, 0],
        [3, 8],
      ],
    );
    await peer.rest();
  });

  it('input that nobody reads is not taken from the peer beyond the buffer', async () => {
    const peer = new Peer({ stdinBufferBytes: 20_000 });
    const request = await peer.request(begin(1, KEEP), record(4, 1));
    const piece = record(5, 1, Buffer.alloc(8_000, 'x'));
    const pieces = 200;
    for (let count = 0; count < pieces; count += 1) peer.far.write(piece);
    peer.send(record(5, 1));
    await once(peer.near, 'pause');
    assert.ok(peer.stdin(request).readableLength <= 28_000, String(peer.stdin(request).readableLength));
    assert.ok(peer.far.writableLength > (pieces - 30) * piece.length, 'the rest is still the peer’s');
    assert.equal((await text(peer.stdin(request))).length, pieces * 8_000);
    await peer.leave();
  });

  it('large input is handed on without a copy', async () => {
    const peer = new Peer({ stdinBufferBytes: 100_000 });
    const request = await peer.request(begin(1, KEEP), record(4, 1));
    const octets = record(5, 1, Buffer.alloc(60_000, 'x'));
    peer.far.write(octets);
    const [chunk] = (await once(peer.stdin(request), 'data')) as [Buffer];
    assert.equal(chunk.buffer, octets.buffer);
    await peer.leave();
  });
});
