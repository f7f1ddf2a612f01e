/** `npm run fuzz`: mutated FastCGI streams against the real daemon; see `usage`. */

import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { reasonOf } from '../../src/base/errors.js';
import { play } from './play.js';
import { makeStream } from './stream.js';
import { MAX_REQUESTS, Target } from './target.js';

const usage = `usage: npm run fuzz -- [--seconds N | --streams N] [--seed S] [--from STREAM]

Sends mutated FastCGI streams to a daemon for N seconds (10), or N of them, from number STREAM on (0),
and checks that it answers as it must, goes on serving, leaks nothing and ends cleanly.`;

const BATCH = 250;
const AT_ONCE = 16;
/** Between looks at what is left when nothing is asked. */
const IDLE_BATCHES = 20;
const PATIENCE_MS = 20_000;

/** A stream, or several, after which something was wrong. */
class Failure extends Error {
  readonly from: number;
  readonly count: number;

  constructor(from: number, count: number, cause: unknown) {
    super(reasonOf(cause), { cause });
    this.from = from;
    this.count = count;
  }
}

/** Sends the streams, several connections at once. @throws Failure for the first that was not answered as it must be */
async function send(target: Target, seed: number, from: number, count: number): Promise<void> {
  let next = from;
  const sendOn = async (): Promise<void> => {
    while (next < from + count) {
      const number = next++;
      const stream = makeStream(seed, number, target.root);
      await play(stream, { socket: target.socket, maxRequests: MAX_REQUESTS, patienceMs: PATIENCE_MS }).catch(
        (error: unknown) => {
          throw new Failure(number, 1, error);
        },
      );
    }
  };
  const results = await Promise.allSettled(Array.from({ length: AT_ONCE }, sendOn));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** Sends them and looks whether all is well then. @throws Failure */
async function sendAndLook(
  target: Target,
  seed: number,
  from: number,
  count: number,
  idle: boolean,
): Promise<void> {
  await send(target, seed, from, count);
  try {
    await target.serves();
    if (idle) await target.isIdle();
  } catch (error) {
    throw new Failure(from, count, error);
  }
}

/** Which one of several streams did it, each sent alone to a daemon of its own. */
async function narrow(seed: number, failure: Failure): Promise<Failure> {
  for (let number = failure.from; failure.count > 1 && number < failure.from + failure.count; number++) {
    const target = await Target.start();
    try {
      await sendAndLook(target, seed, number, 1, true);
    } catch (error) {
      if (error instanceof Failure) return error;
    } finally {
      target.remove();
    }
  }
  return failure;
}

async function fuzz(options: {
  seed: number;
  from: number;
  streams: number;
  seconds: number;
}): Promise<void> {
  const { seed, from, streams, seconds } = options;
  const target = await Target.start();
  try {
    const begun = performance.now();
    let count = 0;
    let firstMiB = 0;
    const elapsed = (): number => (performance.now() - begun) / 1000;
    for (let batch = 0; count < streams && elapsed() < seconds; batch++) {
      const size = Math.min(BATCH, streams - count);
      await sendAndLook(target, seed, from + count, size, batch % IDLE_BATCHES === IDLE_BATCHES - 1);
      count += size;
      if (batch === 0) firstMiB = target.residentMiB;
    }
    const [took, perSecond] = [elapsed().toFixed(1), (count / elapsed()).toFixed()];
    await target.isIdle().catch((error: unknown) => {
      throw new Failure(from, count, error);
    });
    const memory = `${firstMiB.toFixed()} MiB after the first ${String(BATCH)} streams, ${target.residentMiB.toFixed()} at the end`;
    const descriptors = target.descriptors;
    await target.stop();
    console.log(`seed ${String(seed)}: ${String(count)} streams in ${took} s, ${perSecond} a second`);
    console.log(
      `memory ${memory}; ${String(descriptors)} descriptors, no process, as at the start; exit status 0`,
    );
  } catch (error) {
    console.error(target.log);
    throw error;
  } finally {
    target.remove();
  }
}

function report(seed: number, { from, count, message }: Failure): void {
  console.error(`\nfuzz: ${message}`);
  if (count === 1) {
    const { turns, cut, leave } = makeStream(seed, from, join(tmpdir(), 'fcgi2cgi-fuzz-XXXXXX', 'cgi'));
    console.error(`stream ${String(from)}, writes of ${String(cut ?? 'whole turns')}, then ${leave}:`);
    for (const octets of turns) console.error(`  ${octets.toString('hex')}`);
  }
  console.error(
    `repeat: npm run fuzz -- --seed ${String(seed)} --from ${String(from)} --streams ${String(count)}`,
  );
}

const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: { seconds: text, streams: text, seed: text, from: text, help: { type: 'boolean' } },
});
const numbers = [values.seconds, values.streams, values.seed, values.from];
if (values.help === true || numbers.some((value) => value !== undefined && !/^\d+$/.test(value))) {
  console.log(usage);
  process.exit(values.help === true ? 0 : 2);
}
const seed = Number(values.seed ?? Date.now() % 1_000_000);
const streams = Number(values.streams ?? Infinity);
const seconds = Number(values.seconds ?? (values.streams === undefined ? 10 : Infinity));
try {
  await fuzz({ seed, from: Number(values.from ?? 0), streams, seconds });
} catch (error) {
  process.exitCode = 1;
  if (error instanceof Failure) report(seed, await narrow(seed, error));
  else console.error(`fuzz: seed ${String(seed)}: ${reasonOf(error)}`);
}
