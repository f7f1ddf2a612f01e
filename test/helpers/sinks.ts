/** Readers of different speed, as a script or a web server may be. */

import { Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';

/** Keeps what it takes. */
export class Collector extends Writable {
  readonly #chunks: Buffer[] = [];

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#chunks.push(chunk);
    done();
  }

  get octets(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get text(): string {
    return this.octets.toString('latin1');
  }
}

/** Takes a piece and no other until it is told to go on; remembers how much waited for it at most. */
export class SlowReader extends Writable {
  takenBytes = 0;
  mostWaiting = 0;
  #goOn: (() => void) | undefined;
  #isHeldUp: boolean;

  constructor({ heldUp = false } = {}) {
    super();
    this.#isHeldUp = heldUp;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.mostWaiting = Math.max(this.mostWaiting, this.writableLength);
    const take = (): void => {
      this.takenBytes += chunk.length;
      done();
    };
    if (this.#isHeldUp) this.#goOn = take;
    else setImmediate(take);
  }

  goOn(): void {
    this.#isHeldUp = false;
    this.#goOn?.();
  }
}

/** Resolves when all that follows from what has happened so far has happened, as far as no other process is asked. */
export async function settled(): Promise<void> {
  for (let turns = 0; turns < 10; turns++) await turn();
}
