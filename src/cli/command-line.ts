/** The command line: what the commands are, what they take, and what they do. */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import yargs, { type Argv, type Options } from 'yargs';

import { fromText } from '../bytes.js';
import type { Configuration, SiteConfiguration } from '../daemon/configuration.js';
import { runDaemon } from '../daemon/run-daemon.js';
import { runWorkers } from '../daemon/run-workers.js';
import { shippedFile } from '../daemon/shipped.js';
import { BridgeError, reasonOf } from '../errors.js';
import { isBackground, startInBackground, tellStarter } from './background.js';
import { readConfiguration, workerConfiguration } from './configuration.js';
import {
  type CommonArguments,
  commonOptions,
  dirOptions,
  hgOptions,
  withCommonOptions,
  workerOptions,
} from './options.js';

/** Runs the command that `argv` (without node and script) asks for. @throws BridgeError and nothing else. */
export async function runCommand(argv: readonly string[]): Promise<void> {
  await commandLine().parseAsync([...argv]);
}

/** The parser, with all commands and options. */
export function commandLine(): Argv {
  return yargs()
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
    })
    .command(
      'hg',
      'Serve a directory of Mercurial repositories',
      (command) => withCommonOptions(command.options(hgOptions)),
      (given) =>
        serve(given, {
          kind: 'hg',
          repos: fromText(resolve(given.repos)),
          markers: given.markers === undefined ? undefined : fromText(resolve(given.markers)),
          hgwebConfig: readableFile('hgweb-config', given['hgweb-config']),
          hg: given.hg.includes('/') ? resolve(given.hg) : given.hg,
          urlPrefix: fromText(urlPrefix(given['url-prefix'])),
        }),
    )
    .command(
      'script <file> [argument..]',
      'Run one CGI script for every request',
      (command) =>
        withCommonOptions(
          command
            .positional('file', { type: 'string', demandOption: true, description: 'The script' })
            .positional('argument', {
              type: 'string',
              array: true,
              description: 'Its arguments; those that begin with a dash come after --',
            }),
        ),
      (given) =>
        serve(given, {
          kind: 'script',
          file: fromText(resolve(given.file)),
          args: [...(given.argument ?? []), ...afterDashes(given)].map(fromText),
        }),
    )
    .command(
      'dir',
      'Run the script that the web server names, if it lies inside a directory',
      (command) => withCommonOptions(command.options(dirOptions)),
      (given) => serve(given, { kind: 'dir', root: fromText(resolve(given.root)) }),
    )
    .command(
      'worker',
      'Supervise a FastCGI application: worker [OPTION…] -- COMMAND [ARGUMENT…]',
      (command) => withCommonOptions(command.options(workerOptions)),
      (given) => serveWorkers(given),
    )
    .demandCommand(1, 1, 'a command is missing')
    .strict()
    .version(version())
    .help()
    .alias({ h: 'help' })
    .wrap(Math.min(100, process.stdout.columns || 100))
    .check(onlyOnce)
    .check(noneEmpty)
    .check(nothingLeftOver)
    .exitProcess(false)
    .fail((message, error) => {
      // yargs types it as always there; for what it finds itself, it is not.
      const cause = error as Error | undefined;
      if (cause instanceof BridgeError) throw cause;
      const line = (message || reasonOf(cause)).replaceAll(/\s*\n\s*/g, ' ');
      throw new BridgeError('ERR_USAGE', `${line}; see fcgi2cgi --help`, { cause });
    });
}

async function serve(given: CommonArguments, site: SiteConfiguration): Promise<void> {
  return run(readConfiguration(site, given));
}

async function run(configuration: Configuration): Promise<void> {
  if (!configuration.background) {
    await runDaemon(configuration, () => undefined);
    return;
  }
  if (!isBackground()) {
    await startInBackground(configuration);
    return;
  }
  // Whoever waits for the start and is interrupted does not expect a daemon.
  const endWithStarter = (): void => void process.kill(process.pid, 'SIGTERM');
  process.once('disconnect', endWithStarter);
  try {
    await runDaemon(configuration, () => {
      process.off('disconnect', endWithStarter);
      void tellStarter({ kind: 'listening' });
    });
  } catch (error) {
    // The log has it; the command that was typed prints it, and nobody but the log reads what we would print.
    const code = error instanceof BridgeError ? error.code : 'ERR_START';
    if (process.connected) await tellStarter({ kind: 'failed', code, message: reasonOf(error) });
    process.exitCode = 1;
  }
}

/** Without `--listen` the application stands at descriptor 0 itself, and we only keep it running. */
async function serveWorkers(given: CommonArguments): Promise<void> {
  const site = workerConfiguration(given, afterDashes(given));
  const configuration = readConfiguration({ kind: 'worker', ...site }, given);
  const [served] = configuration.sites;
  if (served === undefined || served.listen.length > 0) return run(configuration);
  for (const option of ['daemon', 'pid-file', 'access-log']) {
    if (given[option] === undefined || given[option] === false) continue;
    throw new BridgeError(
      'ERR_USAGE',
      `worker --${option} needs --listen: without it the web server runs it`,
    );
  }
  if (site.maxRequests > 0) {
    const why = 'without it the workers accept by themselves, and nobody counts';
    throw new BridgeError('ERR_USAGE', `worker --max-requests needs --listen: ${why}`);
  }
  await runWorkers(configuration, served, site);
}

/** An option that is no list and is given twice is a mistake; yargs would make a list of it. */
function onlyOnce(given: CommonArguments): true {
  const options: Readonly<Record<string, Options>> = commonOptions;
  const lists = ['_', '--', 'argument', ...Object.keys(options).filter((name) => options[name]?.array)];
  for (const [name, value] of Object.entries(given)) {
    if (Array.isArray(value) && !lists.includes(name)) {
      throw new BridgeError(
        'ERR_USAGE',
        `--${name} is given ${String(value.length)} times, but has one value`,
      );
    }
  }
  return true;
}

/** An empty value is a variable that somebody's script forgot to set: as a path it would be the working directory. */
function noneEmpty(given: CommonArguments): true {
  for (const [name, value] of Object.entries(given)) {
    if (value !== '' || name === 'url-prefix') continue;
    throw new BridgeError(
      'ERR_USAGE',
      `${name === 'file' ? 'FILE' : `--${name}`} is empty; expected a value`,
    );
  }
  return true;
}

/** Only `script` and `worker` have arguments to pass on. */
function nothingLeftOver(given: CommonArguments): true {
  const [command] = given['_'] as (string | undefined)[];
  const [extra] = afterDashes(given);
  if (command === 'script' || command === 'worker' || extra === undefined) return true;
  throw new BridgeError('ERR_USAGE', `${String(command)} takes no arguments, and got ${extra}`);
}

function afterDashes(given: CommonArguments): readonly string[] {
  return (given['--'] as (string | number)[] | undefined)?.map(String) ?? [];
}

function urlPrefix(given: string): string {
  const trimmed = given.replace(/\/+$/, '');
  if (trimmed === '' || trimmed.startsWith('/')) return trimmed;
  throw new BridgeError(
    'ERR_USAGE',
    `--url-prefix ${given}: expected a path that begins with a slash, as in /hg`,
  );
}

function readableFile(option: string, path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    readFileSync(path);
  } catch (error) {
    throw new BridgeError('ERR_START', `--${option} ${path}: ${reasonOf(error)}`);
  }
  return fromText(resolve(path));
}

function version(): string {
  const file = Buffer.from(shippedFile('package.json'), 'latin1');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
