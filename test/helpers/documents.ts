/** What the manual page, the help and README.md say, taken apart so that a test can compare them. */

import { readdirSync, readFileSync } from 'node:fs';

import { runHere } from './run-here.js';

const top = new URL('../../../', import.meta.url);

/** A file of the project, named from its top level. */
export const textOf = (name: string): string => readFileSync(new URL(name, top), 'utf8');

/** The files below a directory of the project, named from its top level; `directory` ends with a slash. */
export function filesBelow(directory: string): string[] {
  return readdirSync(new URL(directory, top), { withFileTypes: true })
    .flatMap((entry) =>
      entry.isDirectory() ? filesBelow(`${directory}${entry.name}/`) : [directory + entry.name],
    )
    .sort();
}

/** The source of the program, by its files. */
export const sources: ReadonlyMap<string, string> = new Map(
  filesBelow('src/')
    .filter((path) => path.endsWith('.ts'))
    .map((path) => [path, textOf(path)]),
);

/** The lines of the manual page, without its comments. */
export const manual = textOf('src/man/fcgi2cgi.8').replaceAll(/^\.\\".*\n/gm, '');

export const readme = textOf('README.md');

/** What stands between a heading and the next one of its kind: `Sh` for sections, `Ss` for their parts. */
export function parts(text: string, macro: 'Sh' | 'Ss'): ReadonlyMap<string, string> {
  const [, ...found] = text.split(new RegExp(`^\\.${macro} `, 'm'));
  return new Map(
    found.map((part) => {
      const end = part.indexOf('\n');
      return [part.slice(0, end), part.slice(end + 1)];
    }),
  );
}

const sections = parts(manual, 'Sh');

/** A section of the manual. */
export function section(name: string): string {
  const text = sections.get(name);
  if (text === undefined) throw new Error(`the manual has no section ${name}`);
  return text;
}

/** The items of a list by the name that a macro marks, each with its text. */
export function items(text: string, macro: RegExp): [name: string, text: string][] {
  return text.split(/^\.It /m).flatMap((item) => {
    const name = macro.exec(item)?.[1];
    return name === undefined ? [] : [[name, item]];
  });
}

/** A piece of the manual as a sentence, without its macros. */
export const prose = (text: string): string =>
  text
    .replaceAll(/^\.[A-Z][a-z] /gm, '')
    .replaceAll(/\\&/g, '')
    .replaceAll(/\s+/g, ' ');

/** The options that a text of the manual describes, in their order, as sentences; what they list belongs to them. */
export function describedOptions(text: string): ReadonlyMap<string, string> {
  return new Map(
    text
      .split(/^\.It (?=Fl )/m)
      .flatMap((item) => items(item, /^Fl (?:[a-z] , )?-([a-z-]+)/).map(([name]) => [name, prose(item)])),
  );
}

/** An option or argument, as the help of a command has it. */
export interface HelpEntry {
  readonly name: string;
  readonly description: string;
  /** As it is shown: a value in double quotes, or words that stand for one. */
  readonly default: string | undefined;
  readonly choices: readonly string[];
  readonly isRequired: boolean;
  readonly isRepeatable: boolean;
  readonly takesValue: boolean;
}

/** The help of a command: its entries by the heading above them, such as Options or Positionals. */
export type Help = ReadonlyMap<string, readonly HelpEntry[]>;

/** The commands of the program, in the order of its help, each with its own help. */
export async function helpOfCommands(): Promise<ReadonlyMap<string, Help>> {
  const { stdout } = await runHere(['--help']);
  const names = [...stdout.matchAll(/^ {2}fcgi2cgi (\w+)/gm)].map(([, name = '']) => name);
  const helps = new Map<string, Help>();
  for (const name of names) helps.set(name, helpIn((await runHere([name, '--help'])).stdout));
  return helps;
}

function helpIn(text: string): Help {
  const groups = new Map<string, HelpEntry[]>();
  const [entriesText = ''] = text.split('\nExamples:\n');
  for (const group of entriesText.split(/^(?=[A-Z]\w*:$)/m).slice(1)) {
    const [heading = '', ...lines] = group.trimEnd().split('\n');
    const isEntry = /^ {2,6}(?:-\w, )?(?:--)?([a-z][a-z-]*)(?: {2}|$)/;
    const entries: string[] = [];
    for (const line of lines) {
      if (isEntry.test(line)) entries.push(line);
      else entries.push(`${entries.pop() ?? ''} ${line.trim()}`);
    }
    groups.set(
      heading.slice(0, -1),
      entries.map((entry) => entryIn(isEntry.exec(entry)?.[1] ?? '', entry)),
    );
  }
  return groups;
}

function entryIn(name: string, text: string): HelpEntry {
  const [, description = '', notes = ''] =
    /^ +(?:-\w, )?\S+ +(.*?) *((?:\[[^\]]*\] *)*)$/.exec(text.replace('[default: []]', '')) ?? [];
  const note = (pattern: RegExp): string | undefined => pattern.exec(notes)?.[1];
  return {
    name,
    description: description.replaceAll(/\s+/g, ' '),
    default: note(/\[default: (.*?)\]/),
    choices: [...(note(/\[choices: (.*?)\]/) ?? '').matchAll(/"(.*?)"/g)].map(([, choice = '']) => choice),
    isRequired: notes.includes('[required]'),
    isRepeatable: notes.includes('[array]'),
    takesValue: !notes.includes('[boolean]'),
  };
}
