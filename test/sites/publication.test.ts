import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { beforeEach, describe, it } from 'node:test';

import { fromText } from '../../src/base/bytes.js';
import { Threads } from '../../src/base/threads.js';
import { realPath } from '../../src/sites/contain.js';
import { HgRepositories } from '../../src/sites/hg/repository.js';
import { lstatAt } from '../../src/sites/look-up.js';
import { Publication } from '../../src/sites/publication.js';
import { whyUnreachable } from '../../src/sites/refusal-reason.js';
import { byThreads, later, stepsBelow, Turns } from '../../src/sites/steps.js';
import { Trees } from '../../src/sites/trees.js';
import { empty, type Entry, makeTree } from '../helpers/file-tree.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let root: string;

beforeEach(async () => {
  root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
  await makeTree(root, { repos: 'directory', markers: 'directory' });
});

async function publication(
  entries: Readonly<Record<string, Entry>>,
  markers = true,
  mayNest = false,
): Promise<Publication> {
  await makeTree(root, entries);
  const repos = `${root}/repos`;
  const repositories = new HgRepositories(repos, new Trees(repos));
  return new Publication({
    repos,
    markers: markers ? `${root}/markers` : undefined,
    suffix: '.hg',
    mayNest,
    repositoryAt: (path, isListed) => repositories.at(path, isListed),
    lackOf: (path) => repositories.lackOf(path),
    take: await stepsBelow([root]),
  });
}

/** What a path finds: the repository, relative to the directory of them, and the rest of the path. */
async function found(published: Publication, path: string): Promise<string | undefined> {
  const answer = await published.find(path.split('/'));
  if (answer === undefined || 'why' in answer) return undefined;
  const repository = answer.published.repository.slice(`${root}/repos/`.length);
  return `${answer.published.segments.join('/')} is ${repository}, rest ${answer.rest.join('/')}`;
}

async function listed(published: Publication, below: readonly string[] = []): Promise<string[]> {
  return (await published.list(below)).map(({ segments }) => segments.join('/'));
}

describe('With markers, a repository', () => {
  it('is published by its marker, under the marker’s name', async () => {
    const site = await publication({ 'repos/a/.hg': 'directory', 'markers/a.hg': empty });
    assert.equal(await found(site, 'a.hg'), 'a.hg is a, rest ');
    assert.equal(await found(site, 'a.hg/file/tip'), 'a.hg is a, rest file/tip');
    assert.deepEqual(await listed(site), ['a.hg']);
  });

  it('is found without the suffix, too, as clones ask for it, where nothing has that name', async () => {
    const site = await publication({
      ...{ 'repos/a/.hg': 'directory', 'repos/b/.hg': 'directory', 'repos/c/.hg': 'directory' },
      ...{ 'markers/a.hg': empty, 'markers/b.hg': empty, 'markers/b': 'directory' },
      ...{ 'markers/c.hg': { content: 'HG20' }, 'markers/link': { link: 'nowhere' } },
      ...{ 'repos/link/.hg': 'directory', 'markers/link.hg': empty },
    });
    assert.equal(await found(site, 'a'), 'a.hg is a, rest ');
    assert.equal(await found(site, 'a/file/tip'), 'a.hg is a, rest file/tip');
    for (const path of ['b', 'c', 'none', 'link', '.a', 'a.']) {
      assert.equal(await found(site, path), undefined, path);
    }
  });

  it('is published from the next look on, and withdrawn as soon', async () => {
    const site = await publication({ 'repos/a/.hg': 'directory' });
    assert.equal(await found(site, 'a.hg'), undefined);
    await makeTree(root, { 'markers/a.hg': empty });
    assert.equal(await found(site, 'a.hg'), 'a.hg is a, rest ');
    await rm(`${root}/markers/a.hg`);
    assert.equal(await found(site, 'a.hg'), undefined);
    assert.deepEqual(await listed(site), []);
  });

  it('is published by a marker in a subdirectory, from the same subdirectory of the repositories', async () => {
    const site = await publication({
      'repos/group/sub/a/.hg': 'directory',
      'repos/a/.hg': 'directory',
      'markers/group/sub/a.hg': empty,
    });
    assert.equal(await found(site, 'group/sub/a.hg/log'), 'group/sub/a.hg is group/sub/a, rest log');
    assert.equal(await found(site, 'a.hg'), undefined);
    assert.deepEqual(await listed(site), ['group/sub/a.hg']);
    assert.deepEqual(await listed(site, ['group']), ['group/sub/a.hg']);
    assert.deepEqual(await listed(site, ['other']), []);
  });

  it('is not published by a file with something in it, which is a bundle for download', async () => {
    const site = await publication({ 'repos/a/.hg': 'directory', 'markers/a.hg': { content: 'HG20' } });
    assert.equal(await found(site, 'a.hg'), undefined);
    assert.deepEqual(await listed(site), []);
  });

  it('is not published by a directory, and what is in a directory of such a name is', async () => {
    const site = await publication({
      'repos/a/.hg': 'directory',
      'repos/x.hg/b/.hg': 'directory',
      'markers/a.hg': 'directory',
      'markers/x.hg/b.hg': empty,
    });
    assert.equal(await found(site, 'a.hg'), undefined);
    assert.equal(await found(site, 'x.hg/b.hg'), 'x.hg/b.hg is x.hg/b, rest ');
    assert.deepEqual(await listed(site), ['x.hg/b.hg']);
  });

  it('is not published by a symbolic link, nor by a marker in a directory that is one', async () => {
    const site = await publication({
      'repos/a/.hg': 'directory',
      'repos/link/a/.hg': 'directory',
      'elsewhere/a.hg': empty,
      'elsewhere/sub/a.hg': empty,
      'repos/group/a/.hg': 'directory',
      'repos/group/sub/a/.hg': 'directory',
      'markers/a.hg': { link: '../elsewhere/a.hg' },
      'markers/group': { link: '../elsewhere' },
    });
    for (const path of ['a.hg', 'group/a.hg', 'group/sub/a.hg']) {
      assert.equal(await found(site, path), undefined, path);
    }
    assert.deepEqual(await listed(site), []);
    assert.deepEqual(await listed(site, ['group']), []);
  });

  it('must be there: a marker alone, or beside a plain directory, publishes nothing', async () => {
    const site = await publication({
      'markers/none.hg': empty,
      'markers/plain.hg': empty,
      'repos/plain/file': empty,
      'repos/unmarked/.hg': 'directory',
    });
    for (const path of ['none.hg', 'plain.hg', 'unmarked', 'unmarked.hg']) {
      assert.equal(await found(site, path), undefined, path);
    }
    assert.deepEqual(await listed(site), []);
  });

  it('needs a name: a marker that is nothing but the suffix publishes nothing', async () => {
    const site = await publication({ 'repos/.hg': 'directory', 'markers/.hg': empty });
    assert.equal(await found(site, '.hg'), undefined);
    assert.deepEqual(await listed(site), []);
  });

  it('is not published where a symbolic link leads out of the directory of repositories', async () => {
    const site = await publication({
      'outside/a/.hg': 'directory',
      'repos-private/a/.hg': 'directory',
      'repos/a': { link: '../outside/a' },
      'repos/b': { link: '../repos-private/a' },
      'repos/group': { link: '../outside' },
      'repos/inside/.hg': 'directory',
      'outside/borrowed/.hg': { link: '../../repos/inside/.hg' },
      'repos/borrowed': { link: '../outside/borrowed' },
      'markers/borrowed.hg': empty,
      'repos/half/file': empty,
      'repos/half/.hg': { link: '../../outside/a/.hg' },
      'markers/a.hg': empty,
      'markers/b.hg': empty,
      'markers/group/a.hg': empty,
      'markers/half.hg': empty,
    });
    for (const path of ['a.hg', 'b.hg', 'group/a.hg', 'borrowed.hg', 'half.hg']) {
      assert.equal(await found(site, path), undefined, path);
    }
    assert.deepEqual(await listed(site), []);
  });

  it('may be a symbolic link to another inside, since the marker says so', async () => {
    const site = await publication({
      'repos/real/.hg': 'directory',
      'repos/alias': { link: 'real' },
      'markers/alias.hg': empty,
    });
    assert.equal(await found(site, 'alias.hg'), 'alias.hg is real, rest ');
    assert.deepEqual(await listed(site), ['alias.hg']);
  });

  it('is not published below a name that begins with a dot', async () => {
    const site = await publication({
      'repos/.a/.hg': 'directory',
      'repos/.group/a/.hg': 'directory',
      'markers/.a.hg': empty,
      'markers/.group/a.hg': empty,
    });
    assert.equal(await found(site, '.a.hg'), undefined);
    assert.equal(await found(site, '.group/a.hg'), undefined);
    assert.deepEqual(await listed(site), []);
    assert.deepEqual(await listed(site, ['.group']), []);
  });

  it('may have any octets in its name', async () => {
    const name = 'caf\xe9 \n"<&\u00c3';
    const site = await publication({ [`repos/${name}/.hg`]: 'directory', [`markers/${name}.hg`]: empty });
    assert.equal(await found(site, `${name}.hg/x`), `${name}.hg is ${name}, rest x`);
    assert.deepEqual(await listed(site), [`${name}.hg`]);
  });

  it('is found through no path of another spelling', async () => {
    const site = await publication({ 'repos/group/a/.hg': 'directory', 'markers/group/a.hg': empty });
    for (const path of ['group%2Fa.hg', 'Group/a.hg', 'group/a.hg ', 'group/a.hg\0']) {
      assert.equal(await found(site, path), undefined, path);
    }
  });
});

describe('A path of very many segments', () => {
  // Each of them once cost looks at the file system, with a path as long as all before it: a minute for this one.
  it('costs no more than those that exist', { timeout: 10_000 }, async () => {
    for (const markers of [true, false]) {
      const site = await publication({ 'repos/a.hg/x': empty, 'markers/a.hg/x': empty }, markers);
      const path = Array.from({ length: 50_000 }, () => 'a.hg');
      assert.equal(await site.find(path), undefined);
      assert.deepEqual(await site.directoryWithFile(path, 'index.fcgi'), markers ? undefined : []);
    }
  });
});

describe('Without markers, repositories', () => {
  it('are published under their own names, and not again from inside one another', async () => {
    const site = await publication(
      {
        'repos/a/.hg': 'directory',
        'repos/a/nested/.hg': 'directory',
        'repos/group/b/.hg': 'directory',
        'repos/plain/file': empty,
      },
      false,
    );
    assert.equal(await found(site, 'a/nested/log'), 'a is a, rest nested/log');
    assert.equal(await found(site, 'group/b/log'), 'group/b is group/b, rest log');
    assert.equal(await found(site, 'plain/file'), undefined);
    assert.deepEqual(await listed(site), ['a', 'group/b']);
  });

  it('are not reached through a directory that is a symbolic link, so that nothing goes in circles', async () => {
    const site = await publication(
      {
        'repos/group/b/.hg': 'directory',
        'repos/group/again': { link: '..' },
        'repos/alias': { link: 'group' },
        'repos/b': { link: 'group/b' },
        'outside/c/.hg': 'directory',
        'repos/out': { link: '../outside' },
        'repos/c': { link: '../outside/c' },
      },
      false,
    );
    for (const path of ['alias/b', 'group/again/group/b', 'out/c', 'c']) {
      assert.equal(await found(site, path), undefined, path);
    }
    assert.deepEqual(await listed(site), ['b', 'group/b']);
  });

  it('always have an index', async () => {
    const site = await publication({}, false);
    assert.deepEqual(await site.directoryWithFile(['x'], 'index.fcgi'), []);
  });
});

describe('An index file', () => {
  it('counts for its directory and all below it, not beside or above', async () => {
    const site = await publication({
      'markers/a/index.fcgi': empty,
      'markers/a/b': 'directory',
      'markers/c': 'directory',
    });
    assert.deepEqual(await site.directoryWithFile(['a'], 'index.fcgi'), ['a']);
    assert.deepEqual(await site.directoryWithFile(['a', 'b'], 'index.fcgi'), ['a']);
    assert.deepEqual(await site.directoryWithFile(['a', 'missing', 'too'], 'index.fcgi'), ['a']);
    assert.equal(await site.directoryWithFile([], 'index.fcgi'), undefined);
    assert.equal(await site.directoryWithFile(['c'], 'index.fcgi'), undefined);
    assert.equal(await site.directoryWithFile(['missing'], 'index.fcgi'), undefined);
  });

  it('is found in the uppermost directory that has one', async () => {
    const site = await publication({ 'markers/index.fcgi': empty, 'markers/a/index.fcgi': empty });
    assert.deepEqual(await site.directoryWithFile(['a'], 'index.fcgi'), []);
  });

  it('is a file itself: no symbolic link, no directory, nothing behind a linked directory', async () => {
    const site = await publication({
      'elsewhere/index.fcgi': empty,
      'markers/index.fcgi': { link: '../elsewhere/index.fcgi' },
      'markers/a/index.fcgi': 'directory',
      'markers/b': { link: '../elsewhere' },
    });
    for (const path of [[], ['a'], ['b']]) {
      assert.equal(await site.directoryWithFile(path, 'index.fcgi'), undefined, path.join('/'));
    }
  });
});

describe('A repository that says itself whether it is published', () => {
  /** Every directory whose name begins with `r` is a repository, and published if it has a file `yes`. */
  async function withYes(entries: Readonly<Record<string, Entry>>, markers = false): Promise<Publication> {
    await makeTree(root, entries);
    return new Publication({
      repos: `${root}/repos`,
      markers: markers ? `${root}/markers` : undefined,
      suffix: '.git',
      mayKeepSuffix: true,
      *repositoryAt(path) {
        if (!/\/r[^/]*$/.test(path)) return undefined;
        const isPublished = markers || (yield* lstatAt(`${path}/yes`)) !== undefined;
        return isPublished ? { path } : { why: 'it says no' };
      },
      lackOf: whyUnreachable,
      take: later,
    });
  }

  it('is not found nor looked into if it says no', async () => {
    const site = await withYes({
      'repos/r1/yes': empty,
      'repos/r2/group/r3/yes': empty,
      'repos/group/r4/yes': empty,
      'repos/group/r5': 'directory',
    });
    assert.deepEqual(await listed(site), ['group/r4', 'r1']);
    assert.equal(await found(site, 'r1/x'), 'r1 is r1, rest x');
    await makeTree(root, {
      'repos/r6.git': 'directory',
      'repos/r5.git/yes': empty,
      'repos/r2.git/yes': empty,
    });
    assert.equal(await found(site, 'r5/x'), 'r5.git is r5.git, rest x');
    for (const path of ['r2', 'r2/group/r3', 'group/r5', 'group', 'r6'])
      assert.equal(await found(site, path), undefined);
  });

  it('is meant by a marker with its suffix, or else without it', async () => {
    const site = await withYes(
      {
        'repos/r1.git': 'directory',
        'repos/r1': 'directory',
        'repos/r2': 'directory',
        'repos/r3.git': 'directory',
        'markers/r1.git': empty,
        'markers/r2.git': empty,
        'markers/r4.git': empty,
      },
      true,
    );
    assert.equal(await found(site, 'r1.git'), 'r1.git is r1.git, rest ');
    assert.equal(await found(site, 'r2.git/x'), 'r2.git is r2, rest x');
    for (const name of ['r1', 'r2']) assert.equal(await found(site, name), await found(site, `${name}.git`));
    for (const path of ['r3.git', 'r4.git', 'r3', 'r4'])
      assert.equal(await found(site, path), undefined, path);
    assert.deepEqual(await listed(site), ['r1.git', 'r2.git']);
  });
});

describe('A repository inside another one', () => {
  const entries = {
    'repos/a/.hg/patches/.hg': 'directory',
    'repos/a/sub/.hg': 'directory',
    'repos/a/sub/deep/er/.hg': 'directory',
    'repos/a/private/.hg': 'directory',
    'repos/a/file/plain': empty,
    'markers/a.hg': empty,
    'markers/a/sub.hg': empty,
    'markers/a/sub/deep/er.hg': empty,
  } as const;

  it('is found below the other one’s address, the innermost of all, where repositories may nest', async () => {
    for (const [markers, a] of [
      [true, 'a.hg'],
      [false, 'a'],
    ] as const) {
      const site = await publication(entries, markers, true);
      assert.equal(await found(site, a), `${a} is a, rest `);
      assert.equal(await found(site, `${a}/file/tip`), `${a} is a, rest file/tip`);
      assert.equal(await found(site, `${a}/sub`), `${a}/sub is a/sub, rest `);
      assert.equal(await found(site, `${a}/sub/deep/file`), `${a}/sub is a/sub, rest deep/file`);
      assert.equal(await found(site, `${a}/sub/deep/er/log`), `${a}/sub/deep/er is a/sub/deep/er, rest log`);
      assert.equal(await found(site, `${a}/.hg/patches`), `${a} is a, rest .hg/patches`);
    }
  });

  it('is not found through a symbolic link in the other one', async () => {
    const others = { 'repos/b/c/.hg': 'directory', 'repos/a/link': { link: '../b' } } as const;
    const site = await publication({ ...entries, ...others }, false, true);
    assert.equal(await found(site, 'a/link/c/log'), 'a is a, rest link/c/log');
  });

  it('needs a marker of its own, where there are markers, by which it is listed too', async () => {
    const site = await publication(entries, true, true);
    assert.equal(await found(site, 'a.hg/private'), 'a.hg is a, rest private');
    assert.equal(await found(site, 'a/sub.hg/log'), 'a/sub.hg is a/sub, rest log');
    assert.deepEqual(await listed(site), ['a.hg', 'a/sub.hg', 'a/sub/deep/er.hg']);
    await rm(`${root}/markers/a/sub.hg`);
    assert.equal(await found(site, 'a.hg/sub'), 'a.hg is a, rest sub');
  });

  it('is not published without the other one, nor listed without a marker', async () => {
    const site = await publication(entries, false, true);
    assert.deepEqual(await listed(site), ['a']);
    const marked = await publication({}, true, true);
    assert.equal(await found(marked, 'a.hg/sub'), 'a.hg/sub is a/sub, rest ');
    await rm(`${root}/markers/a.hg`);
    assert.equal(await found(marked, 'a.hg/sub'), undefined);
  });

  it('shows nothing at all where it leads out', async () => {
    const out = { 'outside/.hg': 'directory', 'repos/a/out': { link: '../../outside' } } as const;
    const site = await publication({ ...entries, ...out, 'markers/a/out.hg': empty }, true, true);
    assert.equal(await found(site, 'a.hg/out/log'), undefined);
  });
});

describe('A file that is named as a marker', () => {
  const entries = {
    'markers/full.hg': { content: 'a bundle' },
    'markers/empty.hg': empty,
    'markers/group/full.hg': { content: 'a bundle' },
    'markers/group/other': { content: 'something' },
    'markers/.secret.hg': { content: 'something' },
    'markers/link.hg': { link: 'full.hg' },
    'markers/linked': { link: 'group' },
  } as const;

  it('is for download where there is something in it', async () => {
    const site = await publication(entries);
    assert.equal(await site.download(['full.hg']), `${root}/markers/full.hg`);
    assert.equal(await site.download(['group', 'full.hg']), `${root}/markers/group/full.hg`);
    for (const path of ['empty.hg', 'none.hg', 'group/other', '.secret.hg', 'full.hg/x', 'link.hg']) {
      assert.equal(await site.download(path.split('/')), undefined, path);
    }
    assert.equal(await site.download(['linked', 'full.hg']), undefined);
    assert.equal(await site.download([]), undefined);
  });

  it('is nothing where there are no markers', async () => {
    const site = await publication({ 'repos/full.hg': { content: 'a bundle' } }, false);
    assert.equal(await site.download(['full.hg']), undefined);
  });
});

describe('A list', () => {
  it('asks one question after another, and only its first of another thread, so that pages have their turns', async (t) => {
    await makeTree(root, { 'repos/a/b/c/.hg': 'directory', 'repos/d/e': 'directory', 'repos/f': empty });
    const repositories = new HgRepositories(`${root}/repos`, new Trees(`${root}/repos`));
    const threads = new Threads();
    const run = t.mock.method(threads, 'run');
    const take = await stepsBelow([root], threads, new Turns(() => 0));
    let [asking, most] = [0, 0];
    const site = new Publication({
      repos: `${root}/repos`,
      markers: undefined,
      suffix: '.hg',
      repositoryAt: (path, isListed) => repositories.at(path, isListed),
      lackOf: whyUnreachable,
      take: async (lookUp, signal) => {
        most = Math.max(most, ++asking);
        return take(lookUp, signal).finally(() => asking--);
      },
    });
    assert.deepEqual(await listed(site), ['a/b/c']);
    assert.equal(most, 1);
    assert.equal(run.mock.callCount(), 1);
  });

  it('is walked once for all who ask for it at the same time, and no further when none of them waits', async () => {
    const entries = Object.fromEntries(
      Array.from({ length: 50 }, (_, index) => [`repos/r${String(index)}/.hg`, 'directory' as const]),
    );
    await makeTree(root, entries);
    const looked: string[] = [];
    const count = (): number => looked.length;
    const site = new Publication({
      repos: `${root}/repos`,
      markers: undefined,
      suffix: '.hg',
      *repositoryAt(path) {
        looked.push(path);
        yield { later: () => new Promise(setImmediate) };
        return { path };
      },
      lackOf: whyUnreachable,
      take: byThreads(),
    });
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const leaving = new AbortController();
    const lists = [site.list([]), site.list([]), site.list([], leaving.signal)];
    leaving.abort(new Error('left'));
    await assert.rejects(lists[2] ?? assert.fail(), { message: 'left' });
    assert.equal((await lists[0])?.length, 50);
    assert.equal((await lists[1])?.length, 50);
    await new Promise(setImmediate);
    process.off('warning', onWarning);
    assert.deepEqual(warnings, []);
    assert.equal(count(), 50);
    const left = new AbortController();
    const list = site.list([], left.signal);
    const isLeft = assert.rejects(list, { message: 'left' });
    while (count() < 60) await new Promise(setImmediate);
    left.abort(new Error('left'));
    await isLeft;
    const seen = count();
    for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate);
    assert.equal(count(), seen);
    assert.ok(seen < 100);
  });
});
