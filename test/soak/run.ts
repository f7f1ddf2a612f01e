/** Runs the loads with several users at once, kills and rotates meanwhile, and looks in the end at what is left. */

import { setTimeout as delay } from 'node:timers/promises';

import { reasonOf } from '../../src/base/errors.js';
import { Random } from '../fuzz/random.js';
import { hgLoads } from './hg-loads.js';
import { killOne } from './killer.js';
import { Ledger } from './ledger.js';
import { type Load, Turn } from './load.js';
import { rawLoads } from './raw-loads.js';
import { setStage, type Stage } from './stage.js';
import type { Result } from './summary.js';
import { webLoads } from './web-loads.js';

/** All kinds of load: what is not listed here is not run. */
export const allLoads: readonly Load[] = [...webLoads, ...rawLoads, ...hgLoads];

export interface SoakOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly loads: number;
  readonly users: number;
  /** Parts of the names of the loads to run; none for all. */
  readonly kinds: readonly string[];
  /** How long the daemons may take to be idle when nobody asks them any more. */
  readonly settleSeconds: number;
  /** Ends the loads early. */
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

/** A load that has not ended by then has no answer; the daemons' own time limits are shorter. */
const PATIENCE_MS = 120_000;
const PROGRESS_MS = 5_000;
const KILL_MS = 400;
const ROTATE_MS = 3_000;
/** The times that each kind of load is run before memory is looked at. */
const WARM_UPS = 4;

/** Runs all of it. @throws Error where it can't begin, or a log can't be read */
export async function runLoads(options: SoakOptions): Promise<Result> {
  const { seed, users, kinds, onProgress } = options;
  const loads = allLoads.filter(
    ({ name }) => kinds.length === 0 || kinds.some((kind) => name.includes(kind)),
  );
  if (loads.length === 0) throw new Error(`no kind of load is named like ${kinds.join(' or ')}`);
  const stage = await setStage();
  try {
    const ledger = new Ledger();
    const warmUps = loads.flatMap((load) => Array<Load>(WARM_UPS).fill(load));
    onProgress(`seed ${String(seed)}: warming up with ${String(warmUps.length)} loads`);
    let number = 0;
    const run = async (load: Load | undefined): Promise<'over' | 'go on'> => {
      if (load === undefined || stage.dir.hasEnded || stage.hg.hasEnded) return 'over';
      await runOne(load, seed, number++, stage, ledger);
      return 'go on';
    };
    await together(users, () => run(warmUps.pop()));
    for (const daemon of [stage.dir, stage.hg]) daemon.warmedUp();

    const begun = performance.now();
    const seconds = (): number => (performance.now() - begun) / 1000;
    const last = number + options.loads;
    const weighted = loads.flatMap((load) => Array<Load>(load.weight).fill(load));
    const meanwhile = startMeanwhile(stage, ledger, seed, () => {
      onProgress(progress(seconds(), stage, ledger));
    });
    await together(users, () => {
      const isOver = options.signal.aborted || number >= last || seconds() >= options.seconds;
      return run(isOver ? undefined : new Random(seed, number).pick(weighted));
    });
    for (const timer of meanwhile) clearInterval(timer);
    return await lookAtEnd(stage, ledger, { seed, seconds: seconds(), settleSeconds: options.settleSeconds });
  } finally {
    await stage.remove();
  }
}

/** So many users, each of which does one thing after another until `act` says that it is over. */
async function together(users: number, act: () => Promise<'over' | 'go on'>): Promise<void> {
  const user = async (): Promise<void> => {
    while ((await act()) === 'go on');
  };
  await Promise.all(Array.from({ length: users }, user));
}

async function runOne(load: Load, seed: number, number: number, stage: Stage, ledger: Ledger): Promise<void> {
  const over = new AbortController();
  const patience = new AbortController();
  const random = new Random(seed ^ 0x50a4, number);
  const turn = new Turn({ stage, ledger, random, load: load.name, number, signal: over.signal });
  ledger.tally(load.name).loads += 1;
  const tooLong = delay(PATIENCE_MS, undefined, { signal: patience.signal }).then(() => {
    throw new Error(`not ended after ${String(PATIENCE_MS)} ms`);
  });
  try {
    await Promise.race([load.run(turn), tooLong]);
  } catch (error) {
    ledger.wrong(load.name, `load ${String(number)}: ${reasonOf(error)}`);
  } finally {
    tooLong.catch(() => undefined);
    patience.abort();
    over.abort();
  }
}

function startMeanwhile(stage: Stage, ledger: Ledger, seed: number, report: () => void): NodeJS.Timeout[] {
  const random = new Random(seed, 0xffff_ffff);
  const kill = (): void => {
    killOne(stage, ledger, random);
  };
  const rotate = (): void => {
    for (const daemon of [stage.dir, stage.hg]) if (!daemon.hasEnded) daemon.rotate();
  };
  return [setInterval(kill, KILL_MS), setInterval(rotate, ROTATE_MS), setInterval(report, PROGRESS_MS)];
}

function progress(seconds: number, stage: Stage, ledger: Ledger): string {
  const daemons = Object.entries({ dir: stage.dir, hg: stage.hg }).map(([name, daemon]) =>
    daemon.hasEnded
      ? `${name} HAS ENDED`
      : `${name} ${daemon.residentMiB.toFixed()} MiB, ${String(daemon.descriptors)} descriptors`,
  );
  const counts = [
    `${String(ledger.requests)} requests`,
    `${String(ledger.killedPids.size)} killed`,
    `${String(ledger.suspects)} answers to look into`,
    `${String(ledger.unexpected.length)} unexpected`,
  ];
  return `${seconds.toFixed().padStart(5)} s  ${[...counts, ...daemons].join('; ')}`;
}

/** Ends the web servers, waits until the daemons are idle, ends them, and reads their logs. */
async function lookAtEnd(
  stage: Stage,
  ledger: Ledger,
  { seed, seconds, settleSeconds }: { seed: number; seconds: number; settleSeconds: number },
): Promise<Result> {
  await stage.stopWebServers();
  const daemons = [];
  const lines = [];
  for (const [name, daemon] of Object.entries({ dir: stage.dir, hg: stage.hg })) {
    const problems = await daemon.settle(1000 * settleSeconds);
    const { first } = daemon;
    const had = daemon.hasEnded
      ? first
      : { descriptors: daemon.descriptors, residentMiB: daemon.residentMiB };
    const stopped = await daemon.stop();
    for (const problem of [...problems, ...stopped.problems]) ledger.wrong(`the ${name} daemon`, problem);
    lines.push(...stopped.lines);
    daemons.push({ name, first, last: had, lines: stopped.lines.length });
  }
  ledger.reckon(lines);
  return { seed, seconds, daemons, tallies: ledger.tallies, unexpected: ledger.unexpected };
}
