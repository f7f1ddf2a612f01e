import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { describe, it } from 'node:test';

import * as fc from 'fast-check';

import { Spool } from '../../src/runners/spool.js';
import { temporaryDirectory, withTmpdir } from '../helpers/temporary.js';

describe('A spool', () => {
  it('gives back what was put in, in any order of writing and reading, within its bound', async () => {
    const step = fc.oneof(
      fc.record({ write: fc.integer({ min: 1, max: 60 }) }),
      fc.constant('read' as const),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const spool = await Spool.open(100);
        let [next, given] = [0, ''];
        let expected = '';
        for (const what of steps) {
          if (what !== 'read') {
            const piece = Buffer.from(Array.from({ length: what.write }, () => next++ % 256));
            const fits = spool.bytes + piece.length <= 100;
            assert.equal(await spool.write(piece), fits);
            if (fits) expected += piece.toString('latin1');
          } else if (spool.bytes > 0) {
            given += (await spool.read()).toString('latin1');
          }
          assert.ok(spool.bytes <= 100);
        }
        while (spool.bytes > 0) given += (await spool.read()).toString('latin1');
        await spool.close();
        assert.equal(given, expected);
      }),
      { numRuns: 50 },
    );
  });

  it('can be written to and read from at the same time', async () => {
    const spool = await Spool.open(1_000);
    await spool.write(Buffer.from('first'));
    const [first, taken] = await Promise.all([spool.read(), spool.write(Buffer.from('second'))]);
    assert.deepEqual([first.toString(), taken], ['first', true]);
    assert.equal((await spool.read()).toString(), 'second');
    await spool.close();
  });

  it('has no name that anybody could find', async () => {
    const directory = await temporaryDirectory();
    await withTmpdir(directory, async () => {
      const spool = await Spool.open(1_000);
      await spool.write(Buffer.from('x'));
      assert.deepEqual(await readdir(directory), []);
      await spool.close();
    });
  });

  it('says where it can’t be, and why', async () => {
    await withTmpdir('/nowhere', () =>
      assert.rejects(Spool.open(1_000), { code: 'ERR_SPOOL', message: /\/nowhere: ENOENT/ }),
    );
  });
});
