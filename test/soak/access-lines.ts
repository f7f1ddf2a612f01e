/** Reads what a daemon has written to its access log, and to those that were rotated away. */

import { readFileSync } from 'node:fs';

/** A line of `--access-log` with `--log-format json`, as far as it matters here. */
export interface AccessLine {
  readonly id: string;
  readonly uri: string | null;
  readonly pid: number | null;
  readonly end: string;
}

/** The lines of these files. @throws Error where one is none */
export function readAccessLines(files: readonly string[]): AccessLine[] {
  return files.flatMap((file) => {
    const text = readFileSync(file, 'utf8');
    if (text !== '' && !text.endsWith('\n')) throw new Error(`${file} ends in the middle of a line`);
    return text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as AccessLine);
  });
}

/** What is wrong with the ids of one daemon's lines: it counts its requests, and each must have one line. */
export function miscounted(lines: readonly AccessLine[]): string[] {
  const counts = new Map<number, number>();
  let last = 0;
  for (const { id } of lines) {
    const number = Number(id.split('-')[1]);
    counts.set(number, (counts.get(number) ?? 0) + 1);
    last = Math.max(last, number);
  }
  const problems: string[] = [];
  for (let number = 1; number <= last; number++) {
    const count = counts.get(number) ?? 0;
    if (count !== 1) problems.push(`request ${String(number)} has ${String(count)} lines in the access log`);
  }
  return problems;
}
