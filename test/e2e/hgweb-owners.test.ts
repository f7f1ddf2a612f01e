/** scripts/hgweb.cgi by itself, for repositories of users whom neither the daemon nor their neighbours trust. */

import assert from 'node:assert/strict';
import { appendFile, chmod, cp, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, beforeEach, describe, it } from 'node:test';

import { succeed } from '../helpers/command.js';
import { type HgwebRequest, runHgweb } from '../helpers/hgweb.js';
import { makeRepository } from '../helpers/mercurial.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let root: string;
let repos: string;

const alice = '65534';
const bob = '65533';

before(async () => {
  root = await temporaryDirectory();
  repos = join(root, 'repos');
  await makeRepository(join(root, 'mine'), { file: 'mine' }, '[web]\ndescription = shown\n');
});

beforeEach(async () => {
  await rm(repos, { recursive: true, force: true });
  await mkdir(repos);
});

async function make(name: string, owner = '0'): Promise<void> {
  await cp(join(root, 'mine'), join(repos, name), { recursive: true });
  await own(name, owner);
}

/** What is at a path, and all in it, now belongs to this user. */
async function own(path: string, owner: string): Promise<void> {
  await succeed('chown', ['-R', owner, join(repos, path)]);
}

async function link(target: string, name: string): Promise<void> {
  await rm(join(repos, name), { recursive: true, force: true });
  await symlink(target, join(repos, name));
}

function page(name: string, pathInfo: string): HgwebRequest {
  const variables = { SCRIPT_NAME: `/${name}`, PATH_INFO: pathInfo, QUERY_STRING: 'style=gitweb' };
  return { args: ['repository', join(repos, name), name, name], variables };
}

/** The list, of repositories that are published under the names of their directories. */
function list(...names: readonly string[]): HgwebRequest {
  const input = names.map((name) => `${name}\0${join(repos, name)}\0`).join('');
  return { args: ['index', '/static/'], input, variables: { SCRIPT_NAME: '', PATH_INFO: '/' } };
}

const notRoot = process.getuid?.() !== 0 && 'nobody else can own a file';

describe('A file of settings that belongs to the daemon’s user', { skip: notRoot }, () => {
  let settings: string;

  before(async () => {
    const extension = join(root, 'extension.py');
    await writeFile(extension, 'import sys; sys.stderr.write("ran\\n")');
    settings = `[web]\ndescription = shown\n[extensions]\nx = ${extension}\n`;
  });

  /** What standard error says to the repository's page, and to the list. */
  async function said(name: string): Promise<readonly string[]> {
    const responses = await runHgweb(repos, [page(name, '/summary'), list(name)]);
    for (const { stdout } of responses) assert.match(stdout, /^Status: 200 [^]*shown/, name);
    return responses.map(({ stderr }) => stderr);
  }

  it('is trusted where only this user or root can have put it, or a link to it', async () => {
    await make('r');
    await writeFile(join(repos, 'r/.hg/hgrc'), settings);
    assert.deepEqual(await said('r'), ['ran\n', 'ran\n']);
    await writeFile(join(repos, 'common.rc'), settings);
    await link('../../common.rc', 'r/.hg/hgrc');
    assert.deepEqual(await said('r'), ['ran\n', 'ran\n']);
    await link('hgrc', 'r/.hg/hgrc-not-shared');
    assert.deepEqual(await said('r'), ['ran\n', 'ran\n']);
  });

  it('is not trusted where another user can have put it, or a link to it', async () => {
    const untrusted =
      /^(hgweb\.cgi: \S+\/hgrc\S* is not trusted: \S+ (is a link|belongs to a user who is not trusted)\n)+$/;
    const refused = async (name: string): Promise<void> => {
      for (const stderr of await said(name)) assert.match(stderr, untrusted, name);
    };
    await make('other');
    await writeFile(join(repos, 'other/.hg/store/data/f.i'), settings);
    for (const name of ['moved', 'team/moved', 'linked', 'far', 'whole']) await make(name, alice);
    for (const name of ['moved', 'team/moved']) await writeFile(join(repos, name, '.hg/hgrc'), settings);
    // Directories that a push has made may be moved as well.
    await own('moved/.hg', '0');
    await own('team', alice);
    await own('team/moved', '0');
    await writeFile(join(repos, 'linked/.hg/store/data/f.i'), settings);
    await link('store/data/f.i', 'linked/.hg/hgrc');
    await link('../../other/.hg/store/data/f.i', 'far/.hg/hgrc');
    await mkdir(join(repos, 'whole/data'));
    await writeFile(join(repos, 'whole/data/hgrc-not-shared'), settings);
    await link('../data/hgrc-not-shared', 'whole/.hg/hgrc-not-shared');
    for (const name of ['moved', 'team/moved', 'linked', 'far']) await refused(name);
    assert.match((await said('whole'))[0] ?? '', untrusted);
    await make('root');
    await link('../../linked/.hg/hgrc', 'root/.hg/hgrc');
    await refused('root');
    await rm(join(repos, 'root/.hg/hgrc'));
    await writeFile(join(repos, 'root/.hg/hgrc'), settings);
    await succeed('chown', [alice, repos]);
    await refused('root');
    await succeed('chown', ['0', repos]);
    assert.deepEqual(await said('root'), ['ran\n', 'ran\n']);
  });
});

describe('What another user has below --repos', { skip: notRoot }, () => {
  const file = '/raw-file/tip/file';

  /** Alice’s repository, which has others’ places in the places of its own. */
  const taken: Readonly<Record<string, (name: string, of: string) => Promise<void>>> = {
    store: (name, of) => link(`../../${of}/.hg/store`, `${name}/.hg/store`),
    all: (name, of) => link(`../${of}/.hg`, `${name}/.hg`),
    changelog: (name, of) =>
      link(`../../../${of}/.hg/store/00changelog.i`, `${name}/.hg/store/00changelog.i`),
    shared: async (name, of) => {
      await appendFile(join(repos, name, '.hg/requires'), 'shared\n');
      await writeFile(join(repos, name, '.hg/sharedpath'), join(repos, of, '.hg'));
      await own(`${name}/.hg/sharedpath`, alice);
    },
  };

  async function takeFrom(of: string): Promise<readonly string[]> {
    await make('of', of);
    await chmod(join(repos, 'of'), 0o750);
    for (const [name, take] of Object.entries(taken)) {
      await make(name, alice);
      await take(name, 'of');
      await succeed('chown', ['-hR', alice, join(repos, name)]);
    }
    return Object.keys(taken);
  }

  it('is in no page of a repository, whatever link or share leads there', async () => {
    for (const of of [bob, '0']) {
      const names = await takeFrom(of);
      const said = await runHgweb(
        repos,
        names.map((name) => page(name, file)),
      );
      for (const [index, { stdout, stderr }] of said.entries()) {
        assert.match(stdout, /^Status: 404 /, names[index]);
        assert.match(
          stderr,
          /^hgweb\.cgi: \S+ is not used: it is \S+\/of\S*, which has another owner than \S+\n/,
        );
      }
      await rm(repos, { recursive: true });
      await mkdir(repos);
    }
  });

  it('is in no list, neither by settings that are a link nor by those that include others', async () => {
    await make('of', bob);
    await chmod(join(repos, 'of'), 0o750);
    await writeFile(join(repos, 'of/.hg/hgrc'), '[web]\ndescription = secret\n');
    for (const name of ['linked', 'including', 'other']) await make(name, alice);
    await link('../../of/.hg/hgrc', 'linked/.hg/hgrc');
    await writeFile(join(repos, 'including/.hg/hgrc'), '%include ../../of/.hg/hgrc\n');
    const [said] = await runHgweb(repos, [list('linked', 'including', 'other')]);
    assert.match(said?.stdout ?? '', /shown/);
    assert.doesNotMatch(said?.stdout ?? 'secret', /secret/);
  });

  it('is used where that is the repository’s owner, or where everybody may read it', async () => {
    const names = [...(await takeFrom(alice)), 'stores', 'including'];
    // What a push has made there.
    await own('of/.hg/store/data', '0');
    await make('stores', alice);
    await succeed('mv', [join(repos, 'stores/.hg/store'), join(repos, 'moved')]);
    await own('moved/data', '0');
    await succeed('chmod', ['-R', 'o=', join(repos, 'moved/data')]);
    await link('../../moved', 'stores/.hg/store');
    await make('including', alice);
    await writeFile(join(repos, 'common.rc'), '[web]\nname = common\n');
    await writeFile(join(repos, 'including/.hg/hgrc'), '%include ../../common.rc\n');
    const said = await runHgweb(repos, [...names.map((name) => page(name, file)), page('including', '/')]);
    for (const [index, { stdout }] of said.entries()) assert.match(stdout, /^Status: 200 /, names[index]);
    assert.match(said.at(-1)?.stdout ?? '', /common/);
  });

  it('is used where root has put a link to it', async () => {
    await make('of', bob);
    for (const [name, take] of Object.entries(taken)) {
      await make(name);
      await take(name, 'of');
    }
    for (const { stdout } of await runHgweb(
      repos,
      Object.keys(taken).map((name) => page(name, file)),
    ))
      assert.match(stdout, /^Status: 200 /);
  });
});
