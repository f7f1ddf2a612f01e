/** The index of repositories: what is listed without being opened is listed as hgwebdir lists it, and so is all else. */

import assert from 'node:assert/strict';
import { appendFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { before, describe, it } from 'node:test';

import { fixture } from '../helpers/bridge.js';
import { askSite } from '../helpers/hg-invocation.js';
import { runHgweb } from '../helpers/hgweb.js';
import { hg, makeRepository } from '../helpers/mercurial.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let repos: string;
let extension: string;

/** How each is made; and whether it is opened, and listed. */
const kinds: Readonly<Record<string, readonly [what: string, make: (path: string) => Promise<unknown>]>> = {
  plain: ['listed', (path) => makeRepository(path, { a: 'a\n' })],
  empty: ['listed', (path) => hg(['init', path])],
  described: [
    'listed',
    (path) => made(path, '[web]\ndescription = Some\nname = Other\n[paths]\ndefault = x\n'),
  ],
  hidden: ['neither', (path) => made(path, '[web]\nhidden = yes\n')],
  'not-safe': ['listed', (path) => hg(['--config', 'format.use-share-safe=no', 'init', path])],
  flat: ['opened, listed', (path) => hg(['--config', 'format.usestore=no', 'init', path])],
  shared: [
    'opened, listed',
    (path) => hg(['--config', 'extensions.share=', 'share', join(repos, 'plain'), path]),
  ],
  'other-settings': ['opened, listed', (path) => made(path, '[ui]\nverbose = yes\n')],
  included: [
    'opened',
    async (path) => {
      await made(path, '%include more\n');
      await writeFile(join(path, '.hg/more'), `[extensions]\nrefuses = ${extension}\n`);
    },
  ],
  extended: ['opened', (path) => made(path, `[extensions]\nrefuses = ${extension}\n`)],
  marked: ['opened', (path) => made(path, `\uFEFF[extensions]\nrefuses = ${extension}\n`)],
  'with-others': [
    'opened',
    async (path) => {
      await made(path, '');
      await writeFile(join(path, '.hg/hgrc-not-shared'), `[extensions]\nrefuses = ${extension}\n`);
    },
  ],
  unknown: [
    'opened',
    async (path) => {
      await made(path, '');
      await appendFile(join(path, '.hg/requires'), 'unknown\n');
    },
  ],
  'unknown-in-store': [
    'opened',
    async (path) => {
      await made(path, '');
      await appendFile(join(path, '.hg/store/requires'), 'unknown\n');
    },
  ],
  'without-requires': [
    'opened, listed',
    async (path) => {
      await made(path, '');
      await rm(join(path, '.hg/requires'));
    },
  ],
  'without-store': [
    'opened',
    async (path) => {
      await made(path, '');
      await rm(join(path, '.hg/store'), { recursive: true });
    },
  ],
};

async function made(path: string, settings: string): Promise<void> {
  await hg(['init', path]);
  await writeFile(join(path, '.hg/hgrc'), settings);
}

/** Says of each repository that it is opened. */
const noticing = `
opened = localrepo.makelocalrepository
def notice(ui, path, *more, **named):
    print('opened', os.fsdecode(path), file=sys.stderr)
    return opened(ui, path, *more, **named)
localrepo.makelocalrepository = notice
`;

describe('The index that hgweb.cgi shows', { timeout: 120_000 }, () => {
  let ours: { readonly stdout: string; readonly stderr: string };
  let theirs: { readonly stdout: string };

  before(async () => {
    const root = await temporaryDirectory();
    repos = join(root, 'repos');
    extension = join(root, 'refuses.py');
    await writeFile(
      extension,
      `from mercurial import error\ndef reposetup(ui, repo):\n    raise error.RepoError(b'refused')\n`,
    );
    for (const [name, [, make]] of Object.entries(kinds)) await make(join(repos, name));
    const asked = await askSite({ repos }, { SCRIPT_NAME: '/' });
    if (typeof asked === 'string') assert.fail(asked);
    const { scriptName: SCRIPT_NAME = '', pathInfo: PATH_INFO = '', what, args, input = '' } = asked;
    const variables = { SCRIPT_NAME, PATH_INFO };
    const [mine] = await runHgweb(repos, [{ args: [what, ...args], input, variables, before: noticing }]);
    ours = mine ?? assert.fail();
    const config = join(root, 'config');
    await writeFile(config, `[paths]\n/ = ${repos}/*\n`);
    const stock = [{ args: [], variables: { SCRIPT_NAME: '', PATH_INFO: '/', CONFIG: config } }];
    const [other] = await runHgweb(repos, stock, fixture('cgi/stock-hgwebdir.py'));
    theirs = other ?? assert.fail();
  });

  for (const [name, [what]] of Object.entries(kinds)) {
    it(`has a repository that is ${name} ${what}`, () => {
      const isOpened = ours.stderr
        .split('\n')
        .some((line) => line.startsWith('opened') && basename(line) === name);
      const isListed = ours.stdout.includes(`href="/${name}/"`);
      const words = [isOpened && 'opened', isListed && 'listed'].filter(Boolean).join(', ');
      assert.equal(words === '' ? 'neither' : words, what);
    });
  }

  it('is hgwebdir’s', () => {
    const plain = (text: string): string =>
      text.replaceAll('/index.fcgi/static/', '/static/').replace(/^X-Content-Type-Options: .*\r\n/im, '');
    assert.equal(plain(ours.stdout), plain(theirs.stdout));
  });
});
