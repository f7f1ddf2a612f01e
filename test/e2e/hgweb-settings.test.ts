/** Every setting of Mercurial's section [web]: scripts/hgweb.cgi against Mercurial's own hgwebdir. */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { fixture } from '../helpers/bridge.js';
import { askSite } from '../helpers/hg-invocation.js';
import { type HgwebRequest, type HgwebResponse, runHgweb, runPython } from '../helpers/hgweb.js';
import { makeTree } from '../helpers/file-tree.js';
import { hg, makeRepository } from '../helpers/mercurial.js';
import { temporaryDirectory } from '../helpers/temporary.js';

/** A value that shows, and where it does. */
interface Row {
  readonly value: string;
  readonly at: readonly string[];
}

const row = (value: string, ...at: readonly string[]): Row => ({ value, at });
const pages = ['/', '/group/', '/one/', '/one/atom-log', '/one/rss-log', '/one/rev/tip'];
const push = 'POST /one/?cmd=unbundle';

const settings: Readonly<Record<string, Row>> = {
  'allow-archive': row('zip gz', '/', '/one/', '/one/archive/tip.bz2'),
  'allow-pull': row('no', '/one/?cmd=getbundle', '/one/?cmd=capabilities'),
  'allow-push': row('ann', push),
  allow_read: row('bob', '/', '/one/', '/one/?cmd=heads'),
  allowbz2: row('yes', '/one/'),
  allowgz: row('yes', '/one/'),
  allowzip: row('yes', '/one/'),
  archivesubrepos: row('yes', '/one/'),
  baseurl: row('https://www.example.org:8443/elsewhere', ...pages),
  cache: row('no', '/one/'),
  collapse: row('yes', '/', '/group/'),
  comparisoncontext: row('0', '/one/comparison/tip/file'),
  contact: row('Somebody', '/', '/one/'),
  csp: row("default-src 'self'", '/', '/one/'),
  deny_push: row('ann', push),
  deny_read: row('ann', '/', '/one/', '/one/raw-file/tip/file'),
  descend: row('no', '/', '/group/'),
  description: row('Something', '/', '/one/summary'),
  encoding: row('ISO-8859-1', '/', '/one/'),
  guessmime: row('yes', '/one/raw-file/tip/page.html', '/one/raw-file/tip/file'),
  hidden: row('yes', '/', '/one/'),
  labels: row('old, new', '/one/', '/'),
  logoimg: row('our.png', '/', '/one/'),
  logourl: row('https://example.org/', '/', '/one/'),
  maxchanges: row('1', '/one/log'),
  maxfiles: row('1', '/one/log'),
  maxshortchanges: row('1', '/one/shortlog'),
  motd: row('Welcome', '/', '/one/'),
  name: row('Our name', '/', '/one/'),
  prefix: row('elsewhere', '/', '/group/', '/one/'),
  push_ssl: row('no', push),
  refreshinterval: row('0', '/', '/one/'),
  static: row('ROOT/static', '/static/mercurial.js', '/one/static/mercurial.js'),
  staticurl: row('/our/static', '/', '/one/'),
  stripes: row('3', '/', '/one/'),
  style: row('gitweb', '/', '/one/'),
  templates: row('/nowhere', '/one/'),
  view: row('all', '/one/log'),
};

/** Those of `hg serve`, which listens by itself and writes its own logs. */
const ofServe = [
  'accesslog',
  'address',
  'cacerts',
  'certificate',
  'errorlog',
  'ipv6',
  'port',
  'server-header',
];

const questions = Object.entries(settings).flatMap(([name, { at }]) =>
  at.map((what) => [name, what] as const),
);
let repos: string;
let said: readonly string[];
let expected: readonly string[];

before(async () => {
  const root = await temporaryDirectory();
  repos = join(root, 'repos');
  const files = { file: 'a\nb\nc\n', 'page.html': '<p>\n', other: 'o\n' };
  await makeRepository(join(repos, 'one'), files);
  await writeFile(join(repos, 'one/file'), 'a\nB\nc\n');
  await hg(['commit', '-q', '-m', 'Second changeset', '-d', '1600000001 0'], join(repos, 'one'));
  await hg(
    ['commit', '-q', '--secret', '-m', 'x', '-d', '1600000002 0', '--config', 'ui.allowemptycommit=1'],
    join(repos, 'one'),
  );
  await makeRepository(join(repos, 'group/two'), { file: 'a\n' });
  await makeRepository(join(repos, 'group/deep/three'), { file: 'a\n' });
  await makeTree(root, { 'static/mercurial.js': { content: 'ours' } });
  for (const [name, { value }] of Object.entries(settings)) {
    const section = `[web]\n${name} = ${value.replace('ROOT', root)}\n`;
    await writeFile(configOf('ours', name), section);
    // The bridge says by itself below what the list of a group lies.
    const prefix = name === 'baseurl' ? '/elsewhere' : '/hg';
    await writeFile(
      configOf('theirs', name),
      `[web]\nprefix = ${prefix}\n${section}[paths]\n/ = ${repos}/**\n`,
    );
  }
  const asked = await Promise.all(questions.map(([name, what]) => ours(name, what)));
  said = (await runHgweb(repos, asked)).map(comparable);
  const stock = fixture('cgi/stock-hgwebdir.py');
  expected = (
    await runHgweb(
      repos,
      questions.map(([name, what]) => theirs(name, what)),
      stock,
    )
  ).map(comparable);
});

const configOf = (whose: string, name: string): string => join(repos, '..', `${whose}-${name}`);

const variablesOf = (what: string): Record<string, string> => {
  const [, method = 'GET', path = '', query = ''] = /^(?:(POST) )?([^?]*)\??(.*)$/.exec(what) ?? [];
  return { REQUEST_METHOD: method, QUERY_STRING: query, CONTENT_LENGTH: '0', REMOTE_USER: 'ann', path };
};

/** What the bridge has hgweb.cgi run for. */
async function ours(name: string, what: string): Promise<HgwebRequest> {
  const { path = '', ...variables } = variablesOf(what);
  const asked = await askSite({ repos, urlPrefix: '/hg' }, { SCRIPT_NAME: `/hg${path}` });
  if (typeof asked === 'string') assert.fail(`${what}: ${asked}`);
  const { scriptName: SCRIPT_NAME = '', pathInfo: PATH_INFO = '' } = asked;
  return {
    args: [asked.what, ...asked.args],
    input: asked.input ?? '',
    variables: { ...variables, SCRIPT_NAME, PATH_INFO, FCGI2CGI_HGWEB_CONFIG: configOf('theirs', name) },
  };
}

function theirs(name: string, what: string): HgwebRequest {
  const { path = '', ...variables } = variablesOf(what);
  return {
    args: [],
    variables: { ...variables, SCRIPT_NAME: '/hg', PATH_INFO: path, CONFIG: configOf('theirs', name) },
  };
}

/** Without what is different on purpose; hgwebdir calls what hg's clients get a page, and the bridge calls it nothing. */
const comparable = ({ stdout }: HgwebResponse): string =>
  stdout
    .replaceAll('/index.fcgi/static/', '/static/')
    .replace(/^X-Content-Type-Options: .*\r\n/im, '')
    .replace(/^Content-Type: .*\r\n(?=Content-Length: \d+\r\n\r\n0\n)/im, '');

describe('A setting of [web] is for hgweb.cgi what it is for hgwebdir:', () => {
  it('each that Mercurial has is compared', async () => {
    const known = await runPython(
      repos,
      `from mercurial import configitems
print(*sorted(name.decode() for name in configitems.coreitems[b'web']))`,
      [],
    );
    assert.deepEqual(known.trim().split(' '), [...Object.keys(settings), ...ofServe].sort());
  });

  for (const [index, [name, what]] of questions.entries()) {
    it(`${name}, at ${what}`, () => {
      // Where hgwebdir fails without a word, there is a page.
      if (expected[index] === '') assert.match(said[index] ?? '', /^Status: 500 /);
      else assert.equal(said[index], expected[index]);
    });
  }
});
