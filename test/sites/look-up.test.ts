import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { before, describe, it } from 'node:test';

import { fromText } from '../../src/bytes.js';
import { realPath } from '../../src/sites/contain.js';
import {
  entriesAt,
  later,
  type LookUp,
  lstatAt,
  realPathAt,
  realPathBelow,
  statAt,
  stepsBelow,
  type TakeSteps,
  textAt,
  Turns,
} from '../../src/sites/look-up.js';
import { makeTree } from '../helpers/file-tree.js';
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

  it('reads no named pipe, whose text nobody may ever write', async () => {
    assert.equal(await look(textAt, 'pipe'), undefined);
  });
});

/** Steps that ask nothing of the file system; each keeps the event loop so long, by the clock, if it is taken at once. */
function* steps(taken: string[], count: number, ms = 0): LookUp<number> {
  for (let made = 0; made < count; made++) {
    yield {
      now: () => {
        taken.push('now');
        clockMs += ms;
      },
      later: () => {
        taken.push('later');
        return Promise.resolve();
      },
    };
  }
  return count;
}

let clockMs = 0;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('Steps', () => {
  const take = (): Promise<TakeSteps> => stepsBelow([root], new Turns(() => clockMs));

  it('are taken at once on a disk of this machine, by other threads on what may be another’s', async () => {
    const taken: string[] = [];
    assert.equal(await (await take())(steps(taken, 2)), 2);
    assert.deepEqual(taken, ['now', 'now']);
    assert.equal(await later(steps(taken, 2)), 2);
    assert.deepEqual(taken.slice(2), ['later', 'later']);
    for (const other of ['/proc', `${root}/none`]) assert.equal(await stepsBelow([root, other]), later);
  });

  it('are left to other threads where something else is mounted below', async () => {
    assert.equal(await stepsBelow(['/']), later);
  });

  it('are left to other threads once they have kept the event loop, until its next turn', async () => {
    const takeSteps = await take();
    await turn();
    const taken: string[] = [];
    await Promise.all([takeSteps(steps(taken, 3, 3)), takeSteps(steps(taken, 1))]);
    assert.deepEqual(taken, ['now', 'now', 'later', 'later']);
    await turn();
    await takeSteps(steps(taken, 1));
    assert.equal(taken.at(-1), 'now');
  });

  it('are left to other threads for a while after one that the disk had to be waited for', async () => {
    const takeSteps = await take();
    const taken: string[] = [];
    await takeSteps(steps(taken, 1, 10));
    await turn();
    await takeSteps(steps(taken, 1));
    clockMs += 1_000;
    await takeSteps(steps(taken, 1));
    assert.deepEqual(taken, ['now', 'later', 'now']);
  });

  it('fail with what is no matter of the file system', async () => {
    const fault = new TypeError('a fault of ours');
    function* faulty(): LookUp<number> {
      yield { later: () => Promise.reject(fault) };
      return 1;
    }
    await assert.rejects(later(faulty()), fault);
  });
});
