import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import type { Dirent, Stats } from 'node:fs';
import { rename, rm, symlink, utimes } from 'node:fs/promises';
import { beforeEach, describe, it, mock } from 'node:test';

import { fromText } from '../../src/base/bytes.js';
import { realPath } from '../../src/sites/contain.js';
import type { LookUp } from '../../src/sites/look-up.js';
import { later } from '../../src/sites/steps.js';
import { Trees } from '../../src/sites/trees.js';
import { barred } from '../helpers/barred.js';
import { empty, makeTree } from '../helpers/file-tree.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let root: string;
let trees: Trees;

beforeEach(async () => {
  root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
  trees = new Trees(`${root}/in`);
  await makeTree(root, { 'out/file': empty, 'in/a/b/c/file': empty, 'in/a/d/file': empty });
});

const fault = (): Promise<string | undefined> => later(trees.fault([`${root}/in/a`], true));

/** How many questions a look is. */
async function steps(): Promise<number> {
  let count = 0;
  function* counted(): LookUp<unknown> {
    const lookUp = trees.fault([`${root}/in/a`], true);
    let at = lookUp.next();
    while (at.done !== true) {
      count += 1;
      at = lookUp.next(yield at.value);
    }
    return undefined;
  }
  await later(counted());
  return count;
}

/** As if the directories had been left alone for a while. */
function settled(t: { after: (done: () => void) => void }): void {
  const now = Date.now();
  mock.method(Date, 'now', () => now + 60_000);
  t.after(() => {
    mock.restoreAll();
  });
}

describe('A tree', () => {
  it('is asked about once for each directory and link, once all of it was read and has been left alone', async (t) => {
    await makeTree(root, { 'in/a/b/link': { link: '../d/file' } });
    const [whole, again] = [4 * 3 + 2, 4 + 2];
    assert.equal(await steps(), whole);
    assert.equal(await steps(), whole, 'made a moment ago');
    settled(t);
    assert.equal(await steps(), whole);
    assert.equal(await steps(), again);
  });

  it('is read again where something has changed, however long it was left alone and whatever time it says', async (t) => {
    settled(t);
    assert.equal(await fault(), undefined);
    await symlink(`${root}/out/file`, `${root}/in/a/b/c/link`);
    await utimes(`${root}/in/a/b/c`, 1, 1);
    assert.equal(await fault(), `${root}/in/a/b/c/link is a link that leads out of --repos`);
    await rm(`${root}/in/a/b/c/link`);
    assert.equal(await fault(), undefined);
    await rename(`${root}/in/a/b`, `${root}/in/b`);
    await makeTree(root, { 'in/a/b/c/link': { link: '../../../../out/file' } });
    assert.match((await fault()) ?? '', /leads out/);
    await rm(`${root}/in/a/b`, { recursive: true });
    await rename(`${root}/in/b`, `${root}/in/a/b`);
    assert.equal(await fault(), undefined);
  });

  it('is read again where it is another one, though it says the same time', async (t) => {
    settled(t);
    for (const what of ['ino', 'dev'] as const) {
      await fault();
      let isRead = false;
      const lookUp = trees.fault([`${root}/in/a/d`], false);
      for (let at = lookUp.next(); at.done !== true;) {
        const found = await (at.value.now ?? at.value.later)();
        isRead ||= Array.isArray(found);
        at = lookUp.next(isRead ? found : Object.assign(found as Stats, { [what]: 1 }));
      }
      assert.equal(isRead, true, what);
    }
  });

  it('has at most 250,000 directories', () => {
    const lookUp = trees.fault([root], true);
    const named = (name: string): Partial<Dirent<Buffer>> => {
      return { name: Buffer.from(name), isFile: () => false, isDirectory: () => true };
    };
    const entries = Array.from({ length: 500 }, (_, index) => named(String(index)));
    const stats = { isDirectory: () => true, isSymbolicLink: () => false, ctimeMs: Date.now(), size: 1 };
    let at = lookUp.next();
    for (let isEntries = false; at.done !== true; isEntries = !isEntries)
      at = lookUp.next(isEntries ? entries : stats);
    assert.match(at.value ?? '', /^there are more than 250000 directories up to /);
  });

  it('has at most 250,000 entries in a directory that are no files', () => {
    const socket: Partial<Dirent<Buffer>> = {
      name: Buffer.from('socket'),
      isDirectory: () => false,
      isFile: () => false,
      isSymbolicLink: () => false,
      isSocket: () => true,
    };
    const stats = { isDirectory: () => true, isSymbolicLink: () => false, ctimeMs: Date.now(), size: 1 };
    for (const count of [250_000, 250_001]) {
      const lookUp = trees.fault([root], false);
      lookUp.next();
      lookUp.next(stats);
      const { value } = lookUp.next(Array.from({ length: count }, () => socket));
      const why = `${root} has more than 250000 entries that are no files`;
      assert.equal(value, count === 250_000 ? undefined : why);
    }
  });

  it('has its links followed every time: what they lead to may be another', async (t) => {
    settled(t);
    await makeTree(root, { 'in/a/link': { link: '../e/f' }, 'in/a/lock': { link: 'host:1234' } });
    assert.equal(await fault(), undefined);
    await makeTree(root, { 'in/e/f/g/link': { link: '../../../../out/file' } });
    assert.equal(await fault(), `${root}/in/e/f/g/link is a link that leads out of --repos`);
    await rm(`${root}/in/e/f`, { recursive: true });
    await makeTree(root, { 'in/e/f': { link: '../../out' } });
    assert.equal(await fault(), `${root}/in/a/link is a link that leads out of --repos`);
  });

  it('may have directories that this user may not enter, as another user’s push has one', async () => {
    await makeTree(root, { 'in/a/b/c/link': { link: '../../../../out/file' } });
    const closed = `${root}/in/a/b/c`;
    const isNeeded = (directory: string): boolean => directory === closed;
    const look = (): Promise<string | undefined> => later(trees.fault([`${root}/in/a`], true, { isNeeded }));
    assert.equal(await barred(closed, ['EACCES', 'EACCES'], fault), undefined);
    const why = await barred(closed, ['EACCES', 'EACCES'], look);
    assert.match(why ?? '', /\/in\/a\/b\/c may not be read by /);
    assert.match((await fault()) ?? '', /leads out/, 'once it is open');
  });

  it('may lose a directory while it is looked at, as a push ends', async () => {
    const look = (): Promise<string | undefined> =>
      later(trees.fault([`${root}/in/a`], true, { isNeeded: () => true }));
    for (const code of ['ENOENT', 'ENOTDIR'])
      assert.equal(await barred(`${root}/in/a/b/c`, [code, code], look), undefined, code);
  });

  it('has no directory that can be entered and not listed, and none that a fault of the system hides', async () => {
    for (const codes of [['EACCES'], ['EMFILE'], ['EIO', 'EIO']] as const) {
      const why = await barred(`${root}/in/a/b/c`, codes, fault);
      assert.match(why ?? '', /\/in\/a\/b\/c (?:can’t|may not) be read/, codes.join(' '));
    }
  });

  it('may have links in circles', async () => {
    await makeTree(root, { 'in/a/b/up': { link: '../..' }, 'in/a/self': { link: 'self' } });
    assert.equal(await fault(), undefined);
  });

  it('has no named pipes, and none behind its links; sockets may be', async () => {
    await makeTree(root, { 'in/a/pipe': { link: '../pipe' } });
    execFileSync('mkfifo', [`${root}/in/pipe`]);
    assert.match((await fault()) ?? '', /a\/pipe leads to what is neither/);
    await rm(`${root}/in/a/pipe`);
    await rename(`${root}/in/pipe`, `${root}/in/a/b/pipe`);
    assert.match((await fault()) ?? '', /a\/b\/pipe is a named pipe or a device/);
  });

  it('has at most a thousand links: each is a question that may take long', async () => {
    const links = Array.from(
      { length: 1_001 },
      (_, index) => [`in/a/${String(index)}`, { link: 'd' }] as const,
    );
    await makeTree(root, Object.fromEntries(links.slice(1)));
    assert.equal(await fault(), undefined);
    await makeTree(root, Object.fromEntries(links.slice(0, 1)));
    assert.match((await fault()) ?? '', /more than 1000 are not followed/);
  });

  it('is taken for sound for a while where it has many directories: a tenth of a processor has to do', async (t) => {
    const many = Array.from(
      { length: 1_000 },
      (_, index) => [`in/a/d/${String(index)}`, 'directory'] as const,
    );
    await makeTree(root, Object.fromEntries(many));
    let now = performance.now();
    mock.method(performance, 'now', () => now);
    t.after(() => {
      mock.restoreAll();
    });
    assert.equal(await fault(), undefined);
    await makeTree(root, { 'in/a/link': { link: '../../out' } });
    now += 59;
    assert.equal(await fault(), undefined);
    assert.match(
      (await later(trees.fault([`${root}/in/a`], false))) ?? '',
      /leads out/,
      'a short look is one',
    );
    now += 2;
    assert.match((await fault()) ?? '', /leads out/);
    assert.match((await fault()) ?? '', /leads out/);
  });
});
