/** Files whose names have line ends in them: gitweb and CGI.pm alone answer to these with 200 and another page. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { type Answer, ask } from '../helpers/ask.js';
import { makeBareRepository } from '../helpers/git.js';
import { serveHere } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';

describe('A file whose name has a line end', { timeout: 300_000 }, () => {
  for (const runner of ['spawn', 'warm']) {
    it(`is shown, and is a 404 where there is no such file (--runner ${runner})`, async () => {
      const repos = join(await temporaryDirectory(), 'repos');
      const names = ['new\nline', 'sub\n/end\n', 'caf\xe9\n.txt', '\xc3\xa9\n'];
      await makeBareRepository(
        join(repos, 'one.git'),
        Object.fromEntries(names.map((name) => [name, Buffer.from(name, 'latin1')])),
      );
      const { socket } = await serveHere(['git', '--repos', repos, '--runner', runner]);
      const get = (path: string, query = ''): Promise<Answer> =>
        ask(socket, { SERVER_NAME: 'localhost', SERVER_PORT: '80', SCRIPT_NAME: path, QUERY_STRING: query });
      for (const name of names) {
        const query = `a=blob_plain;hb=HEAD;f=${encodeURIComponent(name)}`;
        const byQuery = name.includes('\xc3') || name.includes('\xe9') ? [] : [await get('/one.git', query)];
        for (const { stdout } of [await get(`/one.git/blob_plain/HEAD:/${name}`), ...byQuery]) {
          assert.match(stdout, /^Content-disposition: inline; filename="[^"\r\n]*_[^"\r\n]*"\r\n/);
          assert.equal(stdout.slice(stdout.indexOf('\r\n\r\n') + 4), name);
        }
        assert.match(
          (await get(`/one.git/blob/HEAD:/${name}`)).stdout,
          /^Status: 200 OK\r\n[^]*class="page_path"/,
        );
      }
      for (const path of [
        'blob_plain/HEAD:/no\nsuch',
        'tree/HEAD:/no\n',
        'blob/HEAD\n:/x',
        'no\nsuch/HEAD:/x',
      ]) {
        assert.match((await get(`/one.git/${path}`)).stdout, /^Status: 40[04] /, JSON.stringify(path));
      }
      const injected = 'a=blob_plain;hb=HEAD;f=x%0d%0aX-Injected:1';
      assert.match((await get('/one.git', injected)).stdout, /^Status: 404 (?:(?!X-Injected)[^])*\r\n\r\n/);
    });
  }
});
