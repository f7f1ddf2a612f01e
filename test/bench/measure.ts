/** Has each contender do each work in turn, round after round. */

import type { Progress } from './progress.js';
import type { Measurement, Row } from './result.js';
import type { Part, Stage } from './stage.js';

/** One contender and one work with so many connections. */
export interface Cell extends Part {
  readonly concurrency: number;
}

export interface MeasureOptions {
  readonly rounds: number;
  /** About how long each contender is asked in each round. */
  readonly seconds: number;
  /** That many times in each round, however long that takes. */
  readonly requests: number | undefined;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

/** Contenders for the same work come next to each other: what else the machine does is the same for them. */
export async function measure(
  cells: readonly Cell[],
  stage: Stage,
  { rounds, seconds, requests, signal, progress }: MeasureOptions,
): Promise<Row[]> {
  const measured = cells.map((cell) => ({ cell, requests: 0, rounds: [] as Measurement[] }));
  for (let round = 1; round <= rounds; round++) {
    for (const [index, each] of measured.entries()) {
      signal.throwIfAborted();
      const one = async (): Promise<Measurement> => {
        if (round === 1)
          each.requests = Math.max(
            each.cell.concurrency,
            requests ?? (await requestsFor(each.cell, stage, seconds, signal)),
          );
        return measureOne(each.cell, stage, each.requests, signal);
      };
      const { work, concurrency, contender } = each.cell;
      const where = `round ${String(round)}/${String(rounds)}, ${String(index + 1)}/${String(cells.length)}`;
      const what = `${work.name}, ${String(concurrency)} at once, ${contender.name}`;
      each.rounds.push(
        await progress.during('cell', 1, one, (done) => {
          return `${where}: ${what}: ${(done.requests / done.seconds).toPrecision(4)}/s`;
        }),
      );
    }
  }
  return measured.map(({ cell: { work, concurrency, contender }, rounds: all }) => ({
    ...{ work: work.name, concurrency, contender: contender.name, rounds: all },
  }));
}

/**
 * How many requests take about so long, once the contender has answered for about as long: the first requests of a
 * server cost more than all later ones, and few of those that it answers in its life are among the first.
 */
async function requestsFor(cell: Cell, stage: Stage, seconds: number, signal: AbortSignal): Promise<number> {
  const { work, concurrency } = cell;
  const { url } = stage.running(cell);
  for (let requests = concurrency; ;) {
    const sample = await work.drive(url, stage.place, { concurrency, requests, signal });
    const fitting = Math.ceil((seconds * sample.requests) / sample.seconds);
    if (2 * sample.seconds >= seconds) return fitting;
    requests = Math.min(fitting, 10 * requests);
  }
}

async function measureOne(
  cell: Cell,
  stage: Stage,
  requests: number,
  signal: AbortSignal,
): Promise<Measurement> {
  const { work, concurrency, contender } = cell;
  const { cost, url } = stage.running(cell);
  cost.resetPeak();
  const before = cost.cpuSeconds();
  const sample = await work.drive(url, stage.place, { concurrency, requests, signal });
  const after = cost.cpuSeconds();
  if (sample.failures > 0) {
    const counts = `${String(sample.failures)} of ${String(sample.requests)} failed`;
    throw new Error(`${work.name}, ${String(concurrency)} at once, ${contender.name}: ${counts}`);
  }
  const cpuSeconds = before === null || after === null ? null : after - before;
  return { ...sample, cpuSeconds, peakMiB: cost.peakMiB() };
}
