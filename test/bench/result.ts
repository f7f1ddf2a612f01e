/** The machine-readable result of the bench, and what follows from its measurements. */

import { spread, type Spread } from './statistics.js';
import type { RunResult } from './targets.js';

/** One contender's round of one work with so many connections. */
export interface Measurement {
  readonly requests: number;
  readonly failures: number;
  readonly seconds: number;
  readonly firstMs: number | null;
  readonly totalMs: number;
  /** Null where the system doesn't say. */
  readonly cpuSeconds: number | null;
  readonly peakMiB: number;
}

/** What one contender did for one work with so many connections, round by round. */
export interface Row {
  readonly work: string;
  readonly concurrency: number;
  readonly contender: string;
  readonly rounds: readonly Measurement[];
}

export interface Summary {
  readonly requestsPerSecond: Spread;
  readonly firstMs: Spread | null;
  readonly totalMs: Spread;
  readonly cpuMsPerRequest: Spread | null;
  readonly peakMiB: Spread;
  /** This one's requests a second over those of each other contender, of rounds that were run next to each other. */
  readonly times: Readonly<Record<string, Spread>>;
}

/** A command from its start until it listens. */
export interface Startup {
  readonly command: string;
  readonly seconds: Spread;
}

/** The processes of one kind that a contender has, each at its largest; the median of theirs. */
export interface RoleMemory {
  readonly role: string;
  /** The most that were seen at once. */
  readonly most: number;
  /** Resident; what of it others share with it, divided by their number, is in PSS, and in USS not at all (proc(5)). */
  readonly rssMiB: number;
  readonly pssMiB: number;
  readonly ussMiB: number;
}

/** What a contender held while it did a work with several connections. */
export interface Memory {
  readonly work: string;
  readonly concurrency: number;
  readonly contender: string;
  /** The most that all its processes held together (PSS). */
  readonly peakMiB: number;
  readonly roles: readonly RoleMemory[];
}

/** How time and memory grow with the number of requests, for a contender that was started for it. */
export interface Growth {
  readonly work: string;
  readonly contender: string;
  readonly marks: readonly {
    /** Since its start. */
    readonly requests: number;
    /** Of those since the mark before: the time of all over their number. */
    readonly msPerRequest: number;
    /** What its processes held together (PSS) after them. */
    readonly pssMiB: number;
  }[];
}

export interface Result {
  readonly format: 2;
  /** ISO 8601. */
  readonly date: string;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryMiB: number;
    readonly kernel: string;
    readonly node: string;
    /** Processes that wanted to run when it began (proc(5): loadavg). */
    readonly load: number;
  };
  readonly rounds: number;
  readonly seconds: number;
  readonly transferBytes: number;
  readonly rows: readonly (Row & { readonly summary: Summary })[];
  readonly startups: readonly Startup[];
  readonly memory: readonly Memory[];
  readonly growth: readonly Growth[];
  readonly targets: readonly RunResult[];
}

const rate = ({ requests, seconds }: Measurement): number => requests / seconds;

/** Sums up a row; `all` are those that it is compared with, itself and other works among them. */
export function summarise(row: Row, all: readonly Row[]): Summary {
  const { rounds, work, concurrency } = row;
  const known = (value: (each: Measurement) => number | null): Spread | null => {
    const values = rounds.map(value).filter((each) => each !== null);
    return values.length > 0 ? spread(values) : null;
  };
  const others = all.filter((each) => each !== row && each.work === work && each.concurrency === concurrency);
  return {
    requestsPerSecond: spread(rounds.map(rate)),
    firstMs: known(({ firstMs }) => firstMs),
    totalMs: spread(rounds.map(({ totalMs }) => totalMs)),
    cpuMsPerRequest: known(({ cpuSeconds, requests }) =>
      cpuSeconds === null ? null : (1000 * cpuSeconds) / requests,
    ),
    peakMiB: spread(rounds.map(({ peakMiB }) => peakMiB)),
    times: Object.fromEntries(others.map((other) => [other.contender, timesOf(rounds, other.rounds)])),
  };
}

function timesOf(these: readonly Measurement[], those: readonly Measurement[]): Spread {
  return spread(
    these.flatMap((measurement, round) => {
      const other = those[round];
      return other === undefined ? [] : [rate(measurement) / rate(other)];
    }),
  );
}
