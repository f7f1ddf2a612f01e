/** Starts the contenders, and has each do each work in turn, round after round. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { reasonOf } from '../../src/errors.js';
import type { Contender, Instance } from './contender.js';
import { Cost } from './cost.js';
import { type Backend, startFront } from './front.js';
import type { Measurement, Row } from './result.js';
import { makePlace, type Place, type Site } from './sites.js';
import type { Work } from './works.js';

export interface BenchOptions {
  readonly works: readonly Work[];
  readonly contenders: readonly Contender[];
  readonly concurrencies: readonly number[];
  readonly rounds: number;
  /** About how long each contender is asked in each round. */
  readonly seconds: number;
  /** That many times in each round, however long that takes. */
  readonly requests: number | undefined;
  readonly transferBytes: number;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

/** One contender and one work with so many connections. */
interface Cell {
  readonly work: Work;
  readonly concurrency: number;
  readonly contender: Contender;
  readonly instance: Instance;
  readonly cost: Cost;
  readonly url: string;
  /** In each round. */
  requests: number;
  readonly measured: Measurement[];
}

/** Runs it all. @throws Error where a contender can't be started or answers wrongly */
export async function measure(options: BenchOptions): Promise<Row[]> {
  const { works, rounds, onProgress, signal } = options;
  const directory = mkdtempSync(join(tmpdir(), 'fcgi2cgi-bench-'));
  const stops: (() => Promise<unknown>)[] = [];
  try {
    onProgress('making repositories and starting the contenders');
    const names = new Set(works.map(({ site }) => site));
    const place = await makePlace(directory, names, options.transferBytes);
    const cells = await makeCells(options, place, stops);
    await checkAll(cells, place);
    for (let round = 1; round <= rounds; round++) {
      for (const [index, cell] of cells.entries()) {
        signal.throwIfAborted();
        if (round === 1)
          cell.requests = options.requests ?? (await requestsFor(cell, place, options.seconds));
        const measurement = await measureOne(cell, place);
        cell.measured.push(measurement);
        const rate = (measurement.requests / measurement.seconds).toPrecision(4);
        const where = `round ${String(round)}/${String(rounds)}, ${String(index + 1)}/${String(cells.length)}`;
        onProgress(
          `${where}: ${cell.work.name}, ${String(cell.concurrency)} at once, ${cell.contender.name}: ${rate}/s`,
        );
      }
    }
    return cells.map(({ work, concurrency, contender, measured }) => ({
      ...{ work: work.name, concurrency, contender: contender.name, rounds: measured },
    }));
  } finally {
    await Promise.all(stops.map((stop) => stop()));
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Nobody is fast by answering wrongly, nor measured while it learns. @throws Error that names who is not ready */
async function checkAll(cells: readonly Cell[], place: Place): Promise<void> {
  const checked = new Set<string>();
  for (const { work, contender, instance, url } of cells) {
    const key = `${work.name} by ${contender.name}`;
    if (checked.has(key)) continue;
    checked.add(key);
    const ask = (): Promise<unknown> => work.check(url, place);
    const settled = ask().then(() => instance.settle?.(ask, work.requests ?? 1));
    await settled.catch((error: unknown) => {
      throw new Error(`${key}: ${reasonOf(error)}`, { cause: error });
    });
  }
}

/** Starts a process for each contender and site, and nginx before them. */
async function makeCells(
  { works, contenders, concurrencies }: BenchOptions,
  place: Place,
  stops: (() => Promise<unknown>)[],
): Promise<Cell[]> {
  const backends: (Backend & Pick<Cell, 'contender' | 'cost'>)[] = [];
  for (const site of place.sites.values()) {
    for (const contender of contenders.filter(({ serves }) => serves(site))) {
      const instance = await contender.start(site, place);
      const cost = new Cost(instance.pid);
      stops.push(async () => {
        await instance.stop();
        await cost.remove();
      });
      backends.push({ site, instance, contender, cost });
    }
  }
  const { nginx, urls } = await startFront(place.directory, backends);
  stops.push(() => nginx.stop());
  const serving = (site: Site | undefined) =>
    backends
      .map((backend, index) => ({ ...backend, url: urls[index] ?? '' }))
      .filter((each) => each.site === site);
  // Contenders next to each other: what else the machine does is the same for them.
  return works.flatMap((work) =>
    (work.isSingle === true ? [1] : concurrencies).flatMap((concurrency) =>
      serving(place.sites.get(work.site)).map(({ contender, instance, cost, url }) => ({
        ...{ work, concurrency, contender, instance, url, cost, requests: 0, measured: [] },
      })),
    ),
  );
}

/** How many requests take about so long. What is asked to learn that also warms up. */
async function requestsFor({ work, concurrency, url }: Cell, place: Place, seconds: number): Promise<number> {
  const sample = await work.drive(url, place, { concurrency, requests: concurrency });
  return Math.max(concurrency, Math.round((seconds * sample.requests) / sample.seconds));
}

async function measureOne(cell: Cell, place: Place): Promise<Measurement> {
  const { work, concurrency, contender, cost, url, requests } = cell;
  cost.resetPeak();
  const before = cost.cpuSeconds();
  const sample = await work.drive(url, place, { concurrency, requests });
  const after = cost.cpuSeconds();
  if (sample.failures > 0) {
    const counts = `${String(sample.failures)} of ${String(sample.requests)} failed`;
    throw new Error(`${work.name}, ${String(concurrency)} at once, ${contender.name}: ${counts}`);
  }
  const cpuSeconds = before === null || after === null ? null : after - before;
  return { ...sample, cpuSeconds, peakMiB: cost.peakMiB() };
}
