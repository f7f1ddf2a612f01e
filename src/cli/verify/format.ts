/** Shows to people, or to machines, how requests were answered both ways. */

import { statusText } from '../../cgi/document-response.js';
import { visible } from '../../observe/escape.js';
import type { Difference } from './comparison.js';
import type { Verdict } from './verify.js';

/** A request and what became of it. */
export interface Verified {
  readonly method: string;
  readonly target: string;
  readonly verdict: Verdict;
}

/** How many requests of each kind there were. */
export type Counts = Record<Verdict['kind'], number>;

/** As they are before the first. */
export const none: Readonly<Counts> = {
  same: 0,
  differs: 0,
  'not-warm': 0,
  'never-warm': 0,
  'no-program': 0,
};

const words: Readonly<Record<Verdict['kind'], string>> = {
  same: 'same',
  differs: 'differs',
  'not-warm': 'not warm',
  'never-warm': 'never warm',
  'no-program': 'no program',
};

const INDENT = ' '.repeat(11);

/** Lines of text, with nothing in them that a terminal could take for more than text. */
export function formatVerified({ method, target, verdict }: Verified): string {
  const request = `${words[verdict.kind].padEnd(10)} ${method} ${target}`;
  switch (verdict.kind) {
    case 'not-warm':
    case 'never-warm':
      return lines([`${request}: ${verdict.reason}`]);
    case 'no-program':
      return lines([`${request}: ${statusText(verdict.status)}`]);
    case 'same':
    case 'differs': {
      const { status, bytes, warmRuns, varies } = verdict;
      return lines([
        `${request}: ${String(status)}, ${String(bytes)} octets, ${String(warmRuns)} × warm`,
        ...varies.map((what) => `${INDENT}varies by itself: ${what}`),
        ...verdict.differences.flatMap(formatDifference),
      ]);
    }
  }
}

function formatDifference({ part, name, line, spawn, warm }: Difference): readonly string[] {
  const where = [part, name, line === undefined ? undefined : `line ${String(line)}`]
    .filter(Boolean)
    .join(' ');
  const shown = (text: string | null): string => text ?? '(nothing)';
  return [`${INDENT}${where} by spawn: ${shown(spawn)}`, `${INDENT}${where} by warm:  ${shown(warm)}`];
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${visible(text)}\n`).join('');
}

/** One line of JSON. */
export function verifiedJson({ method, target, verdict }: Verified): string {
  const { kind: result, ...more } = verdict;
  return `${visible(JSON.stringify({ method, target, result, ...more }))}\n`;
}

/** All in one line. */
export function formatCounts(counts: Readonly<Counts>): string {
  const each = Object.entries(counts).flatMap(([kind, count]) =>
    count === 0 ? [] : [`${String(count)} ${words[kind as Verdict['kind']]}`],
  );
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return `${[`${String(all)} request${all === 1 ? '' : 's'}`, each.join(', ')].filter(Boolean).join(': ')}\n`;
}
