/** scripts/hgweb.cgi by itself, for a repository where a pushed changeset makes another one obsolete. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { appendFile, cp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { type HgwebRequest, runHgweb } from '../helpers/hgweb.js';
import { hg, makeRepository } from '../helpers/mercurial.js';
import { temporaryDirectory } from '../helpers/temporary.js';

/** What hg begins a push with, after the header of its bundle: it wants a response of the same kind. */
const REPLY_CAPABILITIES = '\0\0\0\x10\x09REPLYCAPS\0\0\0\xff\0\0\0\0\0\x04HG20\0\0\0\0';
const BUNDLE_HEADER = 8;

describe('Of an obsolete changeset, hgweb', () => {
  it('shows nothing once its successor was pushed, also where an extension asks what is checked out', async () => {
    const repos = await temporaryDirectory();
    const [target, source] = [join(repos, 'target'), join(repos, 'source')];
    const hgrc = join(target, '.hg/hgrc');
    await makeRepository(target, { file: 'one\n' });
    const obsolete = (await hg(['log', '-T', '{node}'], target)).trim();
    await hg(['update', '-q', 'null'], target);
    await writeFile(join(target, 'untracked'), 'TOP-SECRET\n');
    const bundle = await successorOf(target, source);
    await writeFile(hgrc, settings);
    const ask = (pathInfo: string, query = '', more: Readonly<Record<string, string>> = {}): HgwebRequest => {
      const cgi = { SCRIPT_NAME: '/target', PATH_INFO: pathInfo, QUERY_STRING: query, ...more };
      return { args: ['repository', target, 'target', 'target'], variables: cgi };
    };
    const input = bundle.slice(0, BUNDLE_HEADER) + REPLY_CAPABILITIES + bundle.slice(BUNDLE_HEADER);
    const push = {
      REQUEST_METHOD: 'POST',
      CONTENT_LENGTH: String(input.length),
      HTTP_X_HGARG_1: 'heads=666f726365',
    };
    const search = ask('/log', 'rev=branch(default)');
    const shown = [ask('/'), search, ask('/file/tip'), ask('/annotate/tip/file'), ask('', 'cmd=heads')];
    const names = [
      `rev/${obsolete}`,
      'rev/2147483647',
      `file/${'f'.repeat(40)}/untracked`,
      'file/ffff/untracked',
    ];
    const absent = names.map((name) => ask(`/${name}`));
    const said = await runHgweb(repos, [{ ...ask('', 'cmd=unbundle', push), input }, ...shown, ...absent]);
    assert.deepEqual(
      said.map(({ stdout, stderr }) => stdout.slice(8, 11) + stderr),
      [...['200', '200', '200', '200', '200', '200'], ...absent.map(() => '404')],
    );
    for (const { stdout } of said.slice(1, 3)) {
      assert.match(stdout, /Successor/);
      assert.doesNotMatch(stdout, /First changeset/);
    }
    assert.doesNotMatch(said[3]?.stdout ?? '', /untracked/);
    // Here the search is what first asks for what is hidden.
    await appendFile(hgrc, 'view = all\n');
    await rm(join(target, '.hg/cache'), { recursive: true });
    const [all] = await runHgweb(repos, [search]);
    assert.match(all?.stdout ?? '', /^Status: 200 [^]*Successor[^]*First changeset/);
  });
});

const settings = `[extensions]
blackbox =
fastannotate =
[fastannotate]
modes = fctx
[experimental]
evolution = all
[phases]
publish = false
[web]
allow-push = *
push_ssl = false
`;

/** A bundle in which the tip is amended. */
async function successorOf(target: string, source: string): Promise<string> {
  const evolving = ['evolution=all', 'evolution.bundle-obsmarker=true'].flatMap((setting) => [
    '--config',
    `experimental.${setting}`,
  ]);
  await cp(target, source, { recursive: true });
  await hg(['update', '-q', 'tip'], source);
  await hg([...evolving, 'commit', '-q', '--amend', '-m', 'Successor'], source);
  await hg([...evolving, 'bundle', '-q', '-a', '-t', 'none-v2', 'changes'], source);
  return readFileSync(join(source, 'changes'), 'latin1');
}
