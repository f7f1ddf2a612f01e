/** Events that would repeat themselves with every request: each comes once. */

type OnEvent = (level: 'info' | 'warn', fields: Readonly<Record<string, unknown>>, message: string) => void;

/** Remembers so many of them; what comes then, comes never. */
export class SaidOnce {
  readonly #max: number;
  readonly #onEvent: OnEvent;
  readonly #said = new Set<string>();

  constructor(max: number, onEvent: OnEvent) {
    this.#max = max;
    this.#onEvent = onEvent;
  }

  say(level: 'info' | 'warn', fields: Readonly<Record<string, string>>, message: string): void {
    const event = JSON.stringify([fields, message]);
    if (this.#said.has(event) || this.#said.size >= this.#max) return;
    this.#said.add(event);
    this.#onEvent(level, fields, message);
  }
}
