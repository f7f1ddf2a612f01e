/** Reads the values of options, one by one, in whatever place they were given. */

import { resolve } from 'node:path';

import { type ByteString, fromText } from '../bytes.js';
import { OptionError } from '../errors.js';
import { count, durationMs, fileMode, sizeBytes } from './units.js';

/** What was given, by the names of options, defaults included; what takes a value is text until it is read here. */
export type GivenOptions = Readonly<Record<string, unknown>>;

export class OptionReader {
  readonly #given: GivenOptions;
  readonly #report: (problem: OptionError) => void;
  readonly #directoryOf: (option: string) => string;

  /**
   * `report` is told of each value that can't be used, and may throw; if it does not, what is read is of no use.
   * Relative paths count from `directoryOf` their option.
   */
  constructor(
    given: GivenOptions,
    {
      report = (problem) => {
        throw problem;
      },
      directoryOf = () => process.cwd(),
    }: { report?: (problem: OptionError) => void; directoryOf?: (option: string) => string } = {},
  ) {
    this.#given = given;
    this.#report = report;
    this.#directoryOf = directoryOf;
  }

  text(option: string): string | undefined {
    return this.#given[option] as string | undefined;
  }

  /** The text of an option that is required or has a default. */
  required(option: string): string {
    return this.text(option) ?? '';
  }

  texts(option: string): readonly string[] {
    return (this.#given[option] as readonly string[] | undefined) ?? [];
  }

  flag(option: string): boolean {
    return this.#given[option] === true;
  }

  /** An absolute path. */
  path(option: string): string | undefined {
    const value = this.text(option);
    return value === undefined ? undefined : this.#resolve(option, value);
  }

  /** An absolute path, octet by octet. */
  bytePath(option: string): ByteString | undefined {
    const path = this.path(option);
    return path === undefined ? undefined : fromText(path);
  }

  /** An absolute path, octet by octet, of an option that is required. */
  requiredPath(option: string): ByteString {
    return fromText(this.#resolve(option, this.required(option)));
  }

  /** A program: a name to look up in PATH, or an absolute path. */
  program(option: string): string {
    const value = this.required(option);
    return value.includes('/') ? this.#resolve(option, value) : value;
  }

  durationMs(option: string): number {
    return this.read(0, () => durationMs(option, this.required(option)));
  }

  sizeBytes(option: string): number {
    return this.read(0, () => sizeBytes(option, this.required(option)));
  }

  count(option: string, least: number, most?: number): number {
    return this.read(0, () => count(option, this.required(option), least, most));
  }

  fileMode(option: string): number {
    return this.read(0, () => fileMode(option, this.required(option)));
  }

  /** What `read` makes of each text of a list; `directory` is what relative paths count from. */
  each<T>(option: string, read: (text: string, directory: string) => T): readonly T[] {
    const directory = this.#directoryOf(option);
    return this.texts(option).flatMap((text) => this.read<T[]>([], () => [read(text, directory)]));
  }

  /** What `read` makes of an option, if it was given; `directory` is what relative paths count from. */
  one<T>(option: string, read: (text: string, directory: string) => T): T | undefined {
    const given = this.text(option);
    return given === undefined
      ? undefined
      : this.read(undefined, () => read(given, this.#directoryOf(option)));
  }

  /** What `read` returns, or `instead` where it throws an error that was reported. */
  read<T>(instead: T, read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
      this.#report(error);
      return instead;
    }
  }

  #resolve(option: string, path: string): string {
    return resolve(this.#directoryOf(option), path);
  }
}
