/** hgweb by fork servers: the same answers as from new processes, octet by octet. */

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { ask } from '../helpers/ask.js';
import { makeRepository } from '../helpers/mercurial.js';
import { childrenOf, until } from '../helpers/processes.js';
import { serve, type Served } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const pages = [
  ...[
    '',
    'log',
    'shortlog',
    'file/tip/',
    'rev/tip',
    'graph',
    'branches',
    'tags',
    'bookmarks',
    'help',
    'help/clone',
  ],
  ...[
    'atom-log',
    'rss-log',
    'raw-file/tip/read.me',
    'file/tip/read.me',
    'annotate/tip/read.me',
    'diff/tip/read.me',
  ],
  ...[
    'filelog/tip/read.me',
    'comparison/tip/read.me',
    'raw-rev/tip',
    'manifest/tip',
    'changelog',
    'archive/tip.tar.gz',
  ],
  ...[
    'static/style-paper.css',
    'static/nothing',
    'nope',
    'rev/nope',
    'log?rev=hello',
    '?cmd=capabilities',
    '?cmd=nope',
  ],
  ...['?cmd=branchmap', '?cmd=listkeys&namespace=bookmarks', '?cmd=getbundle&common=&heads='],
];

describe('hg with --runner warm', { timeout: 300_000 }, () => {
  let warm: Served;
  let spawned: Served;

  const get = async (served: Served, path: string): Promise<unknown> => {
    const [name = '', query = ''] = path.split('?');
    return ask(served.socket, {
      SCRIPT_NAME: name,
      QUERY_STRING: query,
      SERVER_NAME: 'hg.example.org',
      SERVER_PORT: '80',
      SERVER_PROTOCOL: 'HTTP/1.1',
      REMOTE_ADDR: '192.0.2.7',
    });
  };

  before(async () => {
    const repos = join(await temporaryDirectory(), 'repos');
    await mkdir(repos);
    await makeRepository(
      join(repos, 'one'),
      { 'read.me': 'hello\n', 'sub/b': 'b\n' },
      '[web]\nallow-archive = gz\n',
    );
    await makeRepository(join(repos, 'group/two'), { a: 'a\n' });
    spawned = await serve(['hg', '--repos', repos]);
    warm = await serve(['hg', '--repos', repos, '--runner', 'warm']);
  });

  it('answers every kind of page as a new process does', async () => {
    // Until the fork server has loaded what a page's process had to.
    while (!/fork server is ready .*modules=[1-9]/.test(warm.log())) await get(warm, '/one/');
    for (const page of [
      '/',
      '/group/',
      '/index.fcgi/static/mercurial.js',
      ...pages.map((name) => `/one/${name}`),
    ]) {
      assert.deepEqual(await get(warm, page), await get(spawned, page), page);
    }
    assert.doesNotMatch(warm.log(), / (warn|error) /);
  });

  it('ends its fork server with the daemon', async () => {
    const [server = 0] = childrenOf(warm.process.pid ?? 0);
    assert.ok(server > 0);
    assert.equal(await warm.stop(), 0);
    await until(() => childrenOf(server).length === 0);
    assert.throws(() => process.kill(server, 0), { code: 'ESRCH' });
  });
});
