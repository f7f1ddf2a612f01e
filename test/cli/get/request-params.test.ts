import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type RequestDescription, requestParams } from '../../../src/cli/get/request-params.js';

const plain: RequestDescription = {
  target: '/',
  method: undefined,
  headers: [],
  params: [],
  body: undefined,
  agent: 'fcgi2cgi/1',
};
const params = (request: Partial<RequestDescription>): Record<string, string> =>
  Object.fromEntries(requestParams({ ...plain, ...request }));

describe('The params of a request', () => {
  it('are those that a web server would send', () => {
    assert.deepEqual(params({ target: '/a%20b/%C3%A4?x=%20&y?z' }), {
      GATEWAY_INTERFACE: 'CGI/1.1',
      SERVER_SOFTWARE: 'fcgi2cgi/1',
      SERVER_PROTOCOL: 'HTTP/1.1',
      SERVER_NAME: 'localhost',
      SERVER_ADDR: '127.0.0.1',
      SERVER_PORT: '80',
      REMOTE_ADDR: '127.0.0.1',
      REMOTE_PORT: '0',
      REQUEST_SCHEME: 'http',
      REQUEST_METHOD: 'GET',
      REQUEST_URI: '/a%20b/%C3%A4?x=%20&y?z',
      DOCUMENT_URI: '/a b/\xc3\xa4',
      SCRIPT_NAME: '/a b/\xc3\xa4',
      QUERY_STRING: 'x=%20&y?z',
      REDIRECT_STATUS: '200',
      HTTP_HOST: 'localhost',
      HTTP_USER_AGENT: 'fcgi2cgi/1',
      HTTP_ACCEPT: '*/*',
    });
  });

  it('say where the script and its file are, if that is known', () => {
    const { SCRIPT_NAME, PATH_INFO, SCRIPT_FILENAME } = params({
      target: '/index.php/info?x',
      params: ['DOCUMENT_ROOT=/srv/www/', 'SCRIPT_NAME=/index.php'],
    });
    assert.deepEqual(
      [SCRIPT_NAME, PATH_INFO, SCRIPT_FILENAME],
      ['/index.php', '/info', '/srv/www/index.php'],
    );
    assert.equal(params({ params: ['SCRIPT_NAME=/other'] })['PATH_INFO'], undefined);
    assert.equal(params({ params: ['DOCUMENT_ROOT=/w', 'SCRIPT_FILENAME=/x'] })['SCRIPT_FILENAME'], '/x');
  });

  it('say how long the body is, if there is one and its length is known', () => {
    const of = (request: Partial<RequestDescription>): unknown[] => {
      const { REQUEST_METHOD, CONTENT_LENGTH, CONTENT_TYPE } = params(request);
      return [REQUEST_METHOD, CONTENT_LENGTH, CONTENT_TYPE];
    };
    const form = 'application/x-www-form-urlencoded';
    assert.deepEqual(of({ body: { length: 3 } }), ['POST', '3', form]);
    assert.deepEqual(of({ body: { length: undefined }, method: 'PUT' }), ['PUT', undefined, form]);
    assert.deepEqual(of({ method: 'POST' }), ['POST', '0', undefined]);
    assert.deepEqual(of({ method: 'HEAD' }), ['HEAD', undefined, undefined]);
    const headers = ['content-type: text/x', 'Content-Length: 7'];
    assert.deepEqual(of({ body: { length: 3 }, headers }), ['POST', '7', 'text/x']);
  });

  it('have a variable for each header field, octet by octet', () => {
    const { HTTP_X_Y, HTTP_HOST } = params({ headers: ['X-y:  ä b ', 'Host: example.org'] });
    assert.deepEqual([HTTP_X_Y, HTTP_HOST], ['\xc3\xa4 b', 'example.org']);
    assert.equal(params({ params: ['SERVER_NAME=hg.example.org'] })['HTTP_HOST'], 'hg.example.org');
  });

  it('are what --param says in the end: another value, an empty one, or none at all', () => {
    const found = params({
      headers: ['Accept: text/html'],
      params: ['HTTP_ACCEPT=a=b', 'SERVER_PORT=', 'HTTP_HOST', 'REQUEST_METHOD=PUT'],
    });
    assert.deepEqual(
      [found['HTTP_ACCEPT'], found['SERVER_PORT'], 'HTTP_HOST' in found, found['REQUEST_METHOD']],
      ['a=b', '', false, 'PUT'],
    );
  });

  it('are refused where a header or param is none', () => {
    for (const header of ['Accept', ': x', 'A b: x', 'A: x\r\nB: y']) {
      assert.throws(() => params({ headers: [header] }), { code: 'ERR_USAGE', option: 'header' });
    }
    assert.throws(() => params({ params: ['=x'] }), { code: 'ERR_USAGE', option: 'param' });
  });
});
