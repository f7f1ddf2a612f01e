import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs, { type Dir, type Dirent } from 'node:fs';
import { link, rm } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { before, describe, it } from 'node:test';

import { fromText } from '../../src/base/bytes.js';
import { realPath } from '../../src/sites/contain.js';
import {
  entriesAt as entriesOf,
  isNoFile,
  linkAt,
  type LookUp,
  lstatAt,
  mayExecute,
  realPathAt,
  realPathBelow,
  statAt,
  textAt,
} from '../../src/sites/look-up.js';
import { later, stepsBelow, Turns } from '../../src/sites/steps.js';
import { empty, makeTree } from '../helpers/file-tree.js';
import { lookUp, unreachable } from '../helpers/look-up.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let root: string;

before(async () => {
  root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
  await makeTree(root, {
    file: { content: 'x\n' },
    'directory/caf\xe9': { content: 'x' },
    link: { link: 'file' },
    inside: { link: 'directory' },
    dangling: { link: 'nowhere' },
    circle: { link: 'circle' },
    large: { content: 'x'.repeat(65_536) },
    larger: { content: 'x'.repeat(65_537) },
  });
  execFileSync('mkfifo', [`${root}/pipe`]);
});

const look = <T>(make: (path: string) => LookUp<T>, name: string): Promise<T> =>
  lookUp(root, () => make(`${root}/${name}`));

/** By its names below the root. */
const below = (path: string): LookUp<string | undefined> =>
  realPathBelow(
    root,
    ...path
      .slice(root.length + 1)
      .split('/')
      .filter((name) => name !== ''),
  );

function* entriesAt(path: string): LookUp<readonly Dirent<Buffer>[] | undefined> {
  const stats = yield* lstatAt(path);
  return stats && (yield* entriesOf(path, stats));
}

describe('A look-up', () => {
  it('finds the same at once as by another thread, octet by octet', async () => {
    assert.equal(await look(realPathAt, 'link'), `${root}/file`);
    assert.equal(await look(below, 'link'), `${root}/file`);
    assert.equal(await look(below, 'inside/caf\xe9'), `${root}/directory/caf\xe9`);
    assert.equal(await look(realPathAt, 'directory/caf\xe9'), `${root}/directory/caf\xe9`);
    assert.equal(await look(textAt, 'link'), 'x\n');
    const [entry, ...others] = (await look(entriesAt, 'directory')) ?? [];
    assert.deepEqual([entry?.name.toString('latin1'), entry?.isFile(), others], ['caf\xe9', true, []]);
  });

  it('tells a symbolic link from what it points to', async () => {
    assert.equal((await look(lstatAt, 'link'))?.isSymbolicLink(), true);
    assert.equal((await look(statAt, 'link'))?.isFile(), true);
    assert.equal((await look(lstatAt, 'dangling'))?.isSymbolicLink(), true);
  });

  it('finds nothing, and does not fail, where nothing can be reached', async () => {
    for (const name of unreachable) {
      assert.equal(await look(realPathAt, name), undefined, name);
      assert.equal(await look(statAt, name), undefined, name);
      assert.equal(await look(textAt, name), undefined, name);
      assert.equal(await look(entriesAt, name), undefined, name);
      assert.equal(await look(below, name), undefined, name);
    }
  });

  it('asks for a file once, at however many places it is looked at, and the next look-up again', async (t) => {
    const take = await stepsBelow([root], undefined, new Turns(() => 0));
    function* twice(): LookUp<number | undefined> {
      const [first, second] = [yield* statAt(`${root}/file`), yield* lstatAt(`${root}/file`)];
      assert.equal(first, second);
      return (yield* textAt(`${root}/file`))?.length;
    }
    const asked = t.mock.method(fs, 'lstatSync');
    syncBuiltinESMExports();
    try {
      for (const times of [1, 2]) {
        assert.equal(await take(twice()), 2);
        assert.equal(asked.mock.callCount(), times);
      }
    } finally {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    }
    assert.equal(await later(twice()), 2);
  });

  it('reads no named pipe, whose text nobody may ever write, and no device', async () => {
    assert.equal(await look(textAt, 'pipe'), undefined);
    assert.equal(await lookUp(root, () => textAt('/dev/zero')), undefined);
  });

  it('waits for nothing that has come in the place of a file, and reads no large one', async () => {
    for (const way of ['now', 'later'] as const) {
      for (const other of ['pipe', 'larger']) {
        await rm(`${root}/swapped`, { force: true });
        await makeTree(root, { swapped: { content: 'x' } });
        const text = textAt(`${root}/swapped`);
        const first = text.next();
        assert.ok(first.done !== true);
        const second = text.next(await first.value.later());
        assert.ok(second.done !== true);
        await rm(`${root}/swapped`);
        await link(`${root}/${other}`, `${root}/swapped`);
        const { value } = text.next(await second.value[way]?.());
        assert.equal(value, undefined, `${other}, ${way}`);
      }
    }
  });

  it('has nothing of a file that grows while it is read', async (t) => {
    const text = textAt(`${root}/large`);
    const first = text.next();
    assert.ok(first.done !== true);
    const second = text.next(await first.value.later());
    assert.ok(second.done !== true);
    const shorter = Object.assign(fs.statSync(`${root}/large`), { size: 65_535 });
    t.mock.method(fs, 'fstatSync', () => shorter);
    syncBuiltinESMExports();
    try {
      assert.equal(text.next(second.value.now?.()).value, undefined);
    } finally {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    }
  });

  it('reads no file of more than 64 KiB, or of more than it is told', async () => {
    assert.equal((await look(textAt, 'large'))?.length, 65_536);
    assert.equal(await look(textAt, 'larger'), undefined);
    assert.equal((await look((path) => textAt(path, 65_537), 'larger'))?.length, 65_537);
  });

  it('reads a directory that is large by other threads, in pieces', async () => {
    for (let count = 0; count < 2_000; count++)
      await makeTree(root, { [`many/${'x'.repeat(50)}${String(count)}`]: empty });
    assert.equal((await look(entriesAt, 'many'))?.length, 2_000);
    const stats = await look(lstatAt, 'many');
    assert.ok(stats !== undefined);
    const step = entriesOf(`${root}/many`, stats).next();
    assert.ok(step.done !== true && step.value.now === undefined);
  });

  it('keeps of a directory what it is asked for, and has it open only as long as somebody waits', async () => {
    await makeTree(root, {
      'kinds/file': empty,
      'kinds/directory/file': empty,
      'kinds/link': { link: 'file' },
    });
    function* besidesFiles(path: string): LookUp<readonly string[]> {
      const stats = yield* lstatAt(path);
      const entries = (stats && (yield* entriesOf(path, stats, isNoFile))) ?? [];
      return entries.map(({ name }) => name.toString()).sort();
    }
    assert.deepEqual(await look(besidesFiles, 'kinds'), ['directory', 'link']);
    const asked = entriesAt(`${root}/kinds`);
    const first = asked.next();
    assert.ok(first.done !== true);
    const second = asked.next(await first.value.later());
    assert.ok(second.done !== true);
    const directory = (await second.value.later()) as Dir;
    assert.equal(asked.next(directory).done, false);
    asked.return(undefined);
    await assert.rejects(async () => directory.read(), { code: 'ERR_DIR_CLOSED' });
  });

  it('finds what a link says, and whether a directory may be gone through', async () => {
    assert.equal(await look(linkAt, 'dangling'), 'nowhere');
    assert.equal(await look(linkAt, 'file'), undefined);
    assert.equal(await look(mayExecute, 'directory'), true);
    assert.equal(await look(mayExecute, 'file'), false);
  });
});
