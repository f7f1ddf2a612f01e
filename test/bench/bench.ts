/** `./scripts/bench`: compares with peers, side by side; see `usage`. */

import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { reasonOf } from '../../src/base/errors.js';
import { drawChart } from './chart.js';
import { ours } from './ours.js';
import { peers } from './peers.js';
import { Progress } from './progress.js';
import { publish, repository } from './publish.js';
import { report } from './report.js';
import type { Result } from './result.js';
import { run, type RunOptions } from './run.js';
import { named, NothingNamed, select, topics } from './selection.js';
import { works } from './works.js';

/** The first one is always there. */
const contenders = [...ours, ...peers];

const usage = `usage: bench [WORK ...] [${topics.join('] [')}] [--quick] [--against NAME ...] [--concurrency N ...]
             [--rounds N] [--seconds N] [--requests N] [--megabytes N] [--json FILE]
       bench chart RESULT.json CHART.svg
       bench publish RESULT.json

Has fcgi2cgi and its peers do the same works on the same repositories behind the same nginx, one after another, in
several rounds, and prints medians (least to most) of each, and of rounds next to each other how many times the requests
a second of each peer fcgi2cgi has answered. Without WORK everything that there is, in about 20 minutes on 2 cores:
3 rounds of 0.8 seconds each. Else what is named, in 5 rounds of 1 second: WORK and NAME are parts of the names below;

  targets  what is to be reached, and whether it is, in about 6 minutes
  startup  how long the commands take until they listen
  memory   what each kind of process holds, shared with others or its own
  growth   time and memory from the first to the 10,000th request

--concurrency is the number of connections, in place of what each work has. --requests says how many requests there are
in a round, in place of their time; --megabytes is the size of transfers (1000). --quick does very little of each, to see
that it works. chart draws a result; publish writes it into scripts/bench-results, and a chart and three figures into README.md.

works:      ${works.map(({ name }) => name).join('; ')}
contenders: ${contenders.map(({ name }) => name).join('; ')}`;

class UsageError extends Error {}

const text = { type: 'string' } as const;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ...{ rounds: text, seconds: text, megabytes: text, requests: text, json: text },
    against: { type: 'string', multiple: true },
    concurrency: { type: 'string', multiple: true },
    quick: { type: 'boolean' },
    help: { type: 'boolean' },
  },
});

function count(name: string, value: string | undefined, without: number): number {
  if (value === undefined) return without;
  if (!/^[1-9]\d*$/.test(value)) throw new UsageError(`--${name} ${value}: a whole number is expected`);
  return Number(value);
}

type Amounts = Omit<RunOptions, 'progress' | 'signal' | 'transferBytes'> & { readonly megabytes: number };

const whole = {
  requests: undefined,
  megabytes: 1000,
  starts: 9,
  memoryRequests: 40,
  growthMarks: [100, 1_000, 10_000],
};
const amounts = {
  everything: { rounds: 3, seconds: 0.8, ...whole },
  named: { rounds: 5, seconds: 1, ...whole },
  quick: {
    ...{
      rounds: 1,
      seconds: 1,
      requests: 4,
      megabytes: 1,
      starts: 1,
      memoryRequests: 8,
      growthMarks: [10, 30],
    },
  },
} satisfies Record<string, Amounts>;

async function bench(signal: AbortSignal): Promise<void> {
  const preset: Amounts =
    values.quick === true ? amounts.quick : positionals.length > 0 ? amounts.named : amounts.everything;
  const [first, ...others] = contenders;
  if (first === undefined) throw new Error('nobody to compare with');
  const chosen = [first, ...named(others, values.against ?? [])];
  const concurrencies = values.concurrency?.map((each) => count('concurrency', each, 1));
  const selection = select(positionals, chosen, concurrencies);
  const progress = new Progress(process.stderr);
  const result = await run(selection, {
    ...preset,
    rounds: count('rounds', values.rounds, preset.rounds),
    seconds: count('seconds', values.seconds, preset.seconds),
    requests: values.requests === undefined ? preset.requests : count('requests', values.requests, 1),
    transferBytes: 1_000_000 * count('megabytes', values.megabytes, preset.megabytes),
    ...{ progress, signal },
  }).finally(() => {
    progress.end();
  });
  // First of all, as it has taken so long.
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result)}\n`);
  console.log(report(result));
}

function resultIn(file: string | undefined): Result {
  if (file === undefined) throw new UsageError('a result is expected');
  const result = JSON.parse(readFileSync(file, 'utf8')) as Result;
  if ((result.format as unknown) !== 2) throw new Error(`${file} is not a result of this version`);
  return result;
}

async function main(signal: AbortSignal): Promise<void> {
  const [command, from, to] = positionals;
  if (values.help === true) {
    console.log(usage);
  } else if (command === 'chart') {
    if (to === undefined) throw new UsageError('chart needs a result and a file to write');
    await drawChart(resultIn(from), to);
  } else if (command === 'publish') {
    await publish(resultIn(from), repository);
  } else {
    await bench(signal);
  }
}

const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  // Also the second one: what is running has to be ended.
  process.on(signal, () => {
    stopping.abort(new Error(`ended by ${signal}`));
  });
}
try {
  await main(stopping.signal);
} catch (error) {
  const isUsage = error instanceof UsageError || error instanceof NothingNamed;
  process.exitCode = isUsage ? 2 : 1;
  // What was interrupted says that it was; why, the signal knows.
  const reason = reasonOf(stopping.signal.aborted ? stopping.signal.reason : error);
  console.error(isUsage ? `bench: ${reason}\n\n${usage}` : `bench: ${reason}`);
}
