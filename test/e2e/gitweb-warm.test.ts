/** Debian's gitweb by fork servers: the same answers as from new processes, octet by octet. */

import assert from 'node:assert/strict';
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { type Answer, ask } from '../helpers/ask.js';
import { succeed } from '../helpers/command.js';
import { gitwebPages } from '../helpers/pages.js';
import { serve, type Served } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { answersTheSame, pagesAt } from '../helpers/verified.js';

/** Long ago, so that pages say the same for more than a second. */
const DATE = '2020-01-01T00:00:00Z';
const GITWEB = '/usr/share/gitweb/gitweb.cgi';
describe('gitweb with --runner warm', { timeout: 300_000 }, () => {
  let directory: string;
  let config: string;
  let warm: Served;
  let args: string[];

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
    args = ['script', GITWEB, '--env', `GITWEB_CONFIG=${config}`, '--env', 'HOME=/nonexistent'];
    warm = await serve([...args, '--runner', 'warm']);
  });

  it('answers every kind of page as a new process does, before and after it has learned', async () => {
    const params = ['SCRIPT_NAME=/gitweb', 'SERVER_NAME=git.example.org', 'SERVER_SOFTWARE=nginx/1.22.1'];
    await answersTheSame(
      [...args, ...params.flatMap((param) => ['--param', param])],
      pagesAt('/gitweb?', gitwebPages),
    );
  });

  it('reads its configuration for each request', async () => {
    await appendFile(config, `our $site_name = 'second';\n1;\n`);
    assert.match((await get(warm, '')).stdout, /<title>second/);
  });
});
