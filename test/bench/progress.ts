/** Says what is being done and about how long all will take: in one line of a terminal, else in lines of a log. */

import { mean } from './statistics.js';

/** Work of one kind, in units that take about the same time each. */
interface Kind {
  units: number;
  readonly secondsEach: number[];
  readonly guessSeconds: number;
}

export class Progress {
  readonly #write: (text: string) => void;
  readonly #isTerminal: boolean;
  readonly #kinds = new Map<string, Kind>();

  constructor(stream: { write(text: string): unknown; readonly isTTY?: boolean }) {
    this.#write = (text) => stream.write(text);
    this.#isTerminal = stream.isTTY === true;
  }

  /** Announces so many units of a kind, each of which may take so long. */
  plan(kind: string, units: number, guessSeconds: number): void {
    this.#kinds.set(kind, { units, secondsEach: [], guessSeconds });
  }

  /** Does some units of a kind; gives what comes of it, which `describe` puts in words. */
  async during<T>(
    kind: string,
    units: number,
    run: () => Promise<T>,
    describe: (result: T) => string,
  ): Promise<T> {
    const planned = this.#kinds.get(kind);
    const begun = performance.now();
    const result = await run();
    if (planned !== undefined) {
      planned.units -= units;
      planned.secondsEach.push((performance.now() - begun) / 1000 / units);
    }
    this.say(describe(result));
    return result;
  }

  say(what: string): void {
    const line = `${what}${this.#left()}`;
    this.#write(this.#isTerminal ? `\r\x1b[K${line}` : `${line}\n`);
  }

  /** Leaves the line to what is printed next. */
  end(): void {
    if (this.#isTerminal) this.#write('\r\x1b[K');
  }

  #left(): string {
    const seconds = [...this.#kinds.values()].reduce(
      (sum, { units, secondsEach, guessSeconds }) =>
        sum + units * (secondsEach.length > 0 ? mean(secondsEach) : guessSeconds),
      0,
    );
    if (seconds <= 0) return '';
    return seconds < 90 ? ` (${seconds.toFixed()} s left)` : ` (${(seconds / 60).toFixed()} min left)`;
  }
}
