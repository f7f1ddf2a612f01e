import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { errorResponse } from '../../src/cgi/error-response.js';

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
    const { fields, page } = parse(errorResponse({ status: 504, reason: 'It can’t be – ☹', id: 'abc-1' }));
    assert.deepEqual(fields, {
      status: '504 Gateway Timeout',
      'content-type': 'text/html; charset=utf-8',
      'content-length': String(page.length),
      'cache-control': 'no-store',
    });
  });

  it('says in the page what happened, and names the request', () => {
    const page = parse(errorResponse({ status: 404, reason: 'There is no such ☃.', id: 'abc-17' })).page;
    assert.match(page.toString('utf8'), /<h1>404 Not Found<\/h1>\n<p>There is no such ☃\.<\/p>/);
    assert.match(page.toString('utf8'), /Request abc-17</);
  });

  it('escapes what came from the network', () => {
    const reason = `<script>alert('x')</script> & "y"`;
    const page = parse(errorResponse({ status: 400, reason, id: '<b>&' })).page.toString('utf8');
    assert.match(page, /&lt;script&gt;alert\(&#39;x&#39;\)&lt;\/script&gt; &amp; &quot;y&quot;/);
    assert.match(page, /Request &lt;b&gt;&amp;</);
    assert.doesNotMatch(page, /<script|<b>/);
  });

  it('can’t be made to have another field by a line in the reason', () => {
    const { fields } = parse(errorResponse({ status: 400, reason: 'a\r\nSet-Cookie: b', id: 'c\r\nX: y' }));
    assert.deepEqual(Object.keys(fields), ['status', 'content-type', 'content-length', 'cache-control']);
  });

  it('says when to come back, where that is known', () => {
    const error = { status: 503, reason: 'busy', id: 'a-1' };
    assert.equal(parse(errorResponse({ ...error, retryAfterSeconds: 5 })).fields['retry-after'], '5');
    assert.equal(parse(errorResponse(error)).fields['retry-after'], undefined);
  });

  it('has the same header without the page in answer to HEAD', () => {
    const error = { status: 503, reason: 'busy', id: 'a-1' };
    const { fields, page } = parse(errorResponse({ ...error, headOnly: true }));
    assert.deepEqual(fields, parse(errorResponse(error)).fields);
    assert.equal(page.length, 0);
  });

  it('has a title for a status that has no name', () => {
    assert.equal(parse(errorResponse({ status: 599, reason: '', id: '' })).fields['status'], '599 Error');
  });
});
