/** How fast a queue moves: foretells how long its next turns take, by those that it had of late. */

/** The number of turns, and at least one of each slot, that have to be known before a wait is foretold. */
const FEWEST_TURNS = 8;
/** Twice as many are remembered; of a fast queue, all of the last sixth of the time that one may wait. */
const REMEMBERED = 2;
const REMEMBERED_PART = 6;
/** A twelfth of that time the queue must have moved before: those who come at once in their hundreds hold it up at first. */
const MOVING_PART = 12;

/**
 * With 32 slots and 30 s to wait, nothing is foretold until 32 turns are known and 2.5 s have passed. If these 32 turns took
 * 4 s, the next 100 take 12.9.
 */
export class QueueRate {
  readonly #timeoutMs: number;
  readonly #fewest: number;
  /** When the last turns were, by `performance.now()`. */
  #turns: number[] = [];

  /** Of a queue for that many slots, in which one waits for `timeoutMs` at most. */
  constructor(slots: number, timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#fewest = Math.max(FEWEST_TURNS, slots);
  }

  /** Nobody waits any more: what was known of the queue tells nothing of the next one. */
  forget(): void {
    this.#turns = [];
  }

  noteTurn(): void {
    const now = performance.now();
    this.#turns.push(now);
    const isOld = now - (this.#turns[0] ?? now) > this.#timeoutMs / REMEMBERED_PART;
    if (isOld && this.#turns.length > REMEMBERED * this.#fewest) this.#turns.shift();
  }

  /** How long this number of turns takes, if slots become free as they did of late; 0 if that is not known. */
  msOf(turns: number): number {
    const [since = 0] = this.#turns;
    const count = this.#turns.length - 1;
    const takenMs = performance.now() - since;
    const isKnown = count + 1 >= this.#fewest && takenMs >= this.#timeoutMs / MOVING_PART;
    return isKnown ? (turns * takenMs) / count : 0;
  }
}
