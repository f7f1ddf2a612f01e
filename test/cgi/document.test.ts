import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { documentBytes, errorPage } from '../../src/cgi/document.js';

const errorOctets = (error: Parameters<typeof errorPage>[0]): Buffer => documentBytes(errorPage(error));

/** Fields and body of a document response. */
function parse(octets: Buffer): { fields: Record<string, string>; page: Buffer } {
  const end = octets.indexOf('\r\n\r\n');
  assert.notEqual(end, -1, 'the header has no end');
  const lines = octets.toString('latin1', 0, end).split('\r\n');
  const fields = lines.map((line): [string, string] => {
    const colon = line.indexOf(': ');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 2)];
  });
  return { fields: Object.fromEntries(fields), page: octets.subarray(end + 4) };
}

describe('A document that the bridge writes itself', () => {
  it('has the status, its length in octets, and is not to be kept', () => {
    const { fields, page } = parse(errorOctets({ status: 504, reason: 'It can’t be – ☹', id: 'abc-1' }));
    assert.deepEqual(fields, {
      status: '504 Gateway Timeout',
      'content-type': 'text/html; charset=utf-8',
      'content-length': String(page.length),
      'cache-control': 'no-store',
    });
  });

  it('says in the page what happened, and names the request', () => {
    const page = parse(errorOctets({ status: 404, reason: 'There is no such ☃.', id: 'abc-17' })).page;
    assert.match(page.toString('utf8'), /<main>\n<h1>404 Not Found<\/h1>\n<p>There is no such ☃\.<\/p>/);
    assert.match(page.toString('utf8'), /<meta name="viewport" content="width=device-width">/);
    assert.match(page.toString('utf8'), /Request abc-17</);
  });

  it('is for telephones and for the dark, and leads to the list where there is one', () => {
    const shown = (index?: string): string =>
      parse(errorOctets({ status: 404, reason: 'No.', id: 'a-1', ...(index && { index }) })).page.toString();
    assert.match(shown('/a"b/'), /<a href="\/a&quot;b\/">All repositories<\/a>/);
    assert.match(shown(), /<meta name="color-scheme" content="light dark">/);
    assert.doesNotMatch(shown(), /<a /);
  });

  it('says to visitors what they can do about a failure, unless the reason says so', () => {
    const shown = (status: number, retryAfterSeconds?: number): string =>
      parse(
        errorOctets({ status, reason: 'No.', id: 'a-1', ...(retryAfterSeconds && { retryAfterSeconds }) }),
      ).page.toString();
    assert.match(
      shown(502),
      /<p>No\.<\/p>\n<p>Please try again later\. .* the number below\.<\/p>\n<p><small>Request a-1</,
    );
    for (const page of [shown(503, 5), shown(404)]) assert.doesNotMatch(page, /again later/);
  });

  it('escapes what came from the network', () => {
    const reason = `<script>alert('x')</script> & "y"`;
    const page = parse(errorOctets({ status: 400, reason, id: '<b>&' })).page.toString('utf8');
    assert.match(page, /&lt;script&gt;alert\(&#39;x&#39;\)&lt;\/script&gt; &amp; &quot;y&quot;/);
    assert.match(page, /Request &lt;b&gt;&amp;</);
    assert.doesNotMatch(page, /<script|<b>/);
  });

  it('can’t be made to have another field by a line in the reason', () => {
    const { fields } = parse(errorOctets({ status: 400, reason: 'a\r\nSet-Cookie: b', id: 'c\r\nX: y' }));
    assert.deepEqual(Object.keys(fields), ['status', 'content-type', 'content-length', 'cache-control']);
  });

  it('says when to come back, where that is known', () => {
    const error = { status: 503, reason: 'busy', id: 'a-1' };
    assert.equal(parse(errorOctets({ ...error, retryAfterSeconds: 5 })).fields['retry-after'], '5');
    assert.equal(parse(errorOctets(error)).fields['retry-after'], undefined);
  });

  it('has the same header without the page in answer to HEAD', () => {
    const error = { status: 503, reason: 'busy', id: 'a-1' };
    const { fields, page } = parse(documentBytes(errorPage(error), { headOnly: true }));
    assert.deepEqual(fields, parse(errorOctets(error)).fields);
    assert.equal(page.length, 0);
  });

  it('has a title for a status that has no name', () => {
    assert.equal(parse(errorOctets({ status: 599, reason: '', id: '' })).fields['status'], '599 Error');
  });

  it('is text for a program, which has the reason as the status’s phrase too', () => {
    const { fields, page } = parse(
      errorOctets({ status: 403, reason: 'not\r\nX: – here', id: 'a-1', isForProgram: true }),
    );
    assert.deepEqual(fields, {
      status: '403 not??X: ? here',
      'content-type': 'text/plain',
      'content-length': String(page.length),
      'cache-control': 'no-store',
    });
    assert.equal(page.toString('utf8'), 'not\r\nX: – here\nRequest a-1\n');
  });
});

describe('A document response', () => {
  it('has its status with its name, its fields in their order, and its body octet by octet', () => {
    const octets = documentBytes({
      status: 200,
      fields: [
        ['Content-Type', 'image/png'],
        ['ETag', '"x"'],
      ],
      body: Buffer.of(0, 255, 10),
    });
    const expected = 'Status: 200 OK\r\nContent-Type: image/png\r\nETag: "x"\r\n\r\n\x00\xff\n';
    assert.equal(octets.toString('latin1'), expected);
  });

  it('may have neither fields nor body', () => {
    const octets = documentBytes({ status: 304, fields: [], body: Buffer.alloc(0) });
    assert.equal(octets.toString('latin1'), 'Status: 304 Not Modified\r\n\r\n');
  });
});
