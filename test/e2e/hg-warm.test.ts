/** hgweb by fork servers: the same answers as from new processes, octet by octet. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { ask } from '../helpers/ask.js';
import { makeRepository } from '../helpers/mercurial.js';
import { hgPages } from '../helpers/pages.js';
import { childrenOf, mappedBy, until } from '../helpers/processes.js';
import { serve, type Served } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { answersTheSame, pagesAt, verified } from '../helpers/verified.js';

describe('hg with --runner warm', { timeout: 300_000 }, () => {
  let repos: string;
  let warm: Served;

  before(async () => {
    repos = join(await temporaryDirectory(), 'repos');
    await mkdir(repos);
    await makeRepository(
      join(repos, 'one'),
      { 'read.me': 'hello\n', 'sub/b': 'b\n' },
      '[web]\nallow-archive = gz\n',
    );
    await makeRepository(join(repos, 'group/two'), { a: 'a\n' });
    warm = await serve(['hg', '--repos', repos, '--runner', 'warm']);
  });

  it('answers every kind of page as a new process does, before and after it has learned', async () => {
    await answersTheSame(['hg', '--repos', repos], {
      '/': 200,
      '/group/': 200,
      '/index.fcgi/static/mercurial.js': 200,
      ...pagesAt('/one/', hgPages),
    });
  });

  it('runs hg in a script that has set its arguments before it imports Mercurial', async () => {
    const script = join(await temporaryDirectory(), 'hg.cgi');
    const python = execFileSync('hg', ['debuginstall', '-T', '{pythonexe}']).toString();
    await writeFile(
      script,
      `#!${python}
import os, sys
from urllib.parse import unquote
print('Content-Type: text/plain\\n', flush=True)
os.dup2(1, 2)
os.environ['HGRCPATH'] = os.devnull
os.environ['HGPLAIN'] = '1'
sys.argv = ['hg', *map(unquote, os.environ['QUERY_STRING'].split('&'))]
os.chdir('${join(repos, 'one')}')
from mercurial import dispatch
dispatch.run()
`,
    );
    await chmod(script, 0o755);
    const asked = ['log&-T{rev}%5cn', 'cat&-r0&read.me', 'version&-q', 'nothing'];
    const { verified: found } = await verified(
      ['script', script],
      asked.map((words) => `/?${words}`),
    );
    assert.deepEqual(
      found.map(({ result, differences }) => [result, differences]),
      asked.map(() => ['same', []]),
    );
  });

  it('has Mercurial loaded in the fork server, once it has learned', async () => {
    const request = { SCRIPT_NAME: '/one/', SERVER_NAME: 'hg.example.org', SERVER_PORT: '80' };
    const isLearned = /fork server is ready.*modules=[1-9]/;
    await until(async () => {
      await ask(warm.socket, request);
      return isLearned.test(warm.log());
    });
    const isLoaded = (pid: number): boolean => mappedBy(pid).includes('mercurial/cext/parsers');
    await until(() => childrenOf(warm.process.pid ?? 0).some(isLoaded));
  });

  it('ends its fork server with the daemon', async () => {
    const request = { SCRIPT_NAME: '/one/', SERVER_NAME: 'hg.example.org', SERVER_PORT: '80' };
    await ask(warm.socket, request);
    await warm.logged(/fork server is ready/);
    assert.match((await ask(warm.socket, request)).stdout, /First changeset/);
    const [server = 0] = childrenOf(warm.process.pid ?? 0);
    assert.ok(server > 0);
    assert.equal(await warm.stop(), 0);
    await until(() => childrenOf(server).length === 0);
    assert.throws(() => process.kill(server, 0), { code: 'ESRCH' });
  });
});
