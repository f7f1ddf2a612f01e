import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { belowPrefix, nonEmptyParam, requestPath } from '../../src/sites/request-path.js';

const pathOf = (params: Readonly<Record<string, string>>): string | undefined =>
  requestPath(Object.entries(params));

describe('The path of a request', () => {
  it('is SCRIPT_NAME and PATH_INFO together, wherever they are cut', () => {
    const expected = '/a.hg/file/tip';
    assert.equal(pathOf({ SCRIPT_NAME: '/a.hg', PATH_INFO: '/file/tip' }), expected);
    assert.equal(pathOf({ SCRIPT_NAME: expected }), expected);
    assert.equal(pathOf({ SCRIPT_NAME: '', PATH_INFO: expected }), expected);
    assert.equal(pathOf({ PATH_INFO: expected, SCRIPT_NAME: '' }), expected);
  });

  it('is taken from SCRIPT_NAME rather than from DOCUMENT_URI or REQUEST_URI', () => {
    assert.equal(pathOf({ SCRIPT_NAME: '/a', DOCUMENT_URI: '/b', REQUEST_URI: '/c' }), '/a');
  });

  it('is DOCUMENT_URI where the script has no name', () => {
    assert.equal(pathOf({ SCRIPT_NAME: '', DOCUMENT_URI: '/b', REQUEST_URI: '/c' }), '/b');
  });

  it('is the path of REQUEST_URI where nothing else was sent, without query and fragment', () => {
    assert.equal(pathOf({ REQUEST_URI: '/c' }), '/c');
    assert.equal(pathOf({ DOCUMENT_URI: '', REQUEST_URI: '/c?/d?e' }), '/c');
    assert.equal(pathOf({ REQUEST_URI: '/c#d?e' }), '/c');
    assert.equal(pathOf({ REQUEST_URI: '/c?\n/d' }), '/c');
    assert.equal(pathOf({ REQUEST_URI: '?x' }), '/');
  });

  it('is found in REQUEST_URI in absolute form', () => {
    assert.equal(pathOf({ REQUEST_URI: 'http://example.org/a/b?c' }), '/a/b');
    assert.equal(pathOf({ REQUEST_URI: 'HTTPS://u:p@example.org:8080/a' }), '/a');
    assert.equal(pathOf({ REQUEST_URI: 'http://example.org' }), '/');
    assert.equal(pathOf({ REQUEST_URI: 'http://example.org?a=/b' }), '/');
    assert.equal(pathOf({ REQUEST_URI: '/http://example.org/a' }), '/http://example.org/a');
  });

  it('is decoded once from REQUEST_URI, to octets', () => {
    assert.equal(pathOf({ REQUEST_URI: '/%61%2f%E9%00' }), '/a/\xe9\0');
    assert.equal(pathOf({ REQUEST_URI: '/%2561%252F' }), '/%61%2F');
    assert.equal(pathOf({ REQUEST_URI: '/%3Fa%23b' }), '/?a#b');
    assert.equal(pathOf({ REQUEST_URI: '/100%/%zz/%4' }), '/100%/%zz/%4');
  });

  it('is never decoded again from what the web server has decoded', () => {
    assert.equal(pathOf({ SCRIPT_NAME: '/%61', PATH_INFO: '/%2e%2e' }), '/%61/%2e%2e');
    assert.equal(pathOf({ DOCUMENT_URI: '/%61' }), '/%61');
  });

  it('is unknown where nothing of that was sent', () => {
    assert.equal(pathOf({}), undefined);
    assert.equal(pathOf({ SCRIPT_NAME: '', PATH_INFO: '', DOCUMENT_URI: '', REQUEST_URI: '' }), undefined);
    assert.equal(pathOf({ QUERY_STRING: '/a' }), undefined);
  });

  it('is that of the last param where a name comes twice, as in the environment', () => {
    const twice = [
      ['SCRIPT_NAME', '/first'],
      ['SCRIPT_NAME', '/last'],
    ] as const;
    assert.equal(requestPath(twice), '/last');
  });
});

describe('A path below a prefix', () => {
  it('is the prefix, or goes on with a slash; not a name that only begins so', () => {
    assert.equal(belowPrefix('/hg', '/hg'), '');
    assert.equal(belowPrefix('/hg/a', '/hg'), '/a');
    assert.equal(belowPrefix('/hga', '/hg'), undefined);
    assert.equal(belowPrefix('/a', ''), '/a');
  });
});

describe('A param that is asked for', () => {
  it('is absent where it is empty', () => {
    const params = [
      ['A', ''],
      ['B', '0'],
    ] as const;
    assert.equal(nonEmptyParam(params, 'A'), undefined);
    assert.equal(nonEmptyParam(params, 'B'), '0');
    assert.equal(nonEmptyParam(params, 'C'), undefined);
  });
});
