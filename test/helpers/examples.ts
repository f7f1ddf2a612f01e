/** The examples of README.md and of the manual pages, taken out so that tests can run them as they stand. */

import { filesBelow, textOf } from './documents.js';

export interface Example {
  /** Its file, and its number there. */
  readonly name: string;
  readonly file: string;
  /** What it is, as the page marks it: `shell`, `shell elsewhere` for other machines, `toml`, `text` … */
  readonly kind: string;
  /** A file of the package that has all lines of it. */
  readonly from: string | undefined;
  /** Why no test runs it as it stands, where none does: with the name of the file that comes nearest. */
  readonly why: string | undefined;
  /** What a shell runs before it, out of the reader's sight: a daemon that the reader has by then. */
  readonly before: string;
  readonly text: string;
}

/** A command of a shell example, and the lines that the page shows as its output. */
export interface ShownCommand {
  readonly command: string;
  readonly output: readonly string[];
}

export const pages = filesBelow('src/man/');

/** The examples of a file, in their order. @throws Error for a display of a page that is not marked */
export function examplesIn(file: string): readonly Example[] {
  const found = file.endsWith('.md') ? inMarkdown(textOf(file)) : inManual(file, textOf(file));
  return found.map(([mark, text, before], index) => {
    const [, kind = '', from, why] = /^((?:[a-z]+ ?)*?) ?(scripts\/\S+)?(?:: (.*))?$/.exec(mark) ?? [];
    const name = `${file}, example ${String(index + 1)}`;
    return { name, file, kind: kind.trim() || 'text', from, why, before, text };
  });
}

/** The mark of an example, its text, and what runs before it. */
type Found = [mark: string, text: string, before: string];

function inMarkdown(text: string): Found[] {
  return [...text.matchAll(/^```(.*)\n([^]*?)^```$/gm)].map(([, mark = '', block = '']) => [
    mark.replace(/^sh\b/, 'shell'),
    block,
    '',
  ]);
}

function inManual(file: string, text: string): Found[] {
  const marks = /(?:^\.\\" before: (.*)\n)?(?:^\.\\" example: (.*)\n)?^\.Bd -literal.*\n([^]*?)^\.Ed$/gm;
  return [...text.matchAll(marks)].map(([, before = '', mark, block = '']) => {
    const shown = block
      .replaceAll('\\e', '\\')
      .replaceAll('\\(aq', "'")
      .replaceAll('\\(dq', '"')
      .replaceAll('\\&', '');
    // Of the reference, only the command lines are looked at.
    if (mark === undefined && !file.endsWith('.8')) throw new Error(`${file}: no mark before: ${block}`);
    return [mark ?? (/^[#$] /.test(shown) ? 'shell elsewhere' : 'text'), shown, before];
  });
}

/** The commands of a shell example: all lines of README.md, those with a prompt of a page. */
export function commandsOf({ file, text }: Example): readonly ShownCommand[] {
  const lines = text
    .replaceAll(/\\\n */g, '')
    .trimEnd()
    .split('\n');
  if (file.endsWith('.md')) return lines.map((command) => ({ command, output: [] }));
  const commands: { command: string; output: string[] }[] = [];
  for (const line of lines) {
    const command = /^[#$] (.*)$/.exec(line)?.[1];
    if (command !== undefined) commands.push({ command, output: [] });
    else commands.at(-1)?.output.push(line);
  }
  return commands;
}

/** The arguments of each command line of fcgi2cgi in a text, wherever in a line it stands. */
export function bridgeCommandsIn(text: string): readonly (readonly string[])[] {
  const joined = text.replaceAll(/\\\n */g, '');
  return [...joined.matchAll(/(?:^|[\s"'=/(`])fcgi2cgi(?:\)")? +(?=[a-z])/gm)].map(({ index, 0: start }) =>
    wordsOf(joined.slice(index + start.length)),
  );
}

/** The words of a shell's command, up to what ends it: a newline, an operator, or a quote that began before it. */
function wordsOf(text: string): string[] {
  const [command = ''] = /^(?:'[^']*'|"[^"]*"|\d?[^\s'"`|&;<>()]+|[^\S\n]+(?![#<>]|\d>))*/.exec(text) ?? [];
  return [...command.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)].map(([word]) => word.replaceAll(/['"]/g, ''));
}
