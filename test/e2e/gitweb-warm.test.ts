/** Debian's gitweb by fork servers: the same answers as from new processes, octet by octet. */

import assert from 'node:assert/strict';
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { type Answer, ask } from '../helpers/ask.js';
import { succeed } from '../helpers/command.js';
import { serve, type Served } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';

/** Long ago, so that pages say the same for more than a second. */
const DATE = '2020-01-01T00:00:00Z';
const GITWEB = '/usr/share/gitweb/gitweb.cgi';
const pages = [
  ...[
    '',
    'a=project_index',
    'a=opml',
    'p=one.git',
    'p=one.git;a=summary',
    'p=one.git;a=log',
    'p=one.git;a=shortlog',
  ],
  ...['p=one.git;a=tree', 'p=one.git;a=blob;f=a', 'p=one.git;a=blob_plain;f=a', 'p=one.git;a=blame;f=a'],
  ...[
    'p=one.git;a=commit',
    'p=one.git;a=commitdiff',
    'p=one.git;a=commitdiff_plain',
    'p=one.git;a=patch',
    'p=one.git;a=heads',
  ],
  ...[
    'p=one.git;a=tags',
    'p=one.git;a=history;f=a',
    'p=one.git;a=search;st=commit;s=first',
    'p=one.git;a=rss',
    'p=one.git;a=atom',
  ],
  ...['p=one.git;a=snapshot;h=HEAD;sf=tgz', 'p=nope.git', 'p=one.git;a=nope', 'p=one.git;a=blob;f=nope'],
];

describe('gitweb with --runner warm', { timeout: 300_000 }, () => {
  let directory: string;
  let config: string;
  let warm: Served;
  let spawned: Served;

  const get = async (served: Served, query: string): Promise<Answer> => {
    const answer = await ask(served.socket, {
      SCRIPT_NAME: '/gitweb',
      QUERY_STRING: query,
      SERVER_NAME: 'git.example.org',
      SERVER_PORT: '80',
      SERVER_PROTOCOL: 'HTTP/1.1',
      SERVER_SOFTWARE: 'nginx/1.22.1',
      REMOTE_ADDR: '192.0.2.7',
    });
    // CGI::Carp puts the time before its warnings.
    return { ...answer, stderr: answer.stderr.replaceAll(/^\[[^\]]*\]/gm, '') };
  };

  before(async () => {
    directory = await temporaryDirectory();
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
    const args = ['script', GITWEB, '--env', `GITWEB_CONFIG=${config}`, '--env', 'HOME=/nonexistent'];
    spawned = await serve(args);
    warm = await serve([...args, '--runner', 'warm']);
  });

  it('answers every kind of page as a new process does', async () => {
    // Until the fork server has loaded what a page's process had to.
    while (!/fork server is ready .*modules=[1-9]/.test(warm.log())) await get(warm, 'p=one.git;a=summary');
    for (const page of pages) assert.deepEqual(await get(warm, page), await get(spawned, page), page);
    assert.doesNotMatch(warm.log(), / is run by spawn /);
  });

  it('reads its configuration for each request', async () => {
    await appendFile(config, `our $site_name = 'second';\n1;\n`);
    assert.match((await get(warm, '')).stdout, /<title>second/);
  });
});
