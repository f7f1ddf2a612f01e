/** Which keys a configuration file has, and what their values may be: what the options of the command line are. */

import { closestMatch } from 'leven';
import type { Options } from 'yargs';

import { commonOptions, daemonOptions } from '../options/common.js';
import { siteKinds } from '../site-kinds.js';
import type { Item } from './toml.js';

type OptionTable = Readonly<Record<string, Options>>;

const kinds: Readonly<Record<string, { readonly options: OptionTable }>> = siteKinds;

/** Keys of a site whatever its kind. */
export const siteKeys: OptionTable = Object.fromEntries(
  Object.entries(commonOptions).filter(([name]) => !(name in daemonOptions)),
);

/** The key that says what a site is. */
export const kindKey: Options = { choices: Object.keys(siteKinds), demandOption: true };

/** Every site says for itself where it listens. */
const ownKeys = ['kind', 'listen'];

/** Keys before the first section: those of the daemon, and defaults of the sites. */
export const topKeys: OptionTable = {
  ...daemonOptions,
  ...Object.fromEntries(Object.entries(siteKeys).filter(([name]) => !ownKeys.includes(name))),
};

/** Keys of a site of this kind; of an unknown kind, all that any kind has. */
export function keysOfKind(kind: string | undefined): OptionTable {
  const own =
    kind === undefined ? Object.values(kinds).map(({ options }) => options) : [kinds[kind]?.options];
  const listen = { ...commonOptions.listen, demandOption: true };
  return Object.assign({ kind: kindKey }, ...own, siteKeys, { listen }) as OptionTable;
}

/** Why a key may not stand before the first section. */
export function whyNotOnTop(key: string): string {
  return key in keysOfKind(undefined)
    ? 'this is a key of a site; expected in a section [site.NAME]'
    : unknown(key, Object.keys(topKeys));
}

/** Why a site of this kind may not have a key. */
export function whyNotInSite(key: string, kind: string | undefined): string {
  if (key in daemonOptions) return 'this is a key of the whole daemon; expected before the first section';
  const other = Object.keys(kinds).find((name) => key in (kinds[name]?.options ?? {}));
  if (other !== undefined) return `this is a key of kind "${other}", and the site is of kind "${kind ?? ''}"`;
  return unknown(key, Object.keys(keysOfKind(kind)));
}

function unknown(key: string, known: readonly string[]): string {
  return `there is no such key${didYouMean(key, known)}`;
}

function didYouMean(found: string, known: readonly string[]): string {
  const match = closestMatch(found, known, { maxDistance: Math.max(2, Math.floor(found.length / 3)) });
  return match === undefined ? '' : `; did you mean ${match}?`;
}

/** What an option's value is in the form that the command line gives it, or why it can't be. */
export type Checked = { readonly given: unknown } | { readonly why: string; readonly item: Item };

/** Checks a value against its option. */
export function checkValue(option: Options, item: Item): Checked {
  const wrong = (why: string, at = item): Checked => ({ why, item: at });
  const { value } = item;
  if (option.array === true) {
    const items = value.kind === 'list' ? value.items : [item];
    const texts: string[] = [];
    for (const each of items) {
      if (each.value.kind !== 'text') return wrong('expected text in quotes, or a list of such', each);
      if (each.value.text === '') return wrong('this is empty; expected a value', each);
      texts.push(each.value.text);
    }
    return { given: texts };
  }
  if (option.type === 'boolean') {
    return value.kind === 'boolean' ? { given: value.isTrue } : wrong('expected true or false');
  }
  const text = textOf(option, item);
  if (text === undefined) return wrong(`expected text in quotes${exampleOf(option)}`);
  if (option.choices !== undefined) {
    const choices = option.choices as readonly string[];
    const expected = choices.map((choice) => `"${choice}"`).join(', ');
    return choices.includes(text)
      ? { given: text }
      : wrong(`expected one of ${expected}${didYouMean(text, choices)}`);
  }
  if (text === '' && option.default !== '') return wrong('this is empty; expected a value');
  return { given: text };
}

/** Quantities may stand without quotes where they are numbers; permissions may not, since TOML's octal is another. */
function textOf({ default: usual }: Options, { value }: Item): string | undefined {
  if (value.kind === 'text') return value.text;
  const isQuantity = typeof usual === 'string' && /^(0|[1-9]\d*[a-z]*)$/.test(usual);
  return value.kind === 'number' && isQuantity ? value.text : undefined;
}

function exampleOf({ default: usual }: Options): string {
  return typeof usual === 'string' && usual !== '' ? `, as in "${usual}"` : '';
}
