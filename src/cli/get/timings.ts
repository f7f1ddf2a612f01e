/** Shows how long requests took. */

export interface Sample {
  /** Undefined for a request on a connection that was there already. */
  readonly connectMs: number | undefined;
  readonly firstMs: number | undefined;
  readonly totalMs: number;
  /** The HTTP status, or what became of the request without one. */
  readonly result: string;
}

/** Lines for people: the one request's times, or the least, the median and the most of several. */
export function formatTimings(samples: readonly Sample[]): string {
  const rows: readonly (readonly [name: string, values: readonly number[]])[] = [
    ['connect', known(samples.map(({ connectMs }) => connectMs))],
    ['first octet', known(samples.map(({ firstMs }) => firstMs))],
    ['total', samples.map(({ totalMs }) => totalMs)],
  ];
  const [only, ...more] = samples;
  if (only !== undefined && more.length === 0) {
    return rows.map(([name, [value]]) => `${name.padEnd(11)} ${milliseconds(value)} ms\n`).join('');
  }
  const header = `${' '.repeat(11)}${['min', 'median', 'max'].map((name) => name.padStart(10)).join('')}  ms\n`;
  const lines = rows.map(([name, values]) => {
    const sorted = values.toSorted((a, b) => a - b);
    return `${name.padEnd(11)}${[sorted[0], median(sorted), sorted.at(-1)].map(milliseconds).join('')}\n`;
  });
  return `${header}${lines.join('')}${countOf(samples)}\n`;
}

function known(values: readonly (number | undefined)[]): number[] {
  return values.filter((value) => value !== undefined);
}

function median(sorted: readonly number[]): number | undefined {
  const middle = sorted.length >> 1;
  const [low, high] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 0 && low !== undefined && high !== undefined ? (low + high) / 2 : high;
}

function milliseconds(value: number | undefined): string {
  return (value === undefined ? '-' : value.toFixed(1)).padStart(10);
}

function countOf(samples: readonly Sample[]): string {
  const counts = new Map<string, number>();
  for (const { result } of samples) counts.set(result, (counts.get(result) ?? 0) + 1);
  const results = [...counts].map(([result, count]) => `${String(count)} × ${result}`);
  return `${String(samples.length)} requests: ${results.join(', ')}`;
}
