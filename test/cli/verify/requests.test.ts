import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { before, describe, it } from 'node:test';

import { readRequests } from '../../../src/cli/verify/verify-request.js';
import { openAccessLog } from '../../../src/observe/access-log.js';
import { answered } from '../../helpers/access.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

let directory: string;
before(async () => {
  directory = await temporaryDirectory();
});

async function read(text: string, site?: string): Promise<{ requests: string[]; leftOut: object }> {
  const file = `${directory}/requests`;
  await writeFile(file, text);
  const { requests, leftOut } = readRequests(file, site);
  return {
    requests: requests.map(({ method = '', target }) => `${method} ${target}`),
    leftOut: Object.fromEntries(leftOut),
  };
}

describe('A file of requests', () => {
  it('has a path a line, or GET or HEAD and a path, and each of them once', async () => {
    const { requests } = await read('# of yesterday\n/a?b c\n\nHEAD /a?b\nGET /a\n  /a?b c\r\n');
    assert.deepEqual(requests, [' /a?b c', 'HEAD /a?b', 'GET /a']);
  });

  for (const format of ['text', 'json'] as const) {
    it(`may be an access log of ours (${format}), of which only what is safe, whole and the site’s counts`, () => {
      const file = `${directory}/access.${format}`;
      const log = openAccessLog({ file, format });
      for (const [method, uri, site] of [
        ['GET', '/one/ "?x=\\', 'hg'],
        ['HEAD', '/one', 'hg'],
        ['GET', '/one/ "?x=\\', 'hg'],
        ['POST', '/one?cmd=unbundle', 'hg'],
        ['GET', '/other', 'git'],
        ['GET', `/${'x'.repeat(9)}…`, 'hg'],
        ['', '', 'hg'],
      ] as const) {
        log.write({ ...answered, method, uri, site });
      }
      const { requests, leftOut } = readRequests(file, 'hg');
      assert.deepEqual(requests, [
        { method: 'GET', target: '/one/ "?x=\\' },
        { method: 'HEAD', target: '/one' },
      ]);
      assert.deepEqual(Object.fromEntries(leftOut), {
        'neither GET nor HEAD': 1,
        'of other sites': 1,
        'cut by the log': 1,
        'without a path': 1,
      });
    });
  }

  it('may be a web server’s', async () => {
    const line = (request: string): string =>
      `192.0.2.7 - - [01/Nov/2026:10:00:00 +0000] "${request}" 200 12 "http://x/" "A browser/1.0"\n`;
    const text = line('GET /one/?x HTTP/1.1') + line('POST /one HTTP/1.0');
    assert.deepEqual(await read(text), { requests: ['GET /one/?x'], leftOut: { 'neither GET nor HEAD': 1 } });
  });

  it('is refused with the line that is neither', async () => {
    for (const line of [
      'one',
      'POST /one',
      '{"uri":',
      '{"uri":"/one"}',
      '2026-11-22T10:00:00.000Z info listening',
    ]) {
      await assert.rejects(read(`/a\n${line}\n`), {
        code: 'ERR_USAGE',
        message: `--requests ${directory}/requests: line 2 is neither a path nor a line of an access log`,
      });
    }
    assert.throws(() => readRequests('/nonexistent', undefined), { code: 'ERR_START', message: /ENOENT/ });
  });
});
