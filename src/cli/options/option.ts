/**
 * What an option is. The tables of this folder have one row for each: yargs, the help, the keys of TOML files and the
 * typed configuration are made of the rows.
 */

import { closestMatch } from 'leven';

import { OptionError } from '../../base/errors.js';

type GivenValue = string | boolean | readonly string[];

/** What was given, by the names of options, as it was written; defaults are not in it. */
export type Given = ReadonlyMap<string, GivenValue>;

/** What somebody may have meant who wrote what is not known, as the end of a message; empty without anything like it. */
export function didYouMean(found: string, known: readonly string[]): string {
  const match = closestMatch(found, known, { maxDistance: Math.max(2, Math.floor(found.length / 3)) });
  return match === undefined ? '' : `; did you mean ${match}?`;
}

/** Which option a text is of. */
export interface Place {
  readonly option: string;
  /** What an error calls it. */
  readonly shown: string;
  /** An absolute path, from which relative ones count. */
  readonly directory: string;
}

/** What a text means. @throws OptionError for one that means nothing */
export interface Parser<T> {
  (text: string, place: Place): T;
  /** All texts that mean something, where these are few. */
  readonly choices?: readonly string[];
  /** Whether a text may be a number, or a number and its unit: a TOML file may have that number without quotes. */
  readonly isNumeric?: boolean;
}

/** What `parse` makes of a text: one element, or none where the text is wrong and that was reported. */
type Read = <T>(text: string, parse: Parser<T>) => readonly T[];

/** A row of a table; its scope is that of the table. */
export interface Option<T> {
  /** The heading in the help; empty for what is the command's own. */
  readonly group: string;
  /** Without dashes; also the key in a TOML file. */
  readonly name: string;
  readonly form: 'flag' | 'text' | 'list';
  readonly choices?: readonly string[] | undefined;
  readonly isNumeric?: boolean | undefined;
  /** As it would be written. */
  readonly default?: string | undefined;
  /** What the help says in place of a default. */
  readonly shownDefault?: string | undefined;
  readonly isRequired?: boolean;
  /** Whether it has no name on the command line; errors call it by its name in capitals then. */
  readonly isArgument?: boolean;
  readonly description: string;
  readonly read: (given: GivenValue | undefined, read: Read) => T;
}

/** Rows by the properties of what they are read to, which may be nested. */
export interface OptionTable {
  readonly [property: string]: Option<unknown> | OptionTable;
}

/** What a table's options are read to. */
export type Values<Table> = {
  readonly [Property in keyof Table]: Table[Property] extends Option<infer T> ? T : Values<Table[Property]>;
};

/** A value that is there without being given. */
export function value<T>(
  group: string,
  name: string,
  parse: Parser<T>,
  usual: string,
  description: string,
): Option<T> {
  // Where it is wrong and that was reported, nobody uses what is read.
  const read = (given: GivenValue = usual, attempt: Read): T => attempt(String(given), parse)[0] as T;
  const { choices, isNumeric } = parse;
  return { group, name, form: 'text', choices, isNumeric, default: usual, description, read };
}

/** A value that may be missing, which is undefined then; `shownDefault` says what holds instead. */
export function optional<T>(
  group: string,
  name: string,
  parse: Parser<T>,
  description: string,
  shownDefault?: string,
): Option<T | undefined> {
  const read = (given: GivenValue | undefined, attempt: Read): T | undefined =>
    given === undefined ? undefined : attempt(String(given), parse)[0];
  const { choices, isNumeric } = parse;
  return { group, name, form: 'text', choices, isNumeric, shownDefault, description, read };
}

/** A value that has to be given. */
export function required<T>(group: string, name: string, parse: Parser<T>, description: string): Option<T> {
  return { ...value(group, name, parse, '', description), default: undefined, isRequired: true };
}

/** A value each time that it is given. */
export function list<T>(
  group: string,
  name: string,
  parse: Parser<T>,
  description: string,
  shownDefault?: string,
): Option<readonly T[]> {
  const read = (given: GivenValue = [], attempt: Read): readonly T[] =>
    [given].flat().flatMap((text) => attempt(String(text), parse));
  return { group, name, form: 'list', shownDefault, description, read };
}

export function flag(group: string, name: string, description: string): Option<boolean> {
  return { group, name, form: 'flag', description, read: (given) => given === true };
}

/** The same as an argument of the command line, which has no name there. */
export function argument<T>(row: Option<T>): Option<T> {
  return { ...row, isArgument: true };
}

function isOption(row: Option<unknown> | OptionTable): row is Option<unknown> {
  return typeof row.read === 'function';
}

export function rowsOf(table: OptionTable): readonly Option<unknown>[] {
  return Object.values(table).flatMap((row) => (isOption(row) ? [row] : rowsOf(row)));
}

export interface Reading {
  /** Told of each value that can't be used, and may throw; if it does not, what is read is of no use. */
  readonly report: (problem: OptionError) => void;
  /** What relative paths of an option count from. */
  readonly directoryOf: (option: string) => string;
}

/** Throws at the first value that can't be used; relative paths count from the working directory. */
export const atOnce: Reading = {
  report: (problem) => {
    throw problem;
  },
  directoryOf: () => process.cwd(),
};

/** Reads what was given for the options of a table, or else their defaults. @throws what `report` throws */
export function readOptions<Table extends OptionTable>(
  table: Table,
  given: Given,
  reading: Reading = atOnce,
): Values<Table> {
  const values = Object.entries(table).map(([property, row]) => [
    property,
    isOption(row) ? readOption(row, given, reading) : readOptions(row, given, reading),
  ]);
  return Object.fromEntries(values) as Values<Table>;
}

function readOption({ name, isArgument, read }: Option<unknown>, given: Given, reading: Reading): unknown {
  const shown = isArgument === true ? name.toUpperCase() : `--${name}`;
  return read(given.get(name), (text, parse) => {
    try {
      return [parse(text, { option: name, shown, directory: reading.directoryOf(name) })];
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
      reading.report(error);
      return [];
    }
  });
}
