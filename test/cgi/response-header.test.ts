import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { type ResponseHeader, ResponseHeaderReader } from '../../src/cgi/response-header.js';

/** What the observer says of these pieces, up to the one that completes the header. */
function observe(pieces: readonly string[], maxHeaderBytes = 65_536): ResponseHeader | undefined {
  const observer = new ResponseHeaderReader(maxHeaderBytes);
  for (const [index, piece] of pieces.entries()) {
    const head = observer.push(Buffer.from(piece, 'latin1'));
    if (head === undefined) continue;
    const rest = Buffer.from(pieces.slice(index + 1).join(''), 'latin1');
    return { ...head, body: Buffer.concat([head.body, rest]) };
  }
  return undefined;
}

/** The same, as text. */
function seen(output: string): { status: number; header: string; body: string } | undefined {
  const head = observe([output]);
  return (
    head && {
      status: head.status,
      header: head.header.toString('latin1'),
      body: head.body.toString('latin1'),
    }
  );
}

describe('A response’s header', () => {
  for (const [eol, name] of [
    ['\n', 'LF'],
    ['\r\n', 'CRLF'],
  ] as const) {
    it(`ends at the first empty line with ${name}, and goes on untouched`, () => {
      const header = `Content-Type: text/plain${eol}X: \xff\xfe${eol}${eol}`;
      assert.deepEqual(seen(`${header}body${eol}${eol}more`), {
        status: 200,
        header,
        body: `body${eol}${eol}more`,
      });
    });
  }

  it('may mix line ends', () => {
    assert.deepEqual(seen('A: b\r\n\nbody'), { status: 200, header: 'A: b\r\n\n', body: 'body' });
    assert.deepEqual(seen('A: b\n\r\nbody'), { status: 200, header: 'A: b\n\r\n', body: 'body' });
  });

  it('has not ended while there is no empty line', () => {
    for (const text of ['', 'A: b', 'A: b\n', 'A: b\r\n', 'A: b\r\n\r', 'A: b\r\r', 'A: b\nC: d\n']) {
      assert.equal(seen(text), undefined, JSON.stringify(text));
    }
  });

  it('is not ended by carriage returns alone', () => {
    assert.equal(seen('A: b\n\r\rC: d\n'), undefined);
  });
});

describe('A response’s status', () => {
  const cases: readonly (readonly [header: string, status: number, what: string])[] = [
    ['Content-Type: a/b\n\n', 200, '200 where the script says nothing'],
    ['Status: 404 Not Found\n\n', 404, 'that of Status'],
    ['status:503\r\nA: b\r\n\r\n', 503, 'that of Status in any case and without a space'],
    ['A: b\nSTATUS: \t201\n\n', 201, 'that of Status in any place'],
    ['Location: /elsewhere\n\n', 302, '302 for a Location'],
    ['Location: /made\nStatus: 201 Created\n\n', 201, 'that of Status where there is a Location too'],
    ['X-Status: 500\nX: Location: y\n\n', 200, 'not that of a field that is called otherwise'],
    ['Content-Type: a/b\n\nStatus: 500\n\n', 200, 'not that of a line in the body'],
  ];
  for (const [header, status, what] of cases) {
    it(`is ${what}`, () => {
      assert.equal(seen(header)?.status, status);
    });
  }
});

describe('A script that thinks it speaks HTTP', () => {
  it('has its interim responses taken out', () => {
    for (const interim of [
      'HTTP/1.1 100 Continue\r\n\r\n',
      'HTTP/1.1 100 Continue\n\n',
      'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n',
    ]) {
      const final = { status: 200, header: 'A: b\r\n\r\n', body: 'HTTP/1.1 100 Continue\r\n\r\n' };
      assert.deepEqual(seen(interim + final.header + final.body), final);
      assert.equal(seen(interim), undefined, 'an interim response alone is no response');
    }
  });

  it('has its status line made a Status field', () => {
    assert.deepEqual(seen('HTTP/1.0 404 Nothing Here\r\nA: b\r\n\r\nbody'), {
      status: 404,
      header: 'Status: 404 Nothing Here\r\nA: b\r\n\r\n',
      body: 'body',
    });
    assert.deepEqual(seen('HTTP/2 200\nA: b\n\n'), {
      status: 200,
      header: 'Status: 200\nA: b\n\n',
      body: '',
    });
  });

  it('has a status line made of it after an interim response too', () => {
    assert.equal(
      seen('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oh\r\n\r\n')?.header,
      'Status: 500 Oh\r\n\r\n',
    );
  });
});

describe('A response’s length', () => {
  const lengthOf = (header: string): number | undefined => observe([`${header}\n\n`])?.contentBytes;

  it('is what Content-Length says, and unknown without it', () => {
    assert.equal(lengthOf('Content-Length: 12'), 12);
    assert.equal(lengthOf('A: b\r\ncontent-length:0 \r'), 0);
    assert.equal(lengthOf('A: b'), undefined);
    assert.equal(lengthOf('X-Content-Length: 12'), undefined);
  });

  it('is nothing for a status that has no content', () => {
    assert.equal(lengthOf('Status: 304\nContent-Length: 12'), 0);
    assert.equal(lengthOf('Status: 204'), 0);
  });
});

describe('A response’s header in any cut', () => {
  const eol = fc.constantFrom('\n', '\r\n');
  const line = fc
    .stringMatching(/^[A-Za-z][A-Za-z-]{0,10}: [ -~\x80-\xff]{0,20}$/)
    .filter((text) => !/^(status|location|content-length):/i.test(text));
  const block = fc
    .tuple(fc.array(fc.tuple(line, eol), { minLength: 1, maxLength: 6 }), eol)
    .map(([lines, end]) => lines.flat().join('') + end);
  const interims = fc.array(fc.constantFrom('HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 100 Go\nA: b\n\n'), {
    maxLength: 2,
  });
  const body = fc.stringMatching(/^[\r\n\x00-\xff]{0,30}$/);
  const cuts = fc.array(fc.nat({ max: 300 }), { maxLength: 8 });

  it('gives the same header and body as in one piece', () => {
    fc.assert(
      fc.property(interims, block, body, cuts, (before, header, rest, places) => {
        const output = before.join('') + header + rest;
        const edges = [0, ...places.map((place) => place % (output.length + 1)), output.length];
        edges.sort((a, b) => a - b);
        const pieces = edges.slice(1).map((edge, index) => output.slice(edges[index], edge));
        const head = observe(pieces);
        assert.equal(head?.header.toString('latin1'), header);
        assert.equal(head.body.toString('latin1'), rest);
        assert.equal(head.status, 200);
      }),
      { numRuns: 500 },
    );
  });

  it('gives the same octet by octet', () => {
    const output = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nA: b\r\n\r\nbody';
    const head = observe(Array.from(output));
    assert.equal(head?.header.toString('latin1'), 'Status: 404 No\r\nA: b\r\n\r\n');
    assert.equal(head.body.toString('latin1'), 'body');
  });
});

describe('The limit of a response’s header', () => {
  const limit = 20;
  const tooLarge = { code: 'ERR_MAX_HEADER_SIZE' };

  it('lets a header of exactly that many octets pass, with whatever body', () => {
    const header = `A: ${'x'.repeat(limit - 5)}\n\n`;
    assert.equal(header.length, limit);
    assert.equal(observe([header + 'y'.repeat(1000)], limit)?.header.length, limit);
  });

  it('ends one that is an octet longer, complete or not', () => {
    const header = `A: ${'x'.repeat(limit - 4)}\n\n`;
    assert.throws(() => observe([header], limit), tooLarge);
    assert.throws(() => observe(Array.from(header), limit), tooLarge);
    assert.throws(() => observe(['x'.repeat(limit + 1)], limit), tooLarge);
  });

  it('lets exactly that many octets wait for more', () => {
    const observer = new ResponseHeaderReader(limit);
    assert.equal(observer.push(Buffer.alloc(limit, 'x')), undefined);
    assert.throws(() => observer.push(Buffer.from('x')), tooLarge);
  });

  it('does not count interim responses that came before', () => {
    const interim = 'HTTP/1.1 100 C\r\n\r\n';
    assert.equal(observe([interim, interim, 'A: b\n\n'], limit)?.status, 200);
  });
});
