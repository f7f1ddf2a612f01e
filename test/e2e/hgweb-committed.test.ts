/** scripts/hgweb.cgi by itself: what lies in a working directory or is secret, and what a stranger's revision reaches. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { appendFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { type HgwebRequest, runHgweb } from '../helpers/hgweb.js';
import { hg, makeRepository } from '../helpers/mercurial.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let repos: string;
let path: string;

/** Shown by no page: what is untracked, not committed, or secret. */
const unshown = /TOP-SECRET|secret-file|\.env<|not-there/;
const full = 'f'.repeat(40);
const workingDirectory = [full, 'ffffffff', 'ffff', '2147483647'];

before(async () => {
  repos = await temporaryDirectory();
  path = join(repos, 'r');
  await makeRepository(path, { file: 'one\n', other: 'other\n' }, '[web]\nallow-archive = zip\n');
  await writeFile(join(path, 'file'), 'TOP-SECRET\n');
  await writeFile(join(path, 'secret-file'), 'TOP-SECRET\n');
  await hg(['commit', '-q', '-A', '--secret', '-m', 'TOP-SECRET', '-d', '1600000001 0'], path);
  await hg(['update', '-q', '0'], path);
  await writeFile(join(path, 'other'), 'more\n');
  await hg(['commit', '-q', '-m', 'Shown', '-d', '1600000002 0'], path);
  await hg(['update', '-q', '1'], path);
  await writeFile(join(path, '.env'), 'TOP-SECRET\n');
  await appendFile(join(path, 'other'), 'TOP-SECRET\n');
});

function page(pathInfo: string, query = '', variables: Readonly<Record<string, string>> = {}): HgwebRequest {
  const cgi = { SCRIPT_NAME: '/r', PATH_INFO: pathInfo, QUERY_STRING: query, ...variables };
  return { args: ['repository', path, 'r', 'r'], variables: cgi };
}

const search = (revisions: string): HgwebRequest => page('/log', `rev=${encodeURIComponent(revisions)}`);

const command = (name: string, args = ''): HgwebRequest => page('', `cmd=${name}`, { HTTP_X_HGARG_1: args });

async function responses(requests: readonly HgwebRequest[]): Promise<readonly string[]> {
  return (await runHgweb(repos, requests)).map(({ stdout }) => stdout);
}

describe('Of a working directory, hgweb', () => {
  it('shows nothing, whatever the page and however a stranger spells its revision, and writes nothing', async () => {
    const dirstate = join(path, '.hg/dirstate');
    const previous = [statSync(dirstate).mtimeMs, readFileSync(dirstate, 'latin1')];
    const ofFiles = [
      'raw-file',
      'file',
      'annotate',
      'diff',
      'raw-diff',
      'comparison',
      'log',
      'filelog',
      'rss-log',
    ];
    const ofRevisions = [
      'rev',
      'raw-rev',
      'file',
      'log',
      'changelog',
      'shortlog',
      'graph',
      'atom-log',
      'manifest',
    ];
    const asked = [
      ...workingDirectory.flatMap((revision) => [
        `/raw-file/${revision}/.env`,
        `/raw-file/${revision}/other`,
        `/rev/${revision}`,
      ]),
      ...ofFiles.map((name) => `/${name}/${full}/other`),
      ...ofRevisions.map((name) => `/${name}/${full}`),
      ...[`/rev/0:${full}`, `/rev/${full}:0`, `/archive/${full}.zip`],
    ].map((pathInfo) => page(pathInfo));
    asked.push(page('/raw-file', `file=.env&filenode=${full}`));
    for (const [index, text] of (await responses(asked)).entries()) {
      const { PATH_INFO = '' } = asked[index]?.variables ?? {};
      // A comparison's other side.
      if (PATH_INFO !== `/rev/${full}:0`) assert.match(text, /^Status: 404 /, PATH_INFO);
      assert.doesNotMatch(text, unshown, PATH_INFO);
    }
    assert.deepEqual([statSync(dirstate).mtimeMs, readFileSync(dirstate, 'latin1')], previous);
  });

  it('finds nothing', async () => {
    const others = ['id(ffffffff) or 0', 'rev(2147483647) or 0', '_rev(2147483647) or 0', 'wdir() or 0'];
    const alone = ['wdir()', 'ffffffff or 0', 'user(Ann) and id(ffff)', 'ancestors(wdir())', 'parents()'];
    const failing = [`_hexlist("${full}") or 0`, "filelog('glob:*')", 'file("set:revs(wdir(), unknown())")'];
    const said = await responses([...others, ...alone, ...failing].map(search));
    for (const text of said) {
      assert.match(text, /^Status: 200 [^]*<\/html>\s*$/);
      assert.doesNotMatch(text, unshown);
      assert.ok(!text.includes('ffffffffffff"'));
    }
  });

  it('tells hg’s clients what it tells them about any unknown revision', async () => {
    const unknown = '1'.repeat(40);
    const commands = [
      ['lookup', 'key='],
      ['known', 'nodes='],
      ['branches', 'nodes='],
      ['getbundle', 'heads='],
    ] as const;
    const ask = (revision: string): Promise<readonly string[]> =>
      responses(commands.map(([name, args]) => command(name, args + revision)));
    const expected = await ask(unknown);
    assert.match(expected[0] ?? '', /\r\n\r\n0 unknown revision '1{40}'\n$/);
    const said = await ask(full);
    assert.deepEqual(
      said.map((text) => text.replaceAll(full, unknown)),
      expected,
    );
  });

  it('lets hooks see everything', async () => {
    const hook = join(repos, 'hook.py');
    await writeFile(hook, 'def seen(ui, repo, **named):\n    assert repo[None][b"other"].data()\n');
    const request = command(
      'getbundle',
      `heads=${(await hg(['log', '-r', '0', '-T', '{node}'], path)).trim()}`,
    );
    const before = `from mercurial import ui
load = ui.ui.load
def with_hook():
    loaded = load()
    loaded.setconfig(b'hooks', b'preoutgoing.seen', b'python:${hook}:seen', b'test')
    return loaded
ui.ui.load = with_hook`;
    const [{ stdout, stderr } = assert.fail()] = await runHgweb(repos, [{ ...request, before }]);
    assert.match(stdout, /^Status: 200 /, stderr);
    assert.equal(stderr, '');
  });
});

describe('Of a secret changeset, hgweb', () => {
  it('shows nothing, by the numbers of a file’s revisions, as what is checked out, or in the history of a line', async () => {
    const absent = [
      'raw-file/1/file',
      'raw-file/1/secret-file',
      'annotate/1/file',
      'log/1/file',
      'rev/.',
      'file/./',
    ];
    const asked = absent.map((name) => page(`/${name}`));
    for (const name of ['/raw-file', '/annotate', '/file', '/diff', '/filelog'])
      asked.push(page(name, 'file=file&filenode=1'));
    asked.push(page('/filelog/2/secret-file'));
    const said = await responses(asked);
    for (const [index, text] of said.entries()) {
      assert.match(text, /^Status: 404 /, JSON.stringify(asked[index]?.variables));
      assert.ok(!text.includes('TOP-SECRET'));
    }
    const [history = ''] = await responses([page('/log/0/file', 'descend=1&linerange=1:1&patch=1')]);
    assert.match(history, /^Status: 200 [^]*First changeset/);
    assert.ok(!history.includes('TOP-SECRET'));
  });
});

describe('A search', () => {
  it('reads no file from elsewhere, and uses no regular expression', async () => {
    const list = join(repos, 'list');
    await writeFile(list, 'other\n');
    const patterns = [
      `listfile:${list}`,
      `listfile0:${list}`,
      `include:${list}`,
      'set:grep(one)',
      'relre:^f',
    ];
    const revisions = patterns.map((pattern) => `file("${pattern}")`);
    const said = await responses([...revisions, 'user("r" ## "e:A") or 9'].map(search));
    for (const text of said) {
      assert.match(text, /^Status: 200 [^]*<\/html>\s*$/);
      assert.doesNotMatch(text, /First changeset|Shown/);
    }
  });

  it('finds changesets by an expression', async () => {
    const [files = '', all = ''] = await responses(
      ['file("glob:o*") and user(Ann)', 'all() and branch(default)'].map(search),
    );
    for (const text of [files, all]) assert.match(text, /Shown[^]*First changeset/);
  });
});

describe('An archive', () => {
  it('has subrepositories only where the administrator wants it, and nothing is fetched for them', async () => {
    const source = join(repos, 'source');
    await makeRepository(source, { part: 'PART' });
    const whole = join(repos, 'whole');
    const hgrc = join(whole, '.hg/hgrc');
    await makeRepository(whole, { file: 'one\n' });
    await writeFile(hgrc, '[web]\nallow-archive = zip\narchivesubrepos = true\n');
    await writeFile(join(whole, '.hgsub'), `sub = ${source}\n`);
    await hg(['clone', '-q', source, 'sub'], whole);
    await hg(['commit', '-q', '-A', '-m', 'Subrepository'], whole);
    const variables = { SCRIPT_NAME: '/whole', PATH_INFO: '/archive/tip.zip' };
    const request = { args: ['repository', whole, 'whole', 'whole'], variables };
    const untrusted = {
      ...request,
      before: 'from mercurial import ui; ui.ui._trusted = lambda *more: False',
    };
    const archives = async (): Promise<readonly boolean[]> =>
      (await runHgweb(repos, [request, untrusted])).map(({ stdout }) => stdout.includes('sub/part'));
    assert.deepEqual(await archives(), [true, false]);
    await rename(join(whole, 'sub'), join(repos, 'gone'));
    const [{ stdout, stderr } = assert.fail()] = await runHgweb(repos, [request]);
    assert.ok(!stdout.includes('sub/part'));
    assert.match(stderr, /subrepository 'sub' is not archived: it has no revision [0-9a-f]{40}\n/);
    assert.ok(!existsSync(join(whole, 'sub')));
  });
});

describe('A comparison', () => {
  it('with a context that is no number is refused, not a failure', async () => {
    const contexts = ['x', '-x', '9'.repeat(5000), 'full', '3'];
    const said = await responses(contexts.map((text) => page('/comparison/2/other', `context=${text}`)));
    assert.deepEqual(
      said.map((text) => text.slice(8, 11)),
      ['400', '400', '400', '200', '200'],
    );
  });
});
