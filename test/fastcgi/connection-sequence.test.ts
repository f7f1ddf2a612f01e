import assert from 'node:assert/strict';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { BridgeError } from '../../src/base/errors.js';
import type { Request } from '../../src/fastcgi/request.js';
import { Peer } from '../helpers/peer.js';
import { begin, lines, record, wholeRequest } from '../helpers/records.js';

const KEEP = { flags: 1 };

/** What follows a request 1 whose PARAMS have begun, have ended, or whose STDIN has ended. */
const inParams = [begin(1, KEEP), record(4, 1, '\x01\x00A')];
const inStdin = [begin(1, KEEP), record(4, 1), record(5, 1, 'x')];
const complete = [wholeRequest(1, KEEP)];

const refused: Record<string, readonly [octets: readonly Buffer[], code: string, message: RegExp]> = {
  'a second BEGIN_REQUEST of an active request': [
    [...inParams, begin(1, KEEP)],
    'ERR_FASTCGI_SEQUENCE',
    /BEGIN_REQUEST for request 1/,
  ],
  'STDIN before the end of PARAMS': [
    [...inParams, record(5, 1, 'x')],
    'ERR_FASTCGI_SEQUENCE',
    /STDIN before/,
  ],
  'the end of STDIN before the end of PARAMS': [
    [...inParams, record(5, 1)],
    'ERR_FASTCGI_SEQUENCE',
    /STDIN before the end of PARAMS of request 1/,
  ],
  'PARAMS after their end': [[...inStdin, record(4, 1, 'x')], 'ERR_FASTCGI_SEQUENCE', /PARAMS after the end/],
  'a second end of PARAMS': [[...inStdin, record(4, 1)], 'ERR_FASTCGI_SEQUENCE', /second end of PARAMS/],
  'STDIN after its end': [[...complete, record(5, 1, 'x')], 'ERR_FASTCGI_SEQUENCE', /STDIN after the end/],
  'a version other than 1': [
    [...inStdin, record(5, 1, 'x', { version: 0 })],
    'ERR_FASTCGI_VERSION',
    /version 0/,
  ],
  'GET_VALUES with a damaged pair': [
    [record(9, 0, '\x05\x00N')],
    'ERR_FASTCGI_PARAMS',
    /points to octet 7 of 3/,
  ],
};
for (const bytes of [0, 2, 7, 9, 16]) {
  refused[`a BEGIN_REQUEST of ${String(bytes)} octets`] = [
    [record(1, 1, '\x00\x01'.padEnd(bytes, '\x00').slice(0, bytes))],
    'ERR_FASTCGI_LENGTH',
    new RegExp(`BEGIN_REQUEST of ${String(bytes)} octets, not 8`),
  ];
}
const applicationOnly = { END_REQUEST: 3, STDOUT: 6, STDERR: 7, GET_VALUES_RESULT: 10, UNKNOWN_TYPE: 11 };
for (const [name, type] of Object.entries(applicationOnly)) {
  const message = new RegExp(`sent ${name}, which only an application sends`);
  refused[`${name} with content`] = [
    [...inStdin, record(type, 1, 'contents')],
    'ERR_FASTCGI_SEQUENCE',
    message,
  ];
  refused[`${name} without content`] = [[...inStdin, record(type, 1)], 'ERR_FASTCGI_SEQUENCE', message];
}
const perRequest = { BEGIN_REQUEST: 1, ABORT_REQUEST: 2, PARAMS: 4, STDIN: 5, DATA: 8, ...applicationOnly };
for (const [name, type] of Object.entries(perRequest)) {
  for (const content of ['', '\x00\x01\x00\x00\x00\x00\x00\x00']) {
    refused[`${name} of ${String(content.length)} octets with the null request id`] = [
      [record(type, 0, content)],
      'ERR_FASTCGI_SEQUENCE',
      new RegExp(`sent ${name} with the null request id`),
    ];
  }
}

const ignored: Record<string, readonly Buffer[]> = {
  'records of a request that never began': [2, 4, 5, 8].flatMap((type) => [
    record(type, 9, 'x'),
    record(type, 9),
  ]),
  'a repeated end of STDIN': [...complete, record(5, 1), record(5, 1)],
  'DATA, which a responder does not read': [...inStdin, record(8, 1, 'x'), record(8, 1)],
  'records of unknown types that belong to a request': [0, 12, 255].map((type) => record(type, 1, 'x')),
  'GET_VALUES that belongs to a request': [record(9, 1, '\x01\x00N')],
};

describe('A connection', () => {
  for (const [name, [octets, code, message]] of Object.entries(refused)) {
    it(`is closed on a peer that sends ${name}`, async () => {
      const peer = new Peer();
      peer.send(...octets, wholeRequest(77));
      await peer.connection.closed;
      const [problem, ...others] = peer.problems;
      assert.ok(problem instanceof BridgeError);
      assert.equal(problem.code, code);
      assert.match(problem.message, message);
      assert.equal(others.length, 0);
      assert.ok(peer.near.destroyed);
      for (const request of peer.requests) {
        assert.equal(request.requestId, 1, 'nothing after the bad record is handled');
        assert.equal((request.signal.reason as BridgeError).code, 'ERR_FASTCGI_DISCONNECTED');
      }
    });
  }

  for (const [name, octets] of Object.entries(ignored)) {
    it(`ignores ${name}`, async () => {
      const peer = new Peer();
      assert.deepEqual(await peer.ask(...octets), []);
      for (const request of peer.requests) assert.equal(request.signal.aborted, false);
      const next = await peer.request(wholeRequest(2, KEEP));
      await next.end(0);
      assert.deepEqual(await peer.ask(), ['STDOUT 2 end', 'END_REQUEST 2 00000000 00']);
      await peer.leave();
    });
  }

  it('ignores what still arrives of a request that it has answered', async () => {
    const peer = new Peer();
    const request = await peer.request(begin(1, KEEP), record(4, 1), record(5, 1, 'first part'));
    await request.end(0);
    await peer.ask();
    assert.deepEqual(await peer.ask(record(5, 1, 'second part'), record(5, 1), record(2, 1)), []);
    await peer.leave();
  });

  it('answers the same however the octets of several requests are cut', async () => {
    const echo = async (request: Request, peer: Peer): Promise<void> => {
      request.stdout.end(JSON.stringify(request.params) + (await text(peer.stdin(request))));
      await request.end(0);
    };
    const octets = Buffer.concat([
      wholeRequest(1, { ...KEEP, params: '\x01\x03ABCD', stdin: 'one' }),
      begin(2, KEEP),
      record(4, 2, '\x01', { paddingBytes: 7 }),
      wholeRequest(3, { ...KEEP, stdin: 'three' }),
      record(4, 2, '\x00E'),
      record(4, 2),
      record(5, 2, 'tw', { paddingBytes: 6 }),
      record(5, 2, 'o'),
      record(5, 2),
    ]);
    const expected = [1, 2, 3]
      .flatMap((id) => [
        `END_REQUEST ${String(id)} 00000000 00`,
        `STDOUT ${String(id)} ${['[["A","BCD"]]one', '[["E",""]]two', '[]three'][id - 1] ?? ''}`,
        `STDOUT ${String(id)} end`,
      ])
      .sort();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: octets.length })), async (places) => {
        const answers: Promise<void>[] = [];
        const peer = new Peer({ onRequest: (request, to) => answers.push(echo(request, to)) });
        const ends = [...places, octets.length].sort((a, b) => a - b);
        for (const [index, end] of ends.entries()) {
          // Written one by one, so that each piece arrives as a chunk of its own.
          const piece = octets.subarray(ends[index - 1] ?? 0, end);
          if (piece.length > 0) await new Promise((resolve) => peer.far.write(piece, resolve));
        }
        const early = await peer.ask();
        await Promise.all(answers);
        assert.deepEqual([...early, ...(await peer.ask())].sort(), expected);
        await peer.leave();
      }),
      { numRuns: 50 },
    );
  });

  it('survives any garbage: it complains with a BridgeError or goes on, and always ends', async () => {
    const plausible = fc
      .tuple(
        fc.integer({ min: 0, max: 12 }),
        fc.integer({ min: 0, max: 2 }),
        fc.oneof(fc.constant(Buffer.of(0, 1, 1, 0, 0, 0, 0, 0)), fc.uint8Array({ maxLength: 12 })),
      )
      .map(([type, requestId, content]) => record(type, requestId, Buffer.from(content)));
    const valid = fc.integer({ min: 1, max: 3 }).map((id) => wholeRequest(id, KEEP));
    const garbage = fc.oneof(
      { weight: 6, arbitrary: plausible },
      { weight: 6, arbitrary: valid },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 30 }).map((octets) => Buffer.from(octets)) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(garbage, { maxLength: 20 }), async (pieces) => {
        const answers: Promise<void>[] = [];
        const peer = new Peer({
          onRequest: (request) => {
            peer.stdin(request).resume();
            answers.push(request.end(0));
          },
        });
        peer.send(...pieces);
        await peer.leave();
        await Promise.all(answers);
        for (const problem of peer.problems) {
          assert.ok(problem instanceof BridgeError);
          assert.match(problem.message, /^the (web server|peer) sent /);
        }
        lines(peer.octets);
      }),
      { numRuns: 300 },
    );
  });
});
