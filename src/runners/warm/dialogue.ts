/** What is said between us and a fork server, over its standard streams. */

import { fromBuffer } from '../../bytes.js';
import { describeExit } from '../../process/exit-status.js';
import type { OwnedProcess } from '../../process/owned-process.js';
import { type Answer, decodeAnswer, encodeMessage, type Message } from './messages.js';

/** The longest line that one says: the names and files of all the modules that a script has loaded. */
const MAX_LINE_BYTES = 4_194_304;
/** What is kept of its standard error, to say why it has ended. */
const STDERR_TAIL_BYTES = 1_000;

/** Reads the streams of the process to their end; the process is its owner's. */
export class Dialogue {
  /** Resolves when it has ended and all that it has said was taken; to how, and its last words, for people. */
  readonly over: Promise<string>;

  readonly #process: OwnedProcess;
  readonly #onAnswer: (answer: Answer) => void;
  readonly #onNonsense: (reason: string) => void;
  #line = '';
  #stderr = '';

  constructor(
    process: OwnedProcess,
    onAnswer: (answer: Answer) => void,
    /** It says what can't be understood: it is of no use. */
    onNonsense: (reason: string) => void,
  ) {
    this.#process = process;
    this.#onAnswer = onAnswer;
    this.#onNonsense = onNonsense;
    // EPIPE: it is gone, and its end says why.
    process.stdin.on('error', () => undefined);
    process.stdout.on('data', (octets: Buffer) => {
      this.#take(octets);
    });
    process.stderr.on('data', (octets: Buffer) => {
      this.#stderr = (this.#stderr + octets.toString('utf8')).slice(-STDERR_TAIL_BYTES);
    });
    this.over = this.#end();
  }

  tell(message: Message): void {
    this.#process.stdin.write(encodeMessage(message));
  }

  /** Nothing more will be told. */
  finish(): void {
    this.#process.stdin.end();
  }

  #take(octets: Buffer): void {
    const lines = (this.#line + fromBuffer(octets)).split('\n');
    this.#line = lines.pop() ?? '';
    for (const line of lines) {
      const answer = decodeAnswer(line);
      if (answer === undefined) this.#onNonsense('it said what is no answer');
      else this.#onAnswer(answer);
    }
    if (this.#line.length > MAX_LINE_BYTES) this.#onNonsense('it said too much');
  }

  async #end(): Promise<string> {
    const closed = new Promise((resolve) => this.#process.stdout.once('close', resolve));
    const exit = await this.#process.exited;
    await closed;
    const said = this.#stderr.trim().split('\n').at(-1) ?? '';
    return `its fork server ended with ${describeExit(exit)}${said === '' ? '' : `: ${said}`}`;
  }
}
