import assert from 'node:assert/strict';
import fs, { statSync, truncateSync } from 'node:fs';
import { type FileHandle, readdir } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { describe, it } from 'node:test';

import * as fc from 'fast-check';

import { ByteBudget } from '../../src/base/bytes.js';
import { Spool } from '../../src/runners/spool.js';
import { temporaryDirectory, withTmpdir } from '../helpers/temporary.js';

const open = (maxBytes: number, budget = new ByteBudget(maxBytes)): Promise<Spool> =>
  Spool.open(maxBytes, budget);

describe('A spool', () => {
  it('gives back what was put in, in any order of writing and reading, within its bound', async () => {
    const step = fc.oneof(
      fc.record({ write: fc.integer({ min: 1, max: 60 }) }),
      fc.constant('read' as const),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const spool = await open(100);
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

  it('is one of as many as may be open at once, and makes room for another when it is closed', async () => {
    const before = Spool.maxOpen;
    try {
      Spool.maxOpen = 2;
      const [first, second] = [await open(10), await open(10)];
      await assert.rejects(open(10), { code: 'ERR_SPOOL', message: /2 requests’ bodies .* ulimit -n/ });
      await first.close();
      await first.close();
      const third = await open(10);
      await assert.rejects(open(10), { code: 'ERR_SPOOL' });
      await Promise.all([second.close(), third.close()]);
    } finally {
      Spool.maxOpen = before;
    }
  });

  it('can be written to and read from at the same time', async () => {
    const spool = await open(1_000);
    await spool.write(Buffer.from('first'));
    const [first, taken] = await Promise.all([spool.read(), spool.write(Buffer.from('second'))]);
    assert.deepEqual([first.toString(), taken], ['first', true]);
    assert.equal((await spool.read()).toString(), 'second');
    await spool.close();
  });

  it(
    'goes on at the beginning of its file, which is never larger than it may be',
    { skip: process.platform !== 'linux' },
    async () => {
      const spool = await open(100);
      await spool.write(Buffer.alloc(60, 'a'));
      const given: string[] = [];
      for (const piece of [Buffer.alloc(30, 'b'), Buffer.alloc(50, 'c'), Buffer.alloc(45, 'd')]) {
        // What is read is there until it was read.
        const [read, isTaken] = await Promise.all([spool.read(), spool.write(piece)]);
        assert.ok(isTaken);
        given.push(read.toString());
      }
      while (spool.bytes > 0) given.push((await spool.read()).toString());
      assert.equal(given.join(''), 'a'.repeat(60) + 'b'.repeat(30) + 'c'.repeat(50) + 'd'.repeat(45));
      const all = (await readdir('/proc/self/fd')).map((fd) =>
        statSync(`/proc/self/fd/${fd}`, { throwIfNoEntry: false }),
      );
      const nameless = all.filter((each) => each?.isFile() === true && each.nlink === 0);
      await spool.close();
      assert.deepEqual(
        nameless.map((each) => each?.size),
        [100],
      );
    },
  );

  it(
    'takes no file for whole from which somebody has cut something off',
    { skip: process.platform !== 'linux' },
    async () => {
      const spool = await open(100);
      await spool.write(Buffer.alloc(77));
      const paths = (await readdir('/proc/self/fd')).map((fd) => `/proc/self/fd/${fd}`);
      const own = paths.find((path) => {
        const stats = statSync(path, { throwIfNoEntry: false });
        return stats?.nlink === 0 && stats.size === 77;
      });
      truncateSync(own ?? assert.fail('it is open'));
      await assert.rejects(spool.read(), { code: 'ERR_SPOOL', message: /shorter than what was written/ });
      await spool.close();
    },
  );

  it('has no name that anybody could find', async () => {
    const directory = await temporaryDirectory();
    await withTmpdir(directory, async () => {
      const spool = await open(1_000);
      await spool.write(Buffer.from('x'));
      assert.deepEqual(await readdir(directory), []);
      await spool.close();
    });
  });

  it('loses its name at once where it has to have one, and nobody else may read it', async (t) => {
    const directory = await temporaryDirectory();
    const { platform } = process;
    Object.defineProperty(process, 'platform', { value: 'freebsd' });
    const umask = process.umask(0);
    const made = t.mock.method(fs.promises, 'open');
    syncBuiltinESMExports();
    try {
      await withTmpdir(directory, async () => {
        const spool = await open(1_000);
        const file = (await made.mock.calls[0]?.result) as unknown as FileHandle;
        const { mode, nlink } = await file.stat();
        assert.deepEqual([mode & 0o777, nlink, await readdir(directory)], [0o600, 0, []]);
        const [path] = made.mock.calls[0]?.arguments ?? [];
        assert.match(String(path), new RegExp(`^${directory}/fcgi2cgi-[0-9a-f-]{36}$`));
        await spool.close();
      });
    } finally {
      process.umask(umask);
      Object.defineProperty(process, 'platform', { value: platform });
      t.mock.restoreAll();
      syncBuiltinESMExports();
    }
  });

  it('says where it can’t be, and why', async () => {
    await withTmpdir('/nowhere', () =>
      assert.rejects(open(1_000), { code: 'ERR_SPOOL', message: /\/nowhere: ENOENT/ }),
    );
  });

  it('takes the place of none that could not be opened', async () => {
    const before = Spool.maxOpen;
    try {
      Spool.maxOpen = 1;
      await withTmpdir('/nowhere', () => assert.rejects(open(10), { message: /\/nowhere: ENOENT/ }));
      await (await open(10)).close();
    } finally {
      Spool.maxOpen = before;
    }
  });

  it('takes of a budget that it shares as much as its file has become large, until it is closed', async () => {
    const budget = new ByteBudget(10);
    const [one, other] = [await open(8, budget), await open(8, budget)];
    const beyond = { code: 'ERR_MAX_SPOOL_TOTAL', message: /reach --max-spool-total \(10 bytes\)$/ };
    assert.equal(await one.write(Buffer.from('123456')), true);
    await assert.rejects(other.write(Buffer.from('12345')), beyond);
    assert.equal(other.bytes, 0, 'nothing of it was taken');
    await one.read();
    assert.equal(
      await one.write(Buffer.from('12345678')),
      true,
      'it fits where it has been, and two bytes more',
    );
    assert.equal(budget.takenBytes, 8);
    assert.equal(await other.write(Buffer.from('12')), true);
    await assert.rejects(other.write(Buffer.from('3')), beyond);
    for (const each of [one, one, other]) await each.close();
    assert.equal(budget.takenBytes, 0);
  });
});
