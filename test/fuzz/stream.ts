/** One stream of the fuzz command: what is sent, in which cuts, and how its sender leaves. */

import { Corpus } from './corpus.js';
import { mutate } from './mutate.js';
import { Random } from './random.js';

/**
 * What the sender does after its last octet: waits for what it has asked for, ends its side, goes without a word, or
 * never reads and goes.
 */
type Leave = 'wait' | 'end' | 'destroy' | 'deaf';

export interface Stream {
  readonly number: number;
  /** The octets of each turn. */
  readonly turns: readonly Buffer[];
  /** Writes of at most so many octets, each alone; undefined for one write a turn. */
  readonly cut: number | undefined;
  readonly leave: Leave;
  /** One of its scripts may not end by itself. */
  readonly stalls: boolean;
}

/** Makes stream `number` of `seed`, the same each time, for a daemon that runs what lies in `root`. */
export function makeStream(seed: number, number: number, root: string): Stream {
  const random = new Random(seed, number);
  const corpus = new Corpus(root, random);
  const turns = mutate(corpus.turns(), random, corpus).map((records) => Buffer.concat(records));
  const bytes = turns.reduce((sum, octets) => sum + octets.length, 0);
  const leave = random.pick<Leave>(['wait', 'wait', 'wait', 'wait', 'end', 'destroy', 'deaf']);
  const cut = random.once(3) ? (bytes < 400 && random.once(2) ? 1 : 1 + random.below(2_000)) : undefined;
  // A large stream in many writes takes its time and shows nothing that a smaller one does not.
  const { stalls } = corpus;
  return { number, turns, leave, stalls, cut: cut !== undefined && bytes / cut > 500 ? undefined : cut };
}
