/** Quantities as people read them. */

import type { Distribution, EndedCount } from './status.js';

/** `0.4 ms`, `12 s`, `3 min 20 s`, `5 h 2 min`, `12 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1_000) return `${ms.toFixed(0)} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.floor(ms / 1_000);
  const [days, hours, minutes] = [seconds / 86_400, (seconds / 3_600) % 24, (seconds / 60) % 60].map(
    Math.floor,
  );
  const parts: [number | undefined, string][] = [
    [days, 'd'],
    [hours, 'h'],
    [minutes, 'min'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count !== 0);
  return parts
    .slice(first, first + 2)
    .flatMap(([count, unit]) => (count === 0 ? [] : [`${String(count)} ${unit}`]))
    .join(' ');
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** `512 B`, `1.2 kB`, `34 MB`: units of 1024, as those of the options. */
export function size(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 1_024 && unit < UNITS.length - 1) [value, unit] = [value / 1_024, unit + 1];
  return `${unit === 0 || value >= 10 ? value.toFixed(0) : value.toFixed(1)} ${UNITS[unit] ?? ''}`;
}

/** Counts by which part of all was no slower than so: as exact as the bounds are. Empty without any. */
export function percentiles({ count, buckets }: Distribution): string {
  if (count === 0) return '';
  const within = (part: number): string => {
    const maxMs = buckets.find((bucket) => bucket.count >= part * count)?.maxMs ?? Infinity;
    const last = buckets.findLast((bucket) => bucket.maxMs !== Infinity)?.maxMs ?? 0;
    return maxMs === Infinity ? `beyond ${bound(last)}` : `within ${bound(maxMs)}`;
  };
  return `50 % ${within(0.5)}, 95 % ${within(0.95)}, 99 % ${within(0.99)}`;
}

/** A bound of a distribution, which is a round number: `2.5 ms`, `5 s`. */
export function bound(ms: number): string {
  if (ms < 1_000) return `${String(ms)} ms`;
  return ms < 60_000 ? `${String(ms / 1_000)} s` : duration(ms);
}

/** Counts as a table: a row for each way to end, a column for each class of status that occurs, both in order. */
export function byOutcome(
  ended: readonly EndedCount[],
  order: readonly string[],
): {
  readonly classes: readonly string[];
  readonly rows: readonly (readonly [end: string, counts: readonly number[]])[];
} {
  const classes = [...new Set(ended.map(({ status }) => status))].sort();
  const ends = order.filter((end) => ended.some((each) => each.end === end));
  const countOf = (end: string, status: string): number =>
    ended.find((each) => each.end === end && each.status === status)?.requests ?? 0;
  return {
    classes,
    rows: ends.map((end) => [end, classes.map((status) => countOf(end, status))] as const),
  };
}
