import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type RequestDescription, requestParams } from '../../../src/cli/get/request-params.js';
import { userAgent } from '../../../src/daemon/package.js';
import { makeTree } from '../../helpers/file-tree.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const plain: RequestDescription = {
  target: '/',
  method: undefined,
  headers: [],
  params: [],
  body: undefined,
};
const params = async (request: Partial<RequestDescription>): Promise<Record<string, string>> =>
  Object.fromEntries(await requestParams({ ...plain, ...request }));

describe('The params of a request', () => {
  it('are those that a web server would send', async () => {
    assert.deepEqual(await params({ target: '/a%20b/%C3%A4?x=%20&y?z' }), {
      GATEWAY_INTERFACE: 'CGI/1.1',
      SERVER_SOFTWARE: userAgent(),
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
      HTTP_USER_AGENT: userAgent(),
      HTTP_ACCEPT: '*/*',
    });
  });

  it('say where the script and its file are, if that is known', async () => {
    const { SCRIPT_NAME, PATH_INFO, SCRIPT_FILENAME } = await params({
      target: '/index.php/info?x',
      params: ['DOCUMENT_ROOT=/srv/www/', 'SCRIPT_NAME=/index.php'],
    });
    assert.deepEqual(
      [SCRIPT_NAME, PATH_INFO, SCRIPT_FILENAME],
      ['/index.php', '/info', '/srv/www/index.php'],
    );
    assert.equal((await params({ params: ['SCRIPT_NAME=/other'] }))['PATH_INFO'], undefined);
    assert.equal(
      (await params({ params: ['DOCUMENT_ROOT=/w', 'SCRIPT_FILENAME=/x'] }))['SCRIPT_FILENAME'],
      '/x',
    );
  });

  it('end SCRIPT_NAME at the first file below DOCUMENT_ROOT, as web servers and the site do', async () => {
    const root = await temporaryDirectory();
    await makeTree(root, { 'sub/v.pl': { content: '' } });
    const { SCRIPT_NAME, PATH_INFO, SCRIPT_FILENAME } = await params({
      target: '/sub/v.pl/mod/x.c?y',
      params: [`DOCUMENT_ROOT=${root}`],
    });
    assert.deepEqual(
      [SCRIPT_NAME, PATH_INFO, SCRIPT_FILENAME],
      ['/sub/v.pl', '/mod/x.c', `${root}/sub/v.pl`],
    );
  });

  it('say how long the body is, if there is one and its length is known', async () => {
    const of = async (request: Partial<RequestDescription>): Promise<unknown[]> => {
      const { REQUEST_METHOD, CONTENT_LENGTH, CONTENT_TYPE } = await params(request);
      return [REQUEST_METHOD, CONTENT_LENGTH, CONTENT_TYPE];
    };
    const form = 'application/x-www-form-urlencoded';
    assert.deepEqual(await of({ body: { length: 3 } }), ['POST', '3', form]);
    assert.deepEqual(await of({ body: { length: undefined }, method: 'PUT' }), ['PUT', undefined, form]);
    assert.deepEqual(await of({ method: 'POST' }), ['POST', '0', undefined]);
    assert.deepEqual(await of({ method: 'HEAD' }), ['HEAD', undefined, undefined]);
    const headers = ['content-type: text/x', 'Content-Length: 7'];
    assert.deepEqual(await of({ body: { length: 3 }, headers }), ['POST', '7', 'text/x']);
  });

  it('have a variable for each header field, octet by octet', async () => {
    const { HTTP_X_Y, HTTP_HOST } = await params({ headers: ['X-y:  ä b ', 'Host: example.org'] });
    assert.deepEqual([HTTP_X_Y, HTTP_HOST], ['\xc3\xa4 b', 'example.org']);
    assert.equal((await params({ params: ['SERVER_NAME=hg.example.org'] }))['HTTP_HOST'], 'hg.example.org');
  });

  it('are what --param says in the end: another value, an empty one, or none at all', async () => {
    const found = await params({
      headers: ['Accept: text/html'],
      params: ['HTTP_ACCEPT=a=b', 'SERVER_PORT=', 'HTTP_HOST', 'REQUEST_METHOD=PUT'],
    });
    assert.deepEqual(
      [found['HTTP_ACCEPT'], found['SERVER_PORT'], 'HTTP_HOST' in found, found['REQUEST_METHOD']],
      ['a=b', '', false, 'PUT'],
    );
  });

  it('are refused where a header or param is none', async () => {
    for (const header of ['Accept', ': x', 'A b: x', 'A: x\r\nB: y']) {
      await assert.rejects(params({ headers: [header] }), { code: 'ERR_USAGE', option: 'header' });
    }
    await assert.rejects(params({ params: ['=x'] }), { code: 'ERR_USAGE', option: 'param' });
  });
});
