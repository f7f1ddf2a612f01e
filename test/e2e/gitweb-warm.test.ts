/** Debian's gitweb by fork servers: the same answers as from new processes, octet by octet. */

import assert from 'node:assert/strict';
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import type { Invocation } from '../../src/cgi/invocation.js';
import { scriptSite } from '../../src/sites/script.js';
import { resolveRequest, type Site } from '../../src/sites/site.js';
import { succeed } from '../helpers/command.js';
import { gitwebPages } from '../helpers/pages.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { Warm } from '../helpers/warm.js';

/** Long ago, so that pages say the same for more than a second. */
const DATE = '2020-01-01T00:00:00Z';
const GITWEB = '/usr/share/gitweb/gitweb.cgi';
describe('gitweb with --runner warm', { timeout: 300_000 }, () => {
  let config: string;
  let site: Site;
  const warm = new Warm();

  const invocationOf = async (query: string): Promise<Invocation> => {
    const params = {
      REQUEST_METHOD: 'GET',
      SCRIPT_NAME: '/gitweb',
      QUERY_STRING: query,
      SERVER_NAME: 'git.example.org',
      SERVER_PORT: '80',
      SERVER_PROTOCOL: 'HTTP/1.1',
      SERVER_SOFTWARE: 'nginx/1.22.1',
      REMOTE_ADDR: '192.0.2.7',
    };
    const resolution = await resolveRequest(site, Object.entries(params));
    assert.equal(resolution.kind, 'run');
    return resolution.invocation;
  };

  before(async () => {
    const directory = await temporaryDirectory();
    const work = join(directory, 'work');
    await mkdir(work);
    const git = (...args: string[]): Promise<string> =>
      succeed('git', ['-C', work, ...args], {
        env: { ...process.env, GIT_AUTHOR_DATE: DATE, GIT_COMMITTER_DATE: DATE },
      });
    await git('init', '-q', '-b', 'main');
    await writeFile(join(work, 'a'), 'grüße\n');
    await git('add', 'a');
    const who = ['-c', 'user.name=Ann', '-c', 'user.email=ann@example.org'];
    await git(...who, 'commit', '-q', '-m', 'The first commit');
    await git('tag', 'v1');
    await succeed('git', ['clone', '-q', '--bare', work, join(directory, 'projects/one.git')]);
    config = join(directory, 'gitweb.conf');
    const features = `$feature{'blame'}{'default'} = [1]; $feature{'snapshot'}{'default'} = ['tgz'];`;
    await writeFile(
      config,
      `$projectroot = '${directory}/projects'; our $site_name = 'first'; ${features}\n1;\n`,
    );
    const administrator = new Map([
      ['GITWEB_CONFIG', config],
      ['HOME', '/nonexistent'],
    ]);
    const base = new Map([['PATH', process.env['PATH'] ?? '']]);
    site = await scriptSite({ file: GITWEB, args: [], base, administrator });
  });

  it('answers every kind of page as a new process does, before and after it has learned', async () => {
    for (const [query, status] of Object.entries(gitwebPages)) {
      const made = await warm.compared(await invocationOf(query), query);
      assert.equal(made.status, status, query);
    }
  });

  it('reads its configuration for each request', async () => {
    await appendFile(config, `our $site_name = 'second';\n1;\n`);
    const { stdout, isWarm } = await warm.run(await invocationOf(''));
    assert.match(stdout, /<title>second/);
    assert.ok(isWarm);
  });
});
