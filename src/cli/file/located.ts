/** Says in an error which line of the configuration file is at fault. */

import { BridgeError, type ErrorCode, OptionError } from '../../errors.js';
import type { Entry, Item, Place, Section } from './toml.js';

/** So much of a value is shown. */
const MAX_SHOWN = 60;

/** An error that names its place in the file. */
export class LocatedError extends BridgeError {
  readonly place: Place;

  constructor(code: ErrorCode, message: string, place: Place, options: ErrorOptions) {
    super(code, message, options);
    this.name = 'LocatedError';
    this.place = place;
  }
}

/** The sections that say what holds somewhere, nearest first: a site's, and the one before all sections. */
export class Location {
  readonly #file: string;
  readonly #sections: readonly [Section, ...Section[]];

  constructor(file: string, sections: readonly [Section, ...Section[]]) {
    this.#file = file;
    this.#sections = sections;
  }

  /** The error of an entry, or of an item of its list. */
  ofEntry(entry: Entry, why: string, item: Item = entry): LocatedError {
    const place = item === entry ? entry.place : item.place;
    return this.#error(
      'ERR_USAGE',
      place,
      this.#section(entry),
      `${entry.key} = ${shown(item.source)}: ${why}`,
    );
  }

  /** The error of what the nearest section lacks, or has altogether. */
  ofSection(what: string): LocatedError {
    const [section] = this.#sections;
    return this.#error('ERR_USAGE', section.place, section, what);
  }

  /** What was thrown for the sake of what stands here, with its place. */
  of(error: BridgeError): LocatedError {
    const [nearest] = this.#sections;
    const option = error.code === 'ERR_LISTEN' ? 'listen' : error instanceof OptionError ? error.option : '';
    const entry = this.#sections.flatMap(({ entries }) => entries).find(({ key }) => key === option);
    if (!(error instanceof OptionError)) {
      return this.#error(error.code, entry?.place ?? nearest.place, nearest, error.message, error);
    }
    const { value, why } = error;
    const items = entry?.value.kind === 'list' ? entry.value.items : [];
    const item = items.find((each) => each.value.kind === 'text' && each.value.text === value);
    const source = item?.source ?? entry?.source ?? JSON.stringify(value);
    const place = item?.place ?? entry?.place ?? nearest.place;
    const section = entry === undefined ? nearest : this.#section(entry);
    return this.#error(error.code, place, section, `${option} = ${shown(source)}: ${why}`, error);
  }

  #section(entry: Entry): Section {
    return this.#sections.find(({ entries }) => entries.includes(entry)) ?? this.#sections[0];
  }

  #error(code: ErrorCode, place: Place, { source }: Section, what: string, cause?: unknown): LocatedError {
    const where = `${this.#file}:${String(place.line)}:${String(place.column)}:`;
    const message = [where, source, what].filter((part) => part !== '').join(' ');
    return new LocatedError(code, message, place, { cause });
  }
}

function shown(source: string): string {
  const line = source.replaceAll(/\s+/g, ' ');
  return line.length > MAX_SHOWN ? `${line.slice(0, MAX_SHOWN)}…` : line;
}
