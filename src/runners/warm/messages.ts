/**
 * What the bridge and a fork server say to each other, over the two pipes that are its standard input and output. It
 * is started in the working directory of all of its requests.
 *
 * To the fork server: the length in four octets (big-endian), then fields that end with a NUL octet each; a list is its
 * length and its elements, a variable is NAME=VALUE.
 *
 *     load DIRECTORY [START…] [VARIABLE…] [MODULE=FILE…] [LIMIT=VALUE…] [PROGRAM…]
 *                                                           first of all: where to make pipes, the variables that it was
 *                                                           started with, those of the request that it is started for,
 *                                                           what to load ahead, what each process may use, and which
 *                                                           programs the system starts before the script
 *     run ID learn|- WORKING-DIRECTORY [ARGUMENT…] [VARIABLE…]
 *
 * From it: lines of words, in which `%`, space and newline are percent-encoded.
 *
 *     ready NAME…         the names of variables that were read while it loaded
 *     unfit REASON        it ends; the script is to be run otherwise
 *     forked ID PID NAME  its pipes are NAME.in, NAME.out and NAME.err; it begins when they are open, and NAME.in removed;
 *                         the NAME of one that was forked where the script had got ready begins with a `p`
 *     refused ID REASON   nothing was forked, or what was forked has ended; without meaning after `forked`
 *     stale ID FILE       nothing was forked: what was loaded is no longer what is on the disk
 *     ended PID STATUS    as waitpid(2) has it
 *     learned MODULE=FILE…
 *     unprepared REASON   no process waits with the script got ready, for what the reason names
 *
 * With a Python module's FILE stands what the script had changed before it imported the module, each as NAME=VALUE after
 * an octet 1.
 */

import { type ByteString, fromBuffer, percentDecode, toBuffer } from '../../base/bytes.js';
import { describeExit, type ExitStatus, exitStatusOfWait } from '../../process/exit-status.js';
import type { ScriptProcess } from '../script-run.js';

export type Variables = ReadonlyMap<ByteString, ByteString>;

export type Message =
  | {
      readonly kind: 'load';
      /** Where named pipes are to be made. */
      readonly directory: ByteString;
      readonly start: Variables;
      readonly variables: Variables;
      readonly modules: Variables;
      /** What each process may use, the `values` of `SetLimits`. */
      readonly limits: Variables;
      /** As the script names them: found by PATH where they have no slash. */
      readonly programs: readonly ByteString[];
    }
  | {
      readonly kind: 'run';
      readonly id: string;
      readonly learn: boolean;
      readonly directory: ByteString;
      readonly args: readonly ByteString[];
      readonly variables: Variables;
    };

export type Answer =
  | { readonly kind: 'ready'; readonly variables: readonly ByteString[] }
  | { readonly kind: 'unfit' | 'unprepared'; readonly reason: ByteString }
  | { readonly kind: 'forked'; readonly id: string; readonly pid: number; readonly name: ByteString }
  | { readonly kind: 'refused' | 'stale'; readonly id: string; readonly reason: ByteString }
  | { readonly kind: 'ended'; readonly pid: number; readonly exit: ExitStatus }
  | { readonly kind: 'learned'; readonly modules: Variables };

/** A message's octets. No field may hold a NUL octet. */
export function encodeMessage(message: Message): Buffer {
  const fields = toBuffer(
    fieldsOf(message)
      .map((field) => `${field}\0`)
      .join(''),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32BE(fields.length);
  return Buffer.concat([length, fields]);
}

function fieldsOf(message: Message): readonly ByteString[] {
  const { kind, directory, variables } = message;
  if (kind === 'run') {
    const { id, learn, args } = message;
    return [kind, id, learn ? 'learn' : '-', directory, ...list(args), ...pairs(variables)];
  }
  const { start, modules, limits, programs } = message;
  return [kind, directory, ...[start, variables, modules, limits].flatMap(pairs), ...list(programs)];
}

const list = (words: readonly ByteString[]): readonly ByteString[] => [String(words.length), ...words];

function pairs(variables: Variables): readonly ByteString[] {
  return list([...variables].map(([name, value]) => `${name}=${value}`));
}

/** Those without a value were not there. */
export type SeenVariables = ReadonlyMap<ByteString, ByteString | undefined>;

/** Whether what was loaded for the values that were seen is what would be loaded for these. */
export function fits(seen: SeenVariables, variables: Variables): boolean {
  for (const [name, value] of seen) {
    if (variables.get(name) !== value) return false;
  }
  return true;
}

/** An answer from its line, without the newline; undefined if it is none. */
export function decodeAnswer(line: ByteString): Answer | undefined {
  const [kind = '', ...words] = line.split(' ').map(percentDecode);
  const [first = '', second = '', third = ''] = words;
  switch (kind) {
    case 'ready':
      return { kind, variables: words };
    case 'unfit':
    case 'unprepared':
      return { kind, reason: first };
    case 'forked':
      return isProcess(second) ? { kind, id: first, pid: Number(second), name: third } : undefined;
    case 'refused':
    case 'stale':
      return { kind, id: first, reason: second };
    case 'ended':
      if (!isProcess(first) || !/^\d{1,9}$/.test(second)) return undefined;
      return { kind, pid: Number(first), exit: exitStatusOfWait(Number(second)) };
    case 'learned':
      return { kind, modules: new Map(words.map(splitPair)) };
    default:
      return undefined;
  }
}

/** Whether it is the id of a process that may be ended: 0 and 1 as a group are our own, and all that there are. */
function isProcess(word: ByteString): boolean {
  return /^\d{1,9}$/.test(word) && Number(word) > 1;
}

/** Of a module that requests find in different files: it is not loaded ahead. */
const NOWHERE = '';

/**
 * What two requests have taught of a module, its FILE and what had changed. Where only one of them has changed something,
 * the module may not look at that: it is then said to have become what nothing else is.
 */
export function mergeLessons(one: ByteString, other: ByteString): ByteString {
  const [[file, ...changes], [otherFile, ...others]] = [one.split('\x01'), other.split('\x01')];
  if (file !== otherFile) return NOWHERE;
  const same = changes.filter((change) => others.includes(change));
  const differing = [...changes, ...others].filter((change) => !same.includes(change));
  const names = new Set(differing.map((change) => change.slice(0, change.indexOf('=') + 1)));
  return [file, ...same, ...[...names].map((name) => `${name}\x02`)].join('\x01');
}

function splitPair(word: ByteString): [ByteString, ByteString] {
  const equals = word.indexOf('=');
  return [word.slice(0, equals), word.slice(equals + 1)];
}

/** The reason that an answer gives, for people. */
export function reasonText(reason: ByteString): string {
  return toBuffer(reason).toString('utf8');
}

/** The longest line that one says: the names and files of all the modules that a script has loaded. */
const MAX_LINE_BYTES = 4_194_304;
/** What is kept of its standard error, to say why it has ended. */
const STDERR_TAIL_BYTES = 1_000;

/** Reads the streams of the process to their end; the process is its owner's. */
export class ForkServerChannel {
  /** Resolves when it has ended and all that it has said was taken; to how, and its last words, for people. */
  readonly over: Promise<string>;

  readonly #process: ScriptProcess;
  readonly #onAnswer: (answer: Answer) => void;
  readonly #onProtocolError: (reason: string) => void;
  #line = '';
  #stderr = '';

  constructor(
    process: ScriptProcess,
    onAnswer: (answer: Answer) => void,
    /** It says what can't be understood: it is of no use. */
    onProtocolError: (reason: string) => void,
  ) {
    this.#process = process;
    this.#onAnswer = onAnswer;
    this.#onProtocolError = onProtocolError;
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
      if (answer === undefined) this.#onProtocolError('it sent a line that is no answer');
      else this.#onAnswer(answer);
    }
    if (this.#line.length > MAX_LINE_BYTES) this.#onProtocolError('it said too much');
  }

  async #end(): Promise<string> {
    const closed = new Promise((resolve) => this.#process.stdout.once('close', resolve));
    const exit = await this.#process.exited;
    await closed;
    const said = this.#stderr.trim().split('\n').at(-1) ?? '';
    return `its fork server ended with ${describeExit(exit)}${said === '' ? '' : `: ${said}`}`;
  }
}
