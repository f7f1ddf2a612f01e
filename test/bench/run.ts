/** Runs what was selected, one thing after another, to a result. */

import { cpus, loadavg, release, totalmem } from 'node:os';

import { measureGrowth } from './growth.js';
import { measure } from './measure.js';
import { measureMemory } from './memory.js';
import type { Progress } from './progress.js';
import { type Result, summarise } from './result.js';
import type { Selection } from './selection.js';
import { Stage } from './stage.js';
import { measureStartups } from './startup.js';
import { judge } from './targets.js';

/** As many connections as most targets have. */
const MEMORY_CONCURRENCY = 4;

export interface RunOptions {
  readonly rounds: number;
  /** About how long each contender is asked in each round. */
  readonly seconds: number;
  /** That many times in each round, however long that takes. */
  readonly requests: number | undefined;
  readonly transferBytes: number;
  /** How often each command is started. */
  readonly starts: number;
  readonly memoryRequests: number;
  /** Numbers of requests at which growth is looked at, ascending. */
  readonly growthMarks: readonly number[];
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** @throws Error where a contender can't be started or answers wrongly, or when it is aborted */
export async function run(selection: Selection, options: RunOptions): Promise<Result> {
  const { rounds, seconds, transferBytes, starts, progress, signal } = options;
  const { cells, memory, growth, hasStartups } = selection;
  progress.plan('startup', hasStartups ? starts * 3 : 0, 0.4);
  progress.plan('cell', cells.length * rounds, seconds);
  progress.plan('memory', memory.length, 2);
  progress.plan('growth', growth.length * (options.growthMarks.at(-1) ?? 0), 0.005);
  const date = new Date().toISOString();
  const machine = machineHere();
  const startups = hasStartups ? await measureStartups(starts, progress, signal) : [];
  const measured = await onStage(selection, options);
  const grown =
    growth.length > 0 ? await measureGrowth(growth, { ...options, marks: options.growthMarks }) : [];
  const rows = measured.rows.map((row) => ({ ...row, summary: summarise(row, measured.rows) }));
  return {
    ...{ format: 2, date, machine, rounds, seconds, transferBytes, rows, startups },
    ...{ memory: measured.memory, growth: grown, targets: judge(rows, startups) },
  };
}

/** What contenders that are started once do. */
async function onStage(
  { cells, memory }: Selection,
  options: RunOptions,
): Promise<{ rows: Awaited<ReturnType<typeof measure>>; memory: Result['memory'] }> {
  const { progress, signal, transferBytes, memoryRequests } = options;
  const parts = new Map(
    [...cells, ...memory].map(({ work, contender }) => [
      `${work.name} by ${contender.name}`,
      { work, contender },
    ]),
  );
  if (parts.size === 0) return { rows: [], memory: [] };
  const stage = await Stage.open([...parts.values()], transferBytes, signal, (what) => {
    progress.say(what);
  });
  try {
    const rows = await measure(cells, stage, options);
    const held = await measureMemory(memory, stage, {
      ...{ concurrency: MEMORY_CONCURRENCY, requests: memoryRequests, progress, signal },
    });
    return { rows, memory: held };
  } finally {
    await stage.close();
  }
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
