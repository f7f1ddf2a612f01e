/** Compares how a request was answered by a forked process with how new processes have answered it. */

import { toText } from '../../bytes.js';
import { visible } from '../../observe/escape.js';
import type { Answered } from './answered.js';
import { areSame, deviation, isLikeLine, varying } from './likeness.js';

/** A difference; texts are for people. What one of the two does not have is null. */
export interface Difference {
  readonly part: 'status' | 'field' | 'body' | 'standard error' | 'exit' | 'end';
  /** Of the header field. */
  readonly name?: string;
  /** Of the body or standard error, from 1 on; undefined where it lies beyond what was kept of them. */
  readonly line?: number;
  readonly spawn: string | null;
  readonly warm: string | null;
}

/** What of a line is shown before the place where it differs, and in all. */
const BEFORE = 40;
const SHOWN = 160;

/** How `warm` differs from what all of `spawned`, which are two at least, have in common: once for each part. */
export function differences(spawned: readonly Answered[], warm: Answered): readonly Difference[] {
  const plain = (['status', 'exit', 'end'] as const).flatMap((part): Difference[] => {
    const samples = spawned.map((each) => String(each[part]));
    const seen = String(warm[part]);
    return !areSame(samples) || samples[0] === seen ? [] : [{ part, spawn: samples[0] ?? null, warm: seen }];
  });
  return [
    ...plain,
    ...fieldDifferences(spawned, warm),
    ...textDifferences('body', spawned, warm),
    ...textDifferences('standard error', spawned, warm),
  ];
}

/** What differs between new processes already, for people: `field etag`, `body, lines 3 to 5`. */
export function variations(spawned: readonly Answered[]): readonly string[] {
  const plain = (['status', 'exit', 'end'] as const).filter(
    (part) => !areSame(spawned.map((each) => each[part])),
  );
  const fields = fieldNames(spawned).filter((name) => !areSame(spawned.map((each) => each.fields.get(name))));
  return [
    ...plain,
    ...fields.map((name) => `field ${name}`),
    ...varyingLines('body', spawned),
    ...varyingLines('standard error', spawned),
  ];
}

function fieldDifferences(spawned: readonly Answered[], warm: Answered): readonly Difference[] {
  return fieldNames([...spawned, warm]).flatMap((name): Difference[] => {
    const samples = spawned.map(({ fields }) => fields.get(name));
    const seen = warm.fields.get(name);
    const [sample] = samples;
    const texts = samples.filter((value) => value !== undefined);
    // Where some have it and others not, it may be either way.
    const isLike =
      seen === undefined ? texts.length < samples.length : texts.length > 0 && isLikeLine(texts, seen);
    if (isLike) return [];
    const shown = (value: string | undefined): string | null =>
      value === undefined ? null : visible(toText(value));
    return [{ part: 'field', name, spawn: shown(sample), warm: shown(seen) }];
  });
}

function fieldNames(answers: readonly Answered[]): readonly string[] {
  return [...new Set(answers.flatMap(({ fields }) => [...fields.keys()]))];
}

type TextPart = 'body' | 'standard error';

function writtenAs(part: TextPart, answer: Answered): Answered['body'] {
  return part === 'body' ? answer.body : answer.stderr;
}

function textDifferences(
  part: TextPart,
  spawned: readonly Answered[],
  answer: Answered,
): readonly Difference[] {
  const samples = spawned.map((each) => writtenAs(part, each));
  const warm = writtenAs(part, answer);
  if (samples.some(({ sha256 }) => sha256 === warm.sha256)) return [];
  const lines = samples.map(linesOf);
  const found = deviation(lines, linesOf(warm), isLikeLine);
  if (found !== undefined) {
    const { at, expected, seen } = found;
    return [{ part, line: at + 1, ...excerpts(expected, seen) }];
  }
  const isKept = [...samples, warm].every(({ beginning, bytes }) => beginning.length === bytes);
  if (isKept || !areSame(samples.map(({ sha256 }) => sha256))) return [];
  const shown = ({ bytes, sha256 }: Answered['body']): string => `${String(bytes)} octets, SHA-256 ${sha256}`;
  return [{ part, spawn: samples[0] === undefined ? null : shown(samples[0]), warm: shown(warm) }];
}

function varyingLines(part: TextPart, spawned: readonly Answered[]): readonly string[] {
  const places = varying(spawned.map((each) => linesOf(writtenAs(part, each))));
  if (places.length === 0) return [];
  const shown = places.map(([first, last]) =>
    first === last ? String(first + 1) : `${String(first + 1)} to ${String(last + 1)}`,
  );
  return [`${part}, line${shown.length === 1 && !shown[0]?.includes(' ') ? '' : 's'} ${shown.join(', ')}`];
}

/** Each with its end, so that a last line without one is another one. */
function linesOf({ beginning }: Answered['body']): readonly string[] {
  return beginning.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

/** Two lines, cut to where they differ. */
function excerpts(
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
