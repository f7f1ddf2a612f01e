import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { responseFields } from '../../src/cgi/response-header.js';

const CT = 'Content-Type: a/b';

/** What is taken as it is: the lines of a header, each with CRLF. */
const valid: readonly (readonly [what: string, lines: readonly string[], status: number])[] = [
  ['a document', [CT], 200],
  ['a document with a status', ['Status: 404 Not Found', CT], 404],
  ['a status without a reason', ['Status: 404', CT], 404],
  ['a status whose reason follows without a space', ['Status:404Gone', CT], 404],
  ['a status that HTTP does not know', ['Status: 999 Odd', CT], 999],
  ['a status alone', ['Status: 204'], 204],
  ['a status twice, if it is the same', ['Status: 500 Oh', CT, 'status: 500'], 500],
  ['a redirect with a status', ['Location: http://x/', 'Status: 301 Moved', CT], 301],
  ['a Location of what was made', ['Status: 201 Created', 'Location: /made'], 201],
  ['fields that only HTTP knows', ['X-Accel-Redirect: /file'], 200],
  ['a value that is empty', ['X-Empty:', CT], 200],
  ['octets that are not ASCII', ['X-N\xe4me: \x80\xff', CT], 200],
  ['control octets other than NUL and CR in a value', ['X: a\x01\t\x7fb', CT], 200],
  ['a field called like a status line', ['HTTP/1.1: 200 OK', CT], 200],
  ['a length twice, if it is the same', ['Content-Length: 3', 'content-length:  3', CT], 200],
];

/** What web servers refuse, or take for different things, and what the log says of it. */
const invalid: readonly (readonly [what: string, lines: readonly string[], why: RegExp])[] = [
  ['no field', [], /has no field/],
  ['a line without a colon', ['oops', CT], /no field: "oops"/],
  ['a line without a colon behind others', [CT, 'oops'], /no field: "oops"/],
  ['a line that continues the one before', [CT, ' ; charset=x'], /no field: " ; charset=x"/],
  ['a line that a tab continues', [CT, '\tx: y'], /no field: "\\tx: y"/],
  ['a name with a space', ['X Y: z', CT], /no field: "X Y: z"/],
  ['a space before the colon', ['X : z', CT], /no field: "X : z"/],
  ['an empty name', [': z', CT], /no field: ": z"/],
  ['NUL in a name', ['X\0: z', CT], /no field: "X\\u0000: z"/],
  ['NUL in a value', ['X: y\0z', CT], /no field: "X: y\\u0000z"/],
  ['CR alone', [`${CT}\rX: y`], /no field: "Content-Type: a\/b\\rX: y"/],
  ['DEL in a name', ['X\x7f: z', CT], /no field/],
  ['a status line that is not at the head', [CT, 'HTTP/1.1 200 OK'], /no field: "HTTP\/1.1 200 OK"/],
  ['a Status in words', ['Status: OK', CT], /Status that is no final status: "OK"/],
  ['an empty Status', ['Status:', CT], /Status that is no final status: ""/],
  ['a Status of two digits', ['Status: 42', CT], /no final status: "42"/],
  ['a Status of four digits', ['Status: 2000 OK', CT], /no final status: "2000 OK"/],
  ['an interim Status', ['Status: 100 Continue', CT], /no final status: "100 Continue"/],
  ['two statuses', ['Status: 200', 'Status: 404', CT], /a Status more than once/],
  ['a Content-Length in words', ['Content-Length: 12x', CT], /Content-Length that is no length: "12x"/],
  ['a negative Content-Length', ['Content-Length: -1', CT], /no length: "-1"/],
  ['an empty Content-Length', ['Content-Length:', CT], /no length: ""/],
  ['a Content-Length beyond all sizes', ['Content-Length: 9007199254740993', CT], /no length/],
  ['two lengths', ['Content-Length: 1', 'Content-Length: 2', CT], /a Content-Length more than once/],
];

const block = (lines: readonly string[], end = '\r\n'): string =>
  lines.map((line) => line + end).join('') + end;

describe('A header block', () => {
  for (const [what, lines, status] of valid) {
    for (const end of ['\r\n', '\n']) {
      it(`has ${what}, with ${JSON.stringify(end)}`, () => {
        const written = block(lines, end);
        const fields = responseFields(written);
        assert.equal(fields.status, status);
        assert.equal(fields.block, written);
      });
    }
  }

  for (const [what, lines, why] of invalid) {
    it(`must not have ${what}`, () => {
      assert.throws(() => responseFields(block(lines)), { code: 'ERR_INVALID_HEADER', message: why });
      assert.throws(() => responseFields(block(lines, '\n')), { code: 'ERR_INVALID_HEADER', message: why });
    });
  }

  it('shows no more of a bad line than a log can take', () => {
    const written = block(['x'.repeat(10_000), CT]);
    assert.throws(
      () => responseFields(written),
      ({ message }: Error) => message.length < 250,
    );
  });
});

describe('A 204', () => {
  it('loses its Content-Length, and nothing else', () => {
    for (const end of ['\r\n', '\n']) {
      const written = block(
        ['content-length: 4', 'Status: 204', 'Content-Length: 4', 'X-Content-Length: 4'],
        end,
      );
      assert.deepEqual(responseFields(written), {
        status: 204,
        contentBytes: 0,
        block: block(['Status: 204', 'X-Content-Length: 4'], end),
      });
    }
  });
});

describe('A redirect without a status', () => {
  for (const [what, location] of [
    ['elsewhere', 'http://www.example.org/'],
    ['to a path of this site', '/other?x'],
  ] as const) {
    it(`${what} is a 302, whatever the web server would make of it`, () => {
      for (const end of ['\r\n', '\n']) {
        const written = block([`Location: ${location}`], end);
        assert.deepEqual(responseFields(written), {
          status: 302,
          contentBytes: undefined,
          block: `Status: 302 Found${end}${written}`,
        });
      }
    });
  }
});

describe('A status line', () => {
  it('becomes a Status field', () => {
    assert.equal(responseFields('HTTP/1.0 404 No\nA: b\n\n').block, 'Status: 404 No\nA: b\n\n');
    assert.equal(responseFields('HTTP/1.1 200\r\n\r\n').block, 'Status: 200\r\n\r\n');
  });

  it('gives way to a Status, as CGI.pm writes both', () => {
    const { status, block } = responseFields(
      'HTTP/1.0 404 Not Found\r\nServer: x\r\nStatus: 404 Gone\r\n\r\n',
    );
    assert.deepEqual([status, block], [404, 'Server: x\r\nStatus: 404 Gone\r\n\r\n']);
  });

  it('is no valid header with a status that HTTP can’t have', () => {
    assert.throws(() => responseFields('HTTP/1.1 042 Odd\n\n'), { code: 'ERR_INVALID_HEADER' });
  });
});
