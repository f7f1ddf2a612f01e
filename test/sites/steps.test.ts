import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';

import { fromText } from '../../src/base/bytes.js';
import { realPath } from '../../src/sites/contain.js';
import { type LookUp, lstatAt } from '../../src/sites/look-up.js';
import { isOnOwnDisk, later, stepsBelow, type TakeSteps, Turns } from '../../src/sites/steps.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let root: string;

before(async () => {
  root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
});

/** Steps that ask nothing of the file system; each keeps the event loop so long, by the clock, if it is taken at once. */
function* steps(taken: string[], count: number, ms = 0, name = 'now'): LookUp<number> {
  for (let made = 0; made < count; made++) {
    yield {
      now: () => {
        taken.push(name);
        clockMs += ms;
      },
      later: () => {
        taken.push('later');
        return turn();
      },
    };
  }
  return count;
}

/** How a step below these directories is taken. */
async function wayBelow(directories: readonly string[]): Promise<string | undefined> {
  const taken: string[] = [];
  await (
    await stepsBelow(directories)
  )(steps(taken, 1));
  return taken[0];
}

let clockMs = 0;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Puts a bar where a turn of the event loop ends; stopped by what it returns. */
function markTurns(marks: string[]): () => void {
  let isOver = false;
  const mark = (): void => {
    marks.push('|');
    if (!isOver) setImmediate(mark);
  };
  setImmediate(mark);
  return () => {
    isOver = true;
  };
}

describe('Steps', () => {
  const take = (): Promise<TakeSteps> => stepsBelow([root], undefined, new Turns(() => clockMs));

  it('are taken at once on a disk of this machine, by other threads on what may be another’s', async () => {
    const taken: string[] = [];
    assert.equal(await (await take())(steps(taken, 2)), 2);
    assert.deepEqual(taken, ['now', 'now']);
    assert.equal(await later(steps(taken, 2)), 2);
    assert.deepEqual(taken.slice(2), ['later', 'later']);
    for (const other of ['/proc', `${root}/none`]) assert.equal(await wayBelow([root, other]), 'later');
  });

  it('are left to other threads where something else is mounted below', async () => {
    assert.equal(await wayBelow(['/']), 'later');
    assert.equal(await isOnOwnDisk(root), true, 'a directory is known by itself, too');
    assert.equal(await isOnOwnDisk('/proc'), false);
  });

  it('wait for the next turn of the event loop once they have kept it for 5 ms, those first that wait longest', async () => {
    const takeSteps = await take();
    await turn();
    const turns: string[] = [];
    const stop = markTurns(turns);
    const long = takeSteps(steps(turns, 5, 3, 'long'));
    await Promise.all([long, takeSteps(steps(turns, 1, 3, 'one')), takeSteps(steps(turns, 1, 3, 'two'))]);
    stop();
    // What goes on in the third turn has waited since the second.
    assert.deepEqual(turns.join(' ').replace(/ \|$/, ''), 'long long | long long | one two | long');
  });

  it('of which others are made are taken without asking further, until they have kept it for 5 ms', async () => {
    const takeSteps = await stepsBelow([root], undefined, new Turns(() => (clockMs += 2)));
    await turn();
    const taken: string[] = [];
    const stop = markTurns(taken);
    function* outer(): LookUp<undefined> {
      for (let made = 0; made < 4; made++) {
        yield* lstatAt(`${root}/none${String(made)}`);
        taken.push('seen');
      }
      return undefined;
    }
    await takeSteps(outer());
    stop();
    assert.match(taken.join(' '), /^seen seen seen (?:\| )+seen$/);
  });

  it('are taken no more when nobody waits for what they come to, and what they have open is closed', async () => {
    let closed = 0;
    function* closing(lookUp: LookUp<number>): LookUp<number> {
      try {
        return yield* lookUp;
      } finally {
        closed += 1;
      }
    }
    for (const [index, takeSteps] of [await take(), later].entries()) {
      const leaving = new AbortController();
      const taken: string[] = [];
      const asked = takeSteps(closing(steps(taken, 1_000, 3)), leaving.signal);
      await turn();
      leaving.abort(new Error('nobody waits'));
      await assert.rejects(asked, { message: 'nobody waits' });
      assert.equal(closed, index + 1);
      const count = taken.length;
      assert.ok(count < 1_000);
      await turn();
      assert.equal(taken.length, count);
    }
  });

  it('are left to other threads for a while after one that the disk had to be waited for, longer each time', async () => {
    const takeSteps = await take();
    const taken: string[] = [];
    const oneAfter = async (ms: number, takesMs = 0): Promise<string | undefined> => {
      await turn();
      clockMs += ms;
      await takeSteps(steps(taken, 1, takesMs));
      return taken.at(-1);
    };
    assert.equal(await oneAfter(0, 10), 'now');
    assert.deepEqual([await oneAfter(15), await oneAfter(1, 10)], ['later', 'now']);
    assert.deepEqual([await oneAfter(31), await oneAfter(1)], ['later', 'now']);
    assert.equal(await oneAfter(0, 10), 'now');
    assert.deepEqual([await oneAfter(15), await oneAfter(1)], ['later', 'now']);
    for (let count = 0; count < 8; count++) assert.equal(await oneAfter(1_000, 10), 'now');
    assert.deepEqual([await oneAfter(999), await oneAfter(1)], ['later', 'now']);
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
