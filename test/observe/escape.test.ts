import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { quoted } from '../../src/observe/escape.js';

describe('A quoted field', () => {
  it('of ordinary text is that text in quotes', () => {
    assert.equal(quoted('/é/日本?x=1&y=%20'), '"/é/日本?x=1&y=%20"');
    assert.equal(quoted(''), '""');
  });

  it('has its spaces, quotes and backslashes by their numbers', () => {
    assert.equal(quoted('a b"\\\u00a0\t'), '"a\\u0020b\\u0022\\u005c\\u00a0\\u0009"');
  });

  it('of any text is one field for whoever cuts at spaces or at quotes, and gives the text back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const field = quoted(text);
        assert.match(field, /^"[^"]*"$/);
        assert.doesNotMatch(field, /[\s\p{Cc}\p{Cf}\p{Cs}\p{Z}]/u);
        assert.equal(JSON.parse(field), text);
      }),
    );
  });
});
