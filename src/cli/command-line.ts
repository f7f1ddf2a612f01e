/** The command line: what the commands are, and how it is read. */

import yargs, { type Argv } from 'yargs';

import { BridgeError, reasonOf } from '../errors.js';
import { describingCommands } from './commands/describing.js';
import { getCommand } from './commands/get.js';
import { rcCommand } from './commands/rc.js';
import { serveCommand } from './commands/serve.js';
import { statusCommand } from './commands/status.js';
import { siteCommands } from './commands/sites.js';
import { upgradeCommand } from './commands/upgrade.js';
import { refuseMistakes } from './mistakes.js';
import { version } from '../daemon/version.js';

/** In the order of `--help`. What only one of them needs is loaded when it runs: the daemon is to start at once. */
const allCommands = [
  siteCommands,
  serveCommand,
  upgradeCommand,
  getCommand,
  statusCommand,
  describingCommands,
  rcCommand,
];

/** Runs the command that `argv` (without node and script) asks for. @throws BridgeError and nothing else. */
export async function runCommand(argv: readonly string[]): Promise<void> {
  const parser = commandLine();
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

/** The parser, with all commands and options. */
export function commandLine(): Argv {
  const commands = yargs()
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
  return refuseMistakes(allCommands.reduce((all, add) => add(all), commands))
    .demandCommand(1, 1, 'a command is missing')
    .strict()
    .version(version())
    .help()
    .alias({ h: 'help' })
    .wrap(Math.min(100, process.stdout.columns || 100))
    .exitProcess(false)
    .fail((message, error) => {
      // yargs types it as always there; for what it finds itself, it is not.
      const cause = error as Error | undefined;
      if (cause instanceof BridgeError) throw cause;
      const line = (message || reasonOf(cause)).replaceAll(/\s*\n\s*/g, ' ');
      throw new BridgeError('ERR_USAGE', `${line}; see fcgi2cgi --help`, { cause });
    });
}
