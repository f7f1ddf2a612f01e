/** Reads a command line with yargs, and runs the command that it names. */

import yargs, { type Argv, type Options } from 'yargs';

import { version } from '../daemon/package.js';
import { BridgeError, reasonOf } from '../base/errors.js';
import { type Command, commands } from './commands.js';
import { didYouMean, type Given, type Option } from './options/option.js';

/** Of the help, also where no terminal says how many it has. */
const MAX_COLUMNS = 80;

/** Runs the command that `argv` (without node and script) asks for. @throws BridgeError and nothing else. */
export async function runCommand(argv: readonly string[]): Promise<void> {
  refuseFlagValues(argv);
  const parser = commandLine(argv);
  withoutUnaskedHelp(parser);
  await parser.parseAsync([...argv]);
}

/** yargs formats the help of each command that it runs, should somebody ask later: a quarter of the time to start. */
function withoutUnaskedHelp(parser: Argv): void {
  const { getInternalMethods } = parser as Argv & Partial<YargsInternals>;
  const usage = getInternalMethods?.call(parser).getUsageInstance();
  if (usage !== undefined) usage.cacheHelpMessage = () => undefined;
}

/** What yargs has no types for, and may come to lack. */
interface YargsInternals {
  getInternalMethods(): { getUsageInstance(): { cacheHelpMessage(): void } };
}

function commandLine(argv: readonly string[]): Argv {
  const parser = yargs()
    .scriptName('fcgi2cgi')
    .detectLocale(false)
    .usage('$0 COMMAND [OPTION…]\n\nRuns CGI programs for web servers that speak FastCGI.')
    .parserConfiguration({
      'boolean-negation': false,
      'greedy-arrays': false,
      'parse-positional-numbers': false,
      'dot-notation': false,
      'camel-case-expansion': false,
      'populate--': true,
    });
  for (const command of commands) addCommand(parser, command);
  return parser
    .demandCommand(1, 1, 'a command is missing')
    .strict()
    .version(version())
    .help()
    .alias({ h: 'help' })
    .wrap(Math.min(MAX_COLUMNS, process.stdout.columns || MAX_COLUMNS))
    .exitProcess(false)
    .fail((message, error) => {
      // yargs types it as always there; for what it finds itself, it is not.
      const cause = error as Error | undefined;
      if (cause instanceof BridgeError) throw cause;
      const line = (message || reasonOf(cause)).replaceAll(/\s*\n\s*/g, ' ');
      throw new BridgeError('ERR_USAGE', usageError(argv, line), { cause });
    });
}

/** yargs takes each value of a flag but `true` for false. @throws BridgeError `ERR_USAGE` */
function refuseFlagValues(argv: readonly string[]): void {
  const flags = commands.flatMap(rowsOfCommand).filter(({ form }) => form === 'flag');
  const names = new Set(['-h', '--help', '--version', ...flags.map(({ name }) => `--${name}`)]);
  for (const word of argv) {
    if (word === '--') return;
    const [name = '', ...values] = word.split('=');
    if (values.length === 0 || !names.has(name) || ['true', 'false'].includes(values.join('='))) continue;
    throw new BridgeError('ERR_USAGE', `${word}: expected no value, or true or false`);
  }
}

/** What is wrong with a command line, where yargs says `line`; and where it is told how it would be right. */
function usageError([name = '', ...rest]: readonly string[], line: string): string {
  const names = commands.map(nameOf);
  const command = commands.find((each) => nameOf(each) === name);
  if (command === undefined) {
    const isName = name !== '' && !name.startsWith('-');
    const what = isName ? `there is no command ${name}${didYouMean(name, names)}` : line;
    return `${what}; see fcgi2cgi --help`;
  }
  const known = ['help', 'version', ...rowsOfCommand(command).map((row) => row.name)];
  const end = rest.indexOf('--');
  const given = end === -1 ? rest : rest.slice(0, end);
  const options = given.flatMap((word) => /^--([^=]+)/.exec(word)?.[1] ?? []);
  const unknown = options.find((option) => !known.includes(option));
  const expected = known.map((option) => `--${option}`);
  const what =
    unknown === undefined
      ? reworded(line, command)
      : `there is no option --${unknown}${didYouMean(`--${unknown}`, expected)}`;
  return `${what}; see fcgi2cgi ${name} --help`;
}

/** What yargs says of a command's arguments, in the form that all other errors have. */
function reworded(line: string, command: Command): string {
  const { usage, examples } = command;
  const called = (name: string): string =>
    rowsOfCommand(command).some((row) => row.name === name && row.isArgument === true)
      ? name.toUpperCase()
      : `--${name}`;
  const shown = `fcgi2cgi ${usage.replaceAll(/<(.+?)>|\[(.+?)\.\.\]|\[(.+?)\]/g, argumentOfUsage)}`;
  const said = (pattern: RegExp): readonly string[] => pattern.exec(line)?.slice(1) ?? [];
  const [names] = said(/^Missing required arguments?: (.+)$/);
  if (names !== undefined) {
    const missing = names.split(', ').map(called);
    const verb = missing.length === 1 ? 'is' : 'are';
    return `${missing.join(' and ')} ${verb} missing; for example: fcgi2cgi ${examples[0] ?? usage}`;
  }
  const [got] = said(/^Not enough non-option arguments: got (\d+)/);
  if (got !== undefined) {
    const needed = [...usage.matchAll(/<(.+?)>/g)].map(([, name = '']) => name.toUpperCase());
    return `${needed[Number(got)] ?? 'an argument'} is missing; expected ${shown}`;
  }
  const [bare] = said(/^Not enough arguments following: (.+)$/);
  if (bare !== undefined) return `${called(bare)} is without a value; expected one after it`;
  const [name, given = '', list = ''] = said(
    /^Invalid values: Argument: (.+?), Given: "?(.*?)"?, Choices: (.+)$/,
  );
  if (name !== undefined) {
    const choices = list.replaceAll('"', '').split(', ');
    const expected = choices.join(', ').replace(/, (?=[^,]*$)/, ' or ');
    return `${called(name)} ${given}: expected ${expected}${didYouMean(given, choices)}`;
  }
  const [words] = said(/^Unknown arguments?: (.+)$/);
  return words === undefined ? line : `nothing is known of the argument ${words}; expected ${shown}`;
}

function argumentOfUsage(_: string, needed?: string, several?: string, one?: string): string {
  if (needed !== undefined) return needed.toUpperCase();
  return several === undefined ? `[${(one ?? '').toUpperCase()}]` : `[${several.toUpperCase()}…]`;
}

function nameOf({ usage }: Command): string {
  return usage.split(' ')[0] ?? usage;
}

function rowsOfCommand({ own, shared = [] }: Command): readonly Option<unknown>[] {
  return [...own, ...shared];
}

function addCommand(parser: Argv, command: Command): void {
  const { usage, description, examples, load } = command;
  parser.command(
    usage,
    description,
    (yargsCommand) => {
      const rows = rowsOfCommand(command);
      // The help has groups in the order in which they come up.
      for (const row of [...rows.filter(isNeeded), ...rows.filter((each) => !isNeeded(each))]) {
        if (row.isArgument === true) yargsCommand.positional(row.name, yargsOptionOf(row) as object);
        else yargsCommand.option(row.name, yargsOptionOf(row));
        const usual = row.isArgument === true ? '' : 'Options';
        const group = isNeeded(row) ? 'Required' : row.group || usual;
        if (group !== '') yargsCommand.group(row.name, `${group}:`);
      }
      return yargsCommand.epilogue(['Examples:', ...examples.map((line) => `  fcgi2cgi ${line}`)].join('\n'));
    },
    async (parsed) => {
      const words = (parsed['--'] as (string | number)[] | undefined)?.map(String) ?? [];
      if (command.takesWords !== true && words[0] !== undefined) {
        throw new BridgeError('ERR_USAGE', `${nameOf(command)} takes no arguments, and got ${words[0]}`);
      }
      const given = givenOf(rowsOfCommand(command), parsed);
      const run = await load();
      process.exitCode = await run(given, words);
    },
  );
}

function isNeeded({ isRequired, isArgument }: Option<unknown>): boolean {
  return isRequired === true && isArgument !== true;
}

/** A default is for the help alone: what was given has none in it. */
function yargsOptionOf(row: Option<unknown>): Options {
  const { form, choices, isArgument, isRequired, shownDefault, description } = row;
  const usual = row.default === undefined ? undefined : JSON.stringify(row.default);
  const defaultDescription = shownDefault ?? (form === 'flag' ? 'false' : usual);
  return {
    description,
    ...(form === 'flag' ? { type: 'boolean' } : choices === undefined && { type: 'string' }),
    ...(form === 'list' && { array: true }),
    ...(form !== 'flag' && isArgument !== true && { requiresArg: true }),
    ...(choices !== undefined && { choices }),
    ...(isRequired === true && { demandOption: true }),
    ...(defaultDescription !== undefined && defaultDescription !== '' && { defaultDescription }),
  };
}

/** What was given for these rows, refused where yargs takes a mistake for something else. */
function givenOf(rows: readonly Option<unknown>[], parsed: Readonly<Record<string, unknown>>): Given {
  const given = new Map<string, string | boolean | readonly string[]>();
  for (const row of rows) {
    const { name, form, isArgument } = row;
    const value = parsed[name] as string | boolean | readonly string[] | undefined;
    if (value === undefined) continue;
    const refusal = (why: string): BridgeError =>
      new BridgeError('ERR_USAGE', `${isArgument === true ? name.toUpperCase() : `--${name}`} ${why}`);
    if (form !== 'list' && Array.isArray(value)) {
      throw refusal(`is given ${String(value.length)} times, but has one value`);
    }
    // A variable that somebody's script forgot to set: as a path it would be the working directory.
    const mayBeEmpty = row.default === '' || (form === 'list' && isArgument === true);
    if (!mayBeEmpty && [value].flat().includes('')) throw refusal('is empty; expected a value');
    given.set(name, value);
  }
  return given;
}
