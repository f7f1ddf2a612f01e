/** `./scripts/bench`: compares with peers, side by side; see `usage`. */

import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';

import { reasonOf } from '../../src/errors.js';
import { drawChart } from './chart.js';
import { measure } from './measure.js';
import { ours } from './ours.js';
import { peers } from './peers.js';
import { report } from './report.js';
import { type Result, type Row, summarise } from './result.js';
import { works } from './works.js';

/** The first one is what the others are compared with. */
const contenders = [...ours, ...peers];

const usage = `usage: bench [WORK ...] [--against NAME ...] [--concurrency N ...] [--rounds N] [--seconds N]
             [--requests N] [--megabytes N] [--json FILE]
       bench chart RESULT.json CHART.svg

Has fcgi2cgi and its peers do the same works on the same repositories behind the same nginx, one after another, in
several rounds (5) of some seconds each (2), and prints medians and, of rounds next to each other, how many times as
many requests a second fcgi2cgi has answered (least to most). WORK and NAME are parts of the names below; N connections
at once are 1 and 4. --requests says how many there are in a round, in place of their time. --megabytes is the size of uploads and downloads (1000).

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
    help: { type: 'boolean' },
  },
});

function count(name: string, value: string | undefined, without: number): number {
  if (value === undefined) return without;
  if (!/^[1-9]\d*$/.test(value)) throw new UsageError(`--${name} ${value}: a whole number is expected`);
  return Number(value);
}

/** The rows of a table whose names have one of these in them. */
function named<T extends { readonly name: string }>(table: readonly T[], parts: readonly string[]): T[] {
  for (const part of parts) {
    if (!table.some(({ name }) => name.includes(part))) throw new UsageError(`nothing is named like ${part}`);
  }
  return table.filter(({ name }) => parts.length === 0 || parts.some((part) => name.includes(part)));
}

async function bench(signal: AbortSignal): Promise<void> {
  const rounds = count('rounds', values.rounds, 5);
  const seconds = count('seconds', values.seconds, 2);
  const transferBytes = 1_000_000 * count('megabytes', values.megabytes, 1000);
  const requests = values.requests === undefined ? undefined : count('requests', values.requests, 1);
  const concurrencies = (values.concurrency ?? ['1', '4']).map((each) => count('concurrency', each, 1));
  const [first, ...others] = contenders;
  if (first === undefined) throw new Error('nobody to compare with');
  const machine = machineHere();
  const rows = await measure({
    ...{ rounds, seconds, requests, transferBytes, concurrencies, signal },
    works: named(works, positionals),
    contenders: [first, ...named(others, values.against ?? [])],
    onProgress: (line) => {
      console.error(line);
    },
  });
  const result: Result = {
    format: 1,
    date: new Date().toISOString(),
    machine,
    ...{ rounds, seconds, transferBytes },
    rows: rows.map((row) => ({ ...row, summary: summarise(row, firstOf(rows, row)) })),
  };
  console.log(report(result));
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, undefined, 1)}\n`);
}

/** What the first contender did for the same work. */
function firstOf(rows: readonly Row[], { work, concurrency }: Row): Row {
  const first = rows.find((row) => row.work === work && row.concurrency === concurrency);
  if (first === undefined) throw new Error(`no row for ${work}`);
  return first;
}

function machineHere(): Result['machine'] {
  const all = cpus();
  return {
    cpu: all[0]?.model ?? 'unknown',
    cores: all.length,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    node: process.version,
    load: loadavg()[0] ?? NaN,
  };
}

const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    stopping.abort(new Error(`ended by ${signal}`));
  });
}
try {
  if (values.help === true) {
    console.log(usage);
  } else if (positionals[0] === 'chart') {
    const [, from, to] = positionals;
    if (from === undefined || to === undefined)
      throw new UsageError('chart needs a result and a file to write');
    await drawChart(JSON.parse(readFileSync(from, 'utf8')) as Result, to);
  } else {
    await bench(stopping.signal);
  }
} catch (error) {
  process.exitCode = error instanceof UsageError ? 2 : 1;
  console.error(
    error instanceof UsageError ? `bench: ${error.message}\n\n${usage}` : `bench: ${reasonOf(error)}`,
  );
}
