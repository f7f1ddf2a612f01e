/** The machine-readable result of the bench, and what follows from its measurements. */

import { spread, type Spread } from './statistics.js';

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
  /** The first contender's requests a second over this one's, of rounds that were run next to each other. */
  readonly ratio: Spread;
}

export interface Result {
  readonly format: 1;
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
}

const rate = ({ requests, seconds }: Measurement): number => requests / seconds;

/** Sums up a row; `first` is that of the contender with which the others are compared. */
export function summarise({ rounds }: Row, first: Row): Summary {
  const known = (value: (each: Measurement) => number | null): Spread | null => {
    const values = rounds.map(value).filter((each) => each !== null);
    return values.length > 0 ? spread(values) : null;
  };
  return {
    requestsPerSecond: spread(rounds.map(rate)),
    firstMs: known(({ firstMs }) => firstMs),
    totalMs: spread(rounds.map(({ totalMs }) => totalMs)),
    cpuMsPerRequest: known(({ cpuSeconds, requests }) =>
      cpuSeconds === null ? null : (1000 * cpuSeconds) / requests,
    ),
    peakMiB: spread(rounds.map(({ peakMiB }) => peakMiB)),
    ratio: spread(
      rounds.map((measurement, round) => {
        const ours = first.rounds[round];
        return ours === undefined ? NaN : rate(ours) / rate(measurement);
      }),
    ),
  };
}
