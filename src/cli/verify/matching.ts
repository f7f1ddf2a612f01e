/** Tells whether something is like several others, which may differ among themselves: only what they share counts. */

/** Where it is unlike: what the others have there and what it has; undefined where that is nothing. */
export interface Mismatch<T> {
  readonly at: number;
  readonly expected: T | undefined;
  readonly seen: T | undefined;
}

/** Whether an element is like those in its place. */
type Matches<T> = (samples: readonly T[], seen: T) => boolean;

/**
 * The first element of `seen` that is unlike those in its place in all of `samples`. Where these differ in how much they
 * have, only what they all begin and end with has a place.
 */
export function firstMismatch<T>(
  samples: readonly (readonly T[])[],
  seen: readonly T[],
  isLike: Matches<T>,
): Mismatch<T> | undefined {
  const [first = []] = samples;
  const at = (index: number, expected: T | undefined): Mismatch<T> => ({
    at: index,
    expected,
    seen: seen[index],
  });
  if (samples.every(({ length }) => length === first.length)) {
    for (const [index, expected] of first.entries()) {
      const [is, was] = [seen[index], samples.map((sample) => sample[index] ?? expected)];
      if (is === undefined || !isLike(was, is)) return at(index, expected);
    }
    return seen.length > first.length ? at(first.length, undefined) : undefined;
  }
  const { leading, trailing } = commonEnds(samples);
  for (let index = 0; index < leading; index++) {
    if (seen[index] !== first[index]) return at(index, first[index]);
  }
  if (seen.length < leading + trailing) return at(seen.length, first[leading]);
  for (let fromEnd = trailing; fromEnd > 0; fromEnd--) {
    if (seen.at(-fromEnd) !== first.at(-fromEnd)) return at(seen.length - fromEnd, first.at(-fromEnd));
  }
  return undefined;
}

/** Where `samples` differ among themselves: each range by its first and last index. */
export function varyingRanges(
  samples: readonly (readonly unknown[])[],
): readonly (readonly [first: number, last: number])[] {
  const [first = []] = samples;
  if (samples.some(({ length }) => length !== first.length)) {
    const { leading, trailing } = commonEnds(samples);
    const most = Math.max(...samples.map(({ length }) => length));
    return [[leading, most - trailing - 1]];
  }
  const ranges: [number, number][] = [];
  for (const index of first.keys()) {
    if (allEqual(samples.map((sample) => sample[index]))) continue;
    const last = ranges.at(-1);
    if (last?.[1] === index - 1) last[1] = index;
    else ranges.push([index, index]);
  }
  return ranges;
}

/**
 * How many elements all of these begin, and end, with. What there is between them, too, does not count: of something
 * that is repeated as often as it likes, they have the same number by chance.
 */
function commonEnds(samples: readonly (readonly unknown[])[]): { leading: number; trailing: number } {
  const [first = []] = samples;
  const least = Math.min(...samples.map(({ length }) => length));
  let leading = 0;
  while (leading < least && allEqual(samples.map((sample) => sample[leading]))) leading++;
  let trailing = 0;
  while (trailing < least - leading && allEqual(samples.map((sample) => sample.at(-1 - trailing))))
    trailing++;
  const between = new Set(samples.flatMap((sample) => sample.slice(leading, sample.length - trailing)));
  while (leading > 0 && between.has(first[leading - 1])) leading--;
  while (trailing > 0 && between.has(first.at(-trailing))) trailing--;
  return { leading, trailing };
}

export function allEqual(samples: readonly unknown[]): boolean {
  return samples.every((sample) => sample === samples[0]);
}

/** Whether a line is like others: word by word, and what is between words. A word that varies may be any other one. */
export function lineMatches(samples: readonly string[], seen: string): boolean {
  if (allEqual(samples)) return seen === samples[0];
  return firstMismatch(samples.map(wordsOf), wordsOf(seen), wordMatches) === undefined;
}

function wordMatches(samples: readonly string[], seen: string): boolean {
  return !allEqual(samples) || seen === samples[0];
}

/** What `lineMatches` compares: joined, they are the line. */
export function wordsOf(line: string): readonly string[] {
  return line.match(/\w+|\W+/g) ?? [];
}
