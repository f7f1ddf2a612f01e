/** How the responses of forked processes differ from those of new ones. */

import { toText } from '../../base/bytes.js';
import { visible } from '../../observe/escape.js';
import { allEqual, firstMismatch, lineMatches, type Mismatch, varyingRanges, wordsOf } from './matching.js';
import type { RecordedResponse } from './runner-pair.js';

/** A difference; texts are for people. What one of the two does not have is null. */
export interface Difference {
  readonly part: 'status' | 'field' | 'body' | 'standard error' | 'exit' | 'end';
  /** Of the header field. */
  readonly name?: string;
  /** Of the body or standard error, from 1 on; undefined where it lies beyond what was kept of them. */
  readonly line?: number;
  readonly spawn: string | null;
  readonly warm: string | null;
  /** The number of warm runs in which it was just this, and in each new process another one; else undefined. */
  readonly repeats?: number;
}

/** What of a line is shown before the place where it differs, and in all. */
const BEFORE = 40;
const SHOWN = 160;

/** How `warm` differs from what all of `spawned`, which are two at least, have in common: once for each part. */
export function differences(
  spawned: readonly RecordedResponse[],
  warm: RecordedResponse,
): readonly Difference[] {
  const plain = (['status', 'exit', 'end'] as const).flatMap((part): Difference[] => {
    const samples = spawned.map((each) => String(each[part]));
    const seen = String(warm[part]);
    return !allEqual(samples) || samples[0] === seen ? [] : [{ part, spawn: samples[0] ?? null, warm: seen }];
  });
  return [
    ...plain,
    ...fieldDifferences(spawned, warm),
    ...textDifferences('body', spawned, warm),
    ...textDifferences('standard error', spawned, warm),
  ];
}

/** What differs between new processes already, for people: `field etag`, `body, lines 3 to 5`. */
export function variations(spawned: readonly RecordedResponse[]): readonly string[] {
  const plain = (['status', 'exit', 'end'] as const).filter(
    (part) => !allEqual(spawned.map((each) => each[part])),
  );
  const fields = fieldNames(spawned).filter(
    (name) => !allEqual(spawned.map((each) => each.fields.get(name))),
  );
  return [
    ...plain,
    ...fields.map((name) => `field ${name}`),
    ...varyingLines('body', spawned),
    ...varyingLines('standard error', spawned),
  ];
}

function fieldDifferences(
  spawned: readonly RecordedResponse[],
  warm: RecordedResponse,
): readonly Difference[] {
  return fieldNames([...spawned, warm]).flatMap((name): Difference[] => {
    const samples = spawned.map(({ fields }) => fields.get(name));
    const seen = warm.fields.get(name);
    const [sample] = samples;
    const texts = samples.filter((value) => value !== undefined);
    // Where some have it and others not, it may be either way.
    const isLike =
      seen === undefined ? texts.length < samples.length : texts.length > 0 && lineMatches(texts, seen);
    if (isLike) return [];
    const shown = (value: string | undefined): string | null =>
      value === undefined ? null : visible(toText(value));
    return [{ part: 'field', name, spawn: shown(sample), warm: shown(seen) }];
  });
}

function fieldNames(answers: readonly RecordedResponse[]): readonly string[] {
  return [...new Set(answers.flatMap(({ fields }) => [...fields.keys()]))];
}

type TextPart = 'body' | 'standard error';

function writtenAs(part: TextPart, answer: RecordedResponse): RecordedResponse['body'] {
  return part === 'body' ? answer.body : answer.stderr;
}

function textDifferences(
  part: TextPart,
  spawned: readonly RecordedResponse[],
  answer: RecordedResponse,
): readonly Difference[] {
  const samples = spawned.map((each) => writtenAs(part, each));
  const warm = writtenAs(part, answer);
  if (samples.some(({ sha256 }) => sha256 === warm.sha256)) return [];
  const lines = samples.map(linesOf);
  const found = firstMismatch(lines, linesOf(warm), lineMatches);
  if (found !== undefined) {
    const { at, expected, seen } = found;
    return [{ part, line: at + 1, ...excerpts(expected, seen) }];
  }
  const isKept = [...samples, warm].every(({ beginning, bytes }) => beginning.length === bytes);
  if (isKept || !allEqual(samples.map(({ sha256 }) => sha256))) return [];
  const shown = ({ bytes, sha256 }: RecordedResponse['body']): string =>
    `${String(bytes)} bytes, SHA-256 ${sha256}`;
  return [{ part, spawn: samples[0] === undefined ? null : shown(samples[0]), warm: shown(warm) }];
}

function varyingLines(part: TextPart, spawned: readonly RecordedResponse[]): readonly string[] {
  const ranges = varyingRanges(spawned.map((each) => linesOf(writtenAs(part, each))));
  if (ranges.length === 0) return [];
  const shown = ranges.map(([first, last]) =>
    first === last ? String(first + 1) : `${String(first + 1)} to ${String(last + 1)}`,
  );
  return [`${part}, line${shown.length === 1 && !shown[0]?.includes(' ') ? '' : 's'} ${shown.join(', ')}`];
}

/** Each with its end, so that a last line without one is another one. */
export function linesOf({ beginning }: RecordedResponse['body']): readonly string[] {
  return beginning.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

/** Two lines, cut to where they differ. */
export function excerpts(
  expected: string | undefined,
  seen: string | undefined,
): { readonly spawn: string | null; readonly warm: string | null } {
  const isWhole = [expected, seen].every((line) => line === undefined || line.endsWith('\n'));
  const textOf = (line = ''): string => toText(isWhole ? line.slice(0, -1) : line);
  const [one, other] = [textOf(expected), textOf(seen)];
  let same = 0;
  while (same < one.length && one[same] === other[same]) same++;
  const from = Math.max(0, same - BEFORE);
  const cut = (line: string): string =>
    `${from > 0 ? '…' : ''}${visible(line.slice(from, from + SHOWN))}${line.length > from + SHOWN ? '…' : ''}`;
  return { spawn: expected === undefined ? null : cut(one), warm: seen === undefined ? null : cut(other) };
}

/**
 * The first words of each part of the answers that are another one in every one of `spawned`, and the same in all of
 * `warm`. It takes some of each, made in turns: of a clock, both have as many readings by then.
 */
export function repetitions(
  spawned: readonly RecordedResponse[],
  warm: readonly RecordedResponse[],
): readonly Difference[] {
  const fields = fieldNames(spawned).flatMap((name): Difference[] => {
    const found = repeated(
      spawned.map((each) => [each.fields.get(name) ?? '']),
      warm.map((each) => [each.fields.get(name) ?? '']),
    );
    if (found === undefined) return [];
    const { spawn, warm: seen } = excerpts(found.expected, found.seen);
    return [{ part: 'field', name, spawn, warm: seen, repeats: warm.length }];
  });
  const texts = (['body', 'standard error'] as const).flatMap((part): Difference[] => {
    const written = (each: RecordedResponse): readonly string[] => linesOf(writtenAs(part, each));
    const found = repeated(spawned.map(written), warm.map(written));
    if (found === undefined) return [];
    return [{ part, line: found.at + 1, ...excerpts(found.expected, found.seen), repeats: warm.length }];
  });
  return [...fields, ...texts];
}

function repeated(
  spawned: readonly (readonly string[])[],
  warm: readonly (readonly string[])[],
): Mismatch<string> | undefined {
  const [first = []] = spawned;
  const [seen = []] = warm;
  // Where they have different numbers of lines, no line has its place: what counts is a word that can't be chance.
  if (![...spawned, ...warm].every(({ length }) => length === first.length)) return common(spawned, warm);
  for (const [at, expected] of first.entries()) {
    const lines = [spawned, warm].map((all) => all.map((answer) => wordsOf(answer[at] ?? '')));
    const [ofSpawned = [], ofWarm = []] = lines;
    const found = (ofSpawned[0] ?? []).some(
      (_, index) =>
        areDistinct(ofSpawned.map((words) => words[index])) && allEqual(ofWarm.map((words) => words[index])),
    );
    if (found) return { at, expected, seen: seen[at] };
  }
  return undefined;
}

/** Characters of a word that is not the same by chance. */
const LONG = 8;

/** The first line of a forked process's with a long word that all of these have, and no new one. */
function common(
  spawned: readonly (readonly string[])[],
  warm: readonly (readonly string[])[],
): Mismatch<string> | undefined {
  const long = (lines: readonly string[]): Set<string> =>
    new Set(lines.flatMap((line) => wordsOf(line).filter(({ length }) => length >= LONG)));
  const ofNew = long(spawned.flat());
  const [first = [], ...others] = warm;
  const ofOthers = others.map(long);
  const isShared = (word: string): boolean => !ofNew.has(word) && ofOthers.every((words) => words.has(word));
  const at = first.findIndex((line) => [...long([line])].some(isShared));
  return at < 0 ? undefined : { at, expected: undefined, seen: first[at] };
}

function areDistinct(values: readonly unknown[]): boolean {
  return new Set(values).size === values.length;
}
