/** Reads TOML into sections of keys and values, each of which knows its place in the file; errors name that. */

import { type AST, ParseError, parseTOML } from 'toml-eslint-parser';

import { BridgeError, type ErrorCode, OptionError } from '../../base/errors.js';

/** Both count from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** What stands in the file, and where; lists have items. */
export interface Item {
  readonly place: Place;
  /** As it is written. */
  readonly source: string;
  readonly value: Value;
}

export type Value =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'boolean'; readonly isTrue: boolean }
  | { readonly kind: 'list'; readonly items: readonly Item[] }
  | { readonly kind: 'other' };

/** A key and its value; the place is the key's. */
export interface Entry extends Item {
  readonly key: string;
}

/** The keys under a header; those before the first header are a section without a name. */
export interface Section {
  readonly name: readonly string[];
  readonly place: Place;
  readonly source: string;
  readonly entries: readonly Entry[];
}

/** Why a text is no TOML, and where. */
export class TomlError extends Error {
  readonly place: Place;

  constructor(message: string, place: Place) {
    super(message);
    this.place = place;
  }
}

/** The sections of a text, in their order; the first has no name. @throws TomlError */
export function readToml(text: string): readonly [Section, ...Section[]] {
  const [{ body }] = parse(text).body;
  const top = body.filter((node) => node.type === 'TOMLKeyValue');
  const tables = body.filter((node) => node.type === 'TOMLTable');
  const entry = (node: AST.TOMLKeyValue): Entry => ({
    ...itemOf(text, node.value),
    key: node.key.keys.map(nameOf).join('.'),
    place: placeOf(node),
  });
  return [
    { name: [], place: { line: 1, column: 1 }, source: '', entries: top.map(entry) },
    ...tables.map((table) => ({
      name: table.key.keys.map(nameOf),
      place: placeOf(table),
      source: headerOf(text, table),
      entries: table.body.map(entry),
    })),
  ];
}

function parse(text: string): AST.TOMLProgram {
  try {
    return parseTOML(text, { tomlVersion: '1.0' });
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    throw new TomlError(error.message, { line: error.lineNumber, column: error.column + 1 });
  }
}

function itemOf(text: string, node: AST.TOMLContentNode): Item {
  return { place: placeOf(node), source: text.slice(...node.range), value: valueOf(text, node) };
}

function valueOf(text: string, node: AST.TOMLContentNode): Value {
  if (node.type === 'TOMLArray') {
    return { kind: 'list', items: node.elements.map((element) => itemOf(text, element)) };
  }
  if (node.type === 'TOMLInlineTable') return { kind: 'other' };
  switch (node.kind) {
    case 'string':
      return { kind: 'text', text: node.value };
    case 'integer':
    case 'float':
      return { kind: 'number', text: String(node.value) };
    case 'boolean':
      return { kind: 'boolean', isTrue: node.value };
    default:
      return { kind: 'other' };
  }
}

function nameOf(key: AST.TOMLBare | AST.TOMLQuoted): string {
  return key.type === 'TOMLBare' ? key.name : key.value;
}

function placeOf({ loc }: { loc: AST.SourceLocation }): Place {
  return { line: loc.start.line, column: loc.start.column + 1 };
}

function headerOf(text: string, table: AST.TOMLTable): string {
  const key = text.slice(...table.key.range);
  return table.kind === 'array' ? `[[${key}]]` : `[${key}]`;
}

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
    const source = item?.source ?? entry?.source ?? (value === undefined ? undefined : JSON.stringify(value));
    const place = item?.place ?? entry?.place ?? nearest.place;
    const section = entry === undefined ? nearest : this.#section(entry);
    const what = source === undefined ? `${option} ${why}` : `${option} = ${shown(source)}: ${why}`;
    return this.#error(error.code, place, section, what, error);
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
