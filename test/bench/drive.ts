/** What asks: ApacheBench for pages, and any command, so many at once and one after another, for everything else. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { runToEnd, succeed } from '../helpers/command.js';
import { mean, median } from './statistics.js';

/** How one contender did one work in one round. */
export interface Sample {
  readonly requests: number;
  readonly failures: number;
  readonly seconds: number;
  /** To the first octet; null where the command doesn't say. */
  readonly firstMs: number | null;
  /** To the last octet, the median of the round's. */
  readonly totalMs: number;
}

export interface Load {
  readonly concurrency: number;
  /** In all; each is waited for, so that nothing is left to be done in somebody else's time. */
  readonly requests: number;
  /** Ends it; what comes of it then is an error. */
  readonly signal?: AbortSignal;
}

/** GET requests, each on a connection of its own. */
export async function drivePages(url: string, { concurrency, requests, signal }: Load): Promise<Sample> {
  const directory = mkdtempSync(join(tmpdir(), 'fcgi2cgi-ab-'));
  const [each, percentiles] = [join(directory, 'each'), join(directory, 'percentiles')];
  try {
    // -l: pages have their process ids and times in them. -s: by default it gives up after 30 s.
    const limits = ['-n', String(requests), '-c', String(concurrency), '-s', '600'];
    const report = await succeed('ab', ['-q', '-l', ...limits, '-g', each, '-e', percentiles, url], {
      ...(signal && { signal }),
    });
    const number = (name: string): number =>
      Number(new RegExp(`^${name}:?\\s+([\\d.]+)`, 'm').exec(report)?.[1] ?? 0);
    const firsts = rows(each, '\t').map((columns) => Number(columns[4]));
    const half = rows(percentiles, ',').find(([percent]) => percent === '50')?.[1];
    return {
      requests: number('Complete requests'),
      failures: number('Failed requests') + number('Non-2xx responses'),
      seconds: number('Time taken for tests'),
      // Whole milliseconds each: their mean says more than their median.
      firstMs: mean(firsts),
      totalMs: Number(half ?? NaN),
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function rows(file: string, separator: string): string[][] {
  const [, ...lines] = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.map((line) => line.split(separator).map((column) => column.trim()));
}

/** What a command has to say after it has succeeded. */
interface Done {
  readonly firstMs?: number;
}

/** Runs it so many times. */
export async function driveCommand(
  run: (scratch: string) => Promise<Done>,
  { concurrency, requests, signal }: Load,
): Promise<Sample> {
  const directory = mkdtempSync(join(tmpdir(), 'fcgi2cgi-bench-scratch-'));
  const totals: number[] = [];
  const firsts: number[] = [];
  let failures = 0;
  let count = 0;
  const begun = performance.now();
  const one = async (): Promise<void> => {
    while (count < requests) {
      signal?.throwIfAborted();
      const scratch = join(directory, String(count++));
      const since = performance.now();
      const done = await run(scratch).catch(() => undefined);
      totals.push(performance.now() - since);
      if (done === undefined) failures += 1;
      else if (done.firstMs !== undefined) firsts.push(done.firstMs);
    }
  };
  try {
    await Promise.all(Array.from({ length: concurrency }, one));
    return {
      ...{ requests: count, failures, seconds: (performance.now() - begun) / 1000 },
      firstMs: firsts.length > 0 ? median(firsts) : null,
      totalMs: median(totals),
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** One transfer by curl(1). @throws Error where the status is not 200 or other than `bytes` octets came */
export async function curl(
  url: string,
  bytes: number | undefined,
  args: readonly string[] = [],
): Promise<Done> {
  const format = '%{stderr}%{http_code} %{size_download} %{time_starttransfer}';
  const { status, stdout, stderr } = await runToEnd('curl', ['-sS', '-w', format, ...args, url]);
  const [code, size, first] = stderr.split(' ');
  if (status !== 0 || code !== '200' || (bytes !== undefined && Number(size) !== bytes)) {
    throw new Error(`curl ${url}: ${stderr} ${stdout.slice(0, 200)}`);
  }
  return { firstMs: Number(first) * 1000 };
}
