/** Finds out which interpreter an invocation's script has, and whether there is a fork server for it. */

import { basename } from 'node:path';

import type { ByteString } from '../../base/bytes.js';
import type { Invocation } from '../../cgi/invocation.js';
import { FirstLines } from '../../process/limits.js';
import { Threads } from '../../base/threads.js';
import type { WaitSignal } from '../../base/timer.js';

export type Language = 'python' | 'perl';

/** A script that a fork server can run. */
export interface InterpretedScript {
  readonly kind: 'interpreted';
  readonly language: Language;
  /** The interpreter and what stands between it and the script, as the system would start it. */
  readonly interpreter: readonly [ByteString, ...ByteString[]];
  /** The programs among these, as they are named. */
  readonly programs: readonly ByteString[];
  readonly script: ByteString;
  readonly args: readonly ByteString[];
}

/** One that is run otherwise, and why. */
export interface OtherProgram {
  readonly kind: 'other';
  readonly reason: string;
}

const languages: readonly (readonly [RegExp, Language])[] = [
  [/^python(3(\.\d+)?)?$/, 'python'],
  [/^perl(5[\d.]*)?$/, 'perl'],
];

/** Options that change nothing in how a script gets its arguments or where its text begins. */
const knownOptions: Readonly<Record<Language, RegExp>> = {
  python: /^-[bBEIOPsSu]+$/,
  perl: /^-([wWXTtU]+|C\d*)$/,
};

/** Looks at the programs of invocations, and remembers what it has found until a program changes. */
export class Interpreters {
  readonly #lines: FirstLines;
  readonly #threads = new Threads();

  constructor(maxRemembered: number) {
    this.#lines = new FirstLines(maxRemembered);
  }

  /** What the program is or, unless it is an interpreter itself, what its first line says. */
  async find(invocation: Invocation, signal?: WaitSignal): Promise<InterpretedScript | OtherProgram> {
    const language = languageOf(invocation.file);
    if (language !== undefined) return interpreted(language, invocation.file, invocation.args);
    const line = await this.#threads.run(() => this.#lines.of(invocation.file), signal);
    return fromFirstLine(invocation, line);
  }
}

function fromFirstLine(
  invocation: Invocation,
  line: ByteString | undefined,
): InterpretedScript | OtherProgram {
  const match = line === undefined ? null : /^#![ \t]*([^ \t]+)(?:[ \t]+(.*?))?[ \t]*$/.exec(line);
  if (match === null) return other('it has no interpreter line');
  const [, interpreter = '', argument] = match;
  const words = argument === undefined ? [] : [argument];
  const inner = basename(interpreter) === 'env' ? fromEnv(argument) : [interpreter, ...words];
  const found = languageOf(inner[0] ?? '');
  if (found === undefined) return other(`its interpreter line is ${line?.slice(2).trim() ?? ''}`);
  // Perl takes its one argument apart as it does its own command line.
  const options = inner.slice(1).flatMap((option) => (found === 'perl' ? option.split(/[ \t]+/) : [option]));
  const strange = options.find((option) => !knownOptions[found].test(option));
  if (strange !== undefined) return other(`its interpreter line has the option ${strange}`);
  const { file: script, args } = invocation;
  const programs = [interpreter, inner[0] ?? interpreter];
  return {
    kind: 'interpreted',
    language: found,
    interpreter: [interpreter, ...words],
    programs,
    script,
    args,
  };
}

/** `python3 OPTION… SCRIPT ARGUMENT…` */
function interpreted(
  language: Language,
  file: ByteString,
  words: readonly ByteString[],
): InterpretedScript | OtherProgram {
  const count = words.findIndex((word) => !word.startsWith('-'));
  const [options, script, args] = [words.slice(0, count), words[count], words.slice(count + 1)];
  if (script === undefined) return other('it is an interpreter without a script');
  const strange = options.find((option) => !knownOptions[language].test(option));
  if (strange !== undefined) return other(`its interpreter has the option ${strange}`);
  return { kind: 'interpreted', language, interpreter: [file, ...options], programs: [file], script, args };
}

/** The program and options that `env` starts, for its two everyday forms. */
function fromEnv(argument = ''): readonly ByteString[] {
  if (!argument.startsWith('-S')) return [argument];
  const words = argument
    .slice(2)
    .trim()
    .split(/[ \t]+/);
  // Whatever has to be unquoted or expanded first is not everyday.
  return words.some((word) => /["'\\$#]/.test(word)) ? [] : words;
}

function languageOf(file: ByteString): Language | undefined {
  return languages.find(([pattern]) => pattern.test(basename(file)))?.[1];
}

function other(reason: string): OtherProgram {
  return { kind: 'other', reason };
}
