/** Which keys a configuration file has, and what their values may be: what the options of the command line are. */

import { daemonOptions } from '../options/command-options.js';
import { siteKindNames, siteKinds, type SiteKindName } from '../options/site-kinds.js';
import { didYouMean, type Option, required, rowsOf } from '../options/option.js';
import { oneOf } from '../options/parsers.js';
import { siteOptions } from '../options/site-options.js';
import type { Item } from './toml.js';

type Keys = ReadonlyMap<string, Option<unknown>>;

const keysOf = (rows: readonly Option<unknown>[]): Keys => new Map(rows.map((row) => [row.name, row]));

/** What a site must say for itself: what it is, and where it listens. */
export const ownKeys = keysOf([
  required('', 'kind', oneOf(...siteKindNames), 'What the site is'),
  { ...siteOptions.listen, isRequired: true },
]);

const daemonKeys = keysOf(rowsOf(daemonOptions));

/** Keys before the first section: those of the daemon, and defaults of the sites. */
export const topKeys = keysOf([
  ...daemonKeys.values(),
  ...rowsOf(siteOptions).filter(({ name }) => !ownKeys.has(name)),
]);

/** Keys of a site of this kind; of an unknown kind, all that any kind has. */
export function keysOfKind(kind: SiteKindName | undefined): Keys {
  const kinds = kind === undefined ? siteKindNames : [kind];
  return new Map([
    ...keysOf(kinds.flatMap((each) => rowsOf(siteKinds[each]))),
    ...keysOf(rowsOf(siteOptions)),
    ...ownKeys,
  ]);
}

/** Why a key may not stand before the first section. */
export function whyNotOnTop(key: string): string {
  return keysOfKind(undefined).has(key)
    ? 'this is a key of a site; expected in a section [site.NAME]'
    : unknown(key, topKeys);
}

/** Why a site of this kind may not have a key. */
export function whyNotInSite(key: string, kind: SiteKindName | undefined): string {
  if (daemonKeys.has(key)) return 'this is a key of the whole daemon; expected before the first section';
  const other = siteKindNames.find((name) => rowsOf(siteKinds[name]).some((row) => row.name === key));
  if (other !== undefined) return `this is a key of kind "${other}", and the site is of kind "${kind ?? ''}"`;
  return unknown(key, keysOfKind(kind));
}

function unknown(key: string, known: Keys): string {
  return `there is no such key${didYouMean(key, [...known.keys()])}`;
}

/** What an option's value is in the form that the command line gives it, or why it can't be. */
export type Checked =
  | { readonly given: string | boolean | readonly string[] }
  | { readonly why: string; readonly item: Item };

export function checkValue(option: Option<unknown>, item: Item): Checked {
  const wrong = (why: string, at = item): Checked => ({ why, item: at });
  const { form, choices, isNumeric, default: usual = '' } = option;
  const { value } = item;
  if (form === 'list') {
    const items = value.kind === 'list' ? value.items : [item];
    if (option.isRequired === true && items.length === 0) return wrong('this is empty; expected a value');
    const texts: string[] = [];
    for (const each of items) {
      if (each.value.kind !== 'text') return wrong('expected text in quotes, or a list of such', each);
      if (each.value.text === '') return wrong('this is empty; expected a value', each);
      texts.push(each.value.text);
    }
    return { given: texts };
  }
  if (form === 'flag') {
    return value.kind === 'boolean' ? { given: value.isTrue } : wrong('expected true or false');
  }
  // Permissions have to be quoted, since TOML's octal is another.
  const isText = value.kind === 'text' || (value.kind === 'number' && isNumeric === true);
  const text = isText ? value.text : undefined;
  if (text === undefined) return wrong(`expected text in quotes${usual === '' ? '' : `, as in "${usual}"`}`);
  if (choices !== undefined) {
    const expected = choices.map((choice) => `"${choice}"`).join(', ');
    return choices.includes(text)
      ? { given: text }
      : wrong(`expected one of ${expected}${didYouMean(text, choices)}`);
  }
  if (text === '' && option.default !== '') return wrong('this is empty; expected a value');
  return { given: text };
}
