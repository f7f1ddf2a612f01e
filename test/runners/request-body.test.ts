import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import { afterEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { ByteBudget } from '../../src/base/bytes.js';
import { BridgeError } from '../../src/base/errors.js';
import { Spool } from '../../src/runners/spool.js';
import { spooledBy, until } from '../helpers/processes.js';
import { requestBody } from '../helpers/run-fixture.js';
import { settled, SlowReader } from '../helpers/sinks.js';
import { countedSource, digestOf } from '../helpers/streams.js';
import { withTmpdir } from '../helpers/temporary.js';

const MB = 1024 * 1024;
/** What may be on its way besides what is kept: a buffer and some pieces. */
const ON_ITS_WAY = 131_072;
const NEVER = 2 ** 31 - 1;

describe('The body of a request', { timeout: 300_000 }, () => {
  afterEach(() => until(() => spooledBy(process.pid).length === 0));

  it('waits in memory for a script that reads on, no faster than it reads, and uses no disk', async () => {
    const source = countedSource(50 * MB);
    const body = requestBody(source, { patienceMs: NEVER });
    const script = new SlowReader();
    let mostAhead = 0;
    body.on('arrival', () => (mostAhead = Math.max(mostAhead, source.given - script.takenBytes)));
    body.pipe(script);
    await finished(script);
    assert.equal(script.takenBytes, 50 * MB);
    assert.ok(mostAhead <= 2 * ON_ITS_WAY, `${String(mostAhead)} octets were ahead`);
    assert.deepEqual(spooledBy(process.pid), []);
  });

  it('goes to disk when the script does not read on for a while, and reaches it whole', async () => {
    const source = countedSource(10 * MB);
    const body = requestBody(source, { patienceMs: 1 });
    await body.arrived;
    assert.equal(source.given, 10 * MB, 'it has come although nobody has read');
    assert.equal(spooledBy(process.pid).length, 1);
    assert.ok(body.readableLength <= ON_ITS_WAY, `${String(body.readableLength)} octets are in memory`);
    assert.deepEqual(await digestOf(body), await digestOf(countedSource(10 * MB)));
  });

  it('goes to disk at once when another request of its connection would wait', async () => {
    const source = countedSource(10 * MB);
    const body = requestBody(source, { patienceMs: NEVER, mayWait: () => false });
    await body.arrived;
    assert.equal(source.given, 10 * MB);
    body.destroy();
  });

  it('goes to disk at once when it is due, though it has begun to wait', async () => {
    const source = countedSource(10 * MB);
    const body = requestBody(source, { patienceMs: NEVER });
    await settled();
    assert.ok(source.given <= ON_ITS_WAY);
    body.takeIn();
    await body.arrived;
    assert.equal(source.given, 10 * MB);
    body.destroy();
  });

  it('waits for the script, or fails, where all bodies together reach what the disk is for', async () => {
    for (const isShared of [false, true]) {
      const spoolBudget = new ByteBudget(MB);
      const problems: string[] = [];
      const body = requestBody(countedSource(3 * MB), {
        patienceMs: 1,
        spoolBudget,
        mayWait: () => !isShared,
        onProblem: ({ code }) => problems.push(code),
      });
      await body.arrived;
      if (isShared) assert.equal((body.errored as BridgeError).code, 'ERR_MAX_SPOOL_TOTAL');
      else {
        assert.deepEqual(problems, ['ERR_MAX_SPOOL_TOTAL']);
        const script = new SlowReader();
        body.pipe(script);
        await finished(script);
        assert.equal(script.takenBytes, 3 * MB);
      }
      body.destroy();
      await until(() => spoolBudget.takenBytes === 0);
    }
  });

  it('leaves the disk again when the script has caught up', async () => {
    const source = new PassThrough({ highWaterMark: MB });
    const body = requestBody(source, { bufferBytes: 1, patienceMs: NEVER, maxSpoolBytes: 100 });
    body.takeIn();
    const comes = async (piece: string): Promise<void> => {
      const arrival = once(body, 'arrival');
      source.write(piece);
      await arrival;
    };
    // Each round fits by itself.
    for (let round = 0; round < 10; round++) {
      await comes('in memory');
      await comes('x'.repeat(60));
      let taken = '';
      while (taken.length < 69) {
        taken += ((body.read() as Buffer | null) ?? '').toString();
        await settled();
      }
      assert.equal(taken, `in memory${'x'.repeat(60)}`);
    }
    source.end();
    body.resume();
    await finished(body);
  });

  it('is counted, in memory or on disk, before any of it is read', async () => {
    for (const bytes of [0, 10, 10 * MB]) {
      const body = requestBody(countedSource(bytes));
      assert.equal(await body.whole(), bytes);
      assert.deepEqual(await digestOf(body), await digestOf(countedSource(bytes)));
    }
  });

  it('leaves no file behind that was there only after it had been given up', async () => {
    const open = Spool.open.bind(Spool);
    const body = requestBody(countedSource(10 * MB), { mayWait: () => false });
    try {
      const opened = new Promise<void>((resolve) => {
        Spool.open = async (...given) => {
          const spool = await open(...given);
          body.destroy();
          resolve();
          return spool;
        };
      });
      await opened;
    } finally {
      Spool.open = open;
    }
    await until(() => spooledBy(process.pid).length === 0);
  });

  it('has all its time again with each piece while it is counted, and any time after that', async () => {
    const source = new PassThrough();
    const body = requestBody(source);
    const counted = body.whole(300);
    for (let pieces = 0; pieces < 7; pieces++) {
      source.write('x');
      await delay(50);
    }
    source.end();
    assert.equal(await counted, 7);
    await delay(350);
    assert.equal(body.destroyed, false);
    body.destroy();
  });

  it('tells of what arrives', async () => {
    const source = new PassThrough();
    const body = requestBody(source);
    const arrival = once(body, 'arrival');
    source.write('piece');
    assert.deepEqual(await arrival, [5]);
    body.destroy();
  });
});

describe('A body of which the disk can’t take more', { timeout: 300_000 }, () => {
  afterEach(() => until(() => spooledBy(process.pid).length === 0));

  it('has arrived as far as it can, and comes on as the script reads, if nobody waits behind it', async () => {
    const problems: string[] = [];
    const source = countedSource(10 * MB);
    const body = requestBody(source, {
      patienceMs: 1,
      maxSpoolBytes: 2 * MB,
      onProblem: ({ code }) => problems.push(code),
    });
    await body.arrived;
    assert.ok(source.given < 2 * MB + 2 * ON_ITS_WAY, `${String(source.given)} octets were read`);
    assert.deepEqual(problems, ['ERR_MAX_SPOOL_SIZE']);
    const before = source.given;
    while (source.given === before) {
      assert.ok(body.read() !== null || body.readableLength === 0);
      await settled();
    }
    assert.ok(source.given < before + 2 * ON_ITS_WAY, 'what was read makes room, the rest stays');
    body.resume();
    await finished(body);
    assert.equal(source.given, 10 * MB);
    assert.deepEqual(problems, ['ERR_MAX_SPOOL_SIZE'], 'it is told once');
  });

  it('tells once of pieces for which there is no room again and again', async () => {
    const problems: string[] = [];
    const source = new PassThrough({ highWaterMark: MB });
    const body = requestBody(source, {
      patienceMs: 1,
      maxSpoolBytes: 100_000,
      onProblem: ({ code }) => problems.push(code),
    });
    // More than is read from disk at a time, so that a piece may be tried twice.
    for (let pieces = 0; pieces < 5; pieces++) source.write(Buffer.alloc(90_000));
    source.end();
    await body.arrived;
    body.resume();
    await finished(body);
    assert.deepEqual(problems, ['ERR_MAX_SPOOL_SIZE']);
  });

  it('loses nothing at any bound', async () => {
    for (const maxSpoolBytes of [1, 16_384, 20_000, 1_000_001]) {
      const body = requestBody(countedSource(3 * MB), { patienceMs: 1, maxSpoolBytes });
      await body.arrived;
      assert.deepEqual(await digestOf(body), await digestOf(countedSource(3 * MB)));
    }
  });

  for (const why of ['another request waits behind it', 'all of it is needed first'] as const) {
    it(`fails, and is read to its end into nowhere, if ${why}`, async () => {
      const source = countedSource(10 * MB);
      const isShared = why === 'another request waits behind it';
      const body = requestBody(source, { patienceMs: NEVER, maxSpoolBytes: MB, mayWait: () => !isShared });
      if (isShared) await body.arrived;
      else await assert.rejects(body.whole(), { code: 'ERR_MAX_SPOOL_SIZE', message: /--max-spool-size/ });
      assert.equal((body.errored as BridgeError).code, 'ERR_MAX_SPOOL_SIZE');
      if (!source.readableEnded) await finished(source);
      assert.equal(source.given, 10 * MB);
    });
  }

  it('since there is no directory for it, waits or fails likewise', async () => {
    await withTmpdir('/nowhere', async () => {
      const problems: string[] = [];
      const onProblem = ({ code }: BridgeError): number => problems.push(code);
      const alone = requestBody(countedSource(MB), { patienceMs: 1, onProblem });
      await alone.arrived;
      assert.deepEqual(problems, ['ERR_SPOOL']);
      assert.deepEqual(await digestOf(alone), await digestOf(countedSource(MB)));
      const shared = requestBody(countedSource(MB), { mayWait: () => false });
      await shared.arrived;
      assert.equal((shared.errored as BridgeError).code, 'ERR_SPOOL');
    });
  });
});

describe('A body that nobody wants any more', { timeout: 300_000 }, () => {
  afterEach(() => until(() => spooledBy(process.pid).length === 0));

  for (const [where, bytes] of [
    ['in memory', MB],
    ['on disk', 10 * MB],
  ] as const) {
    it(`has arrived; its rest is read and thrown away (it was ${where})`, async () => {
      const source = countedSource(bytes);
      const body = requestBody(source, { patienceMs: where === 'on disk' ? 1 : NEVER });
      if (where === 'on disk') await until(() => spooledBy(process.pid).length === 1);
      else await settled();
      body.destroy();
      await body.arrived;
      if (!source.readableEnded) await finished(source);
      assert.equal(source.given, bytes);
    });
  }

  it('as its request was aborted, has no end', async () => {
    const source = new PassThrough();
    const body = requestBody(source, { patienceMs: 1 });
    source.write(Buffer.alloc(MB));
    source.write(Buffer.alloc(MB));
    await until(() => spooledBy(process.pid).length === 1);
    source.destroy();
    await once(body, 'close');
    await body.arrived;
    assert.equal(body.readableEnded, false);
    await assert.rejects(body.whole(), /given up/);
  });
});
