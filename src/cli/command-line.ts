/** The command line: what the commands are, what they take, and what they do. */

import { readFileSync } from 'node:fs';

import yargs, { type Argv, type Options } from 'yargs';

import { runWorkers } from '../daemon/run-workers.js';
import { shippedFile } from '../daemon/shipped.js';
import { BridgeError, reasonOf } from '../errors.js';
import { readConfiguration } from './configuration.js';
import { describingOptions, runExplain } from './explain/command.js';
import { readConfigurationFile } from './file/configuration-file.js';
import { runGet } from './get/command.js';
import { OptionReader } from './option-reader.js';
import {
  type CommonArguments,
  commonOptions,
  dirOptions,
  explainOptions,
  getArguments,
  getOptions,
  gitOptions,
  hgOptions,
  overridingOptions,
  scriptArguments,
  serveOptions,
  withCommonOptions,
  workerOptions,
} from './options.js';
import { check, serve } from './serve.js';
import { type SiteKindName, siteKinds } from './site-kinds.js';

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
      (given) => serveOne('hg', given),
    )
    .command(
      'git',
      'Serve a directory of git repositories',
      (command) => withCommonOptions(command.options(gitOptions)),
      (given) => serveOne('git', given),
    )
    .command(
      'script <file> [argument..]',
      'Run one CGI script for every request',
      (command) =>
        withCommonOptions(
          command.positional('file', scriptArguments.file).positional('argument', scriptArguments.argument),
        ),
      (given) =>
        serveOne('script', { ...given, argument: [...(given.argument ?? []), ...afterDashes(given)] }),
    )
    .command(
      'dir',
      'Run the script that the web server names, if it lies inside a directory',
      (command) => withCommonOptions(command.options(dirOptions)),
      (given) => serveOne('dir', given),
    )
    .command(
      'serve',
      'Serve the sites of a configuration file',
      (command) =>
        command
          .options({ ...serveOptions, ...overridingOptions })
          .group(Object.keys(overridingOptions), 'Overriding:'),
      (given) => serveFile(given.config, given.check, given),
    )
    .command(
      'worker',
      'Supervise a FastCGI application: worker [OPTION…] -- COMMAND [ARGUMENT…]',
      (command) => withCommonOptions(command.options(workerOptions)),
      (given) => serveWorkers(given),
    )
    .command(
      'get <address> <path>',
      'Send a request to a FastCGI application, as a web server would',
      (command) =>
        command
          .options(getOptions)
          .positional('address', getArguments.address)
          .positional('path', getArguments.path),
      async (given) => {
        process.exitCode = await runGet(new OptionReader(given), `fcgi2cgi/${version()}`);
      },
    )
    .command(
      'explain [site-command] [file] [argument..]',
      'Say what a site would run for the path that comes last, after --',
      (command) =>
        command
          .options({ ...explainOptions, ...describingOptions })
          .group(Object.keys(describingOptions), 'Describing:')
          .positional('site-command', {
            choices: Object.keys(siteKinds),
            description: 'The command that would serve the site, with its options',
          })
          .positional('file', { ...scriptArguments.file, demandOption: false })
          .positional('argument', scriptArguments.argument),
      async (given) => {
        process.exitCode = await runExplain(given, afterDashes(given), `fcgi2cgi/${version()}`);
      },
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

/** Serves one site, as the commands that are named after its kind do. */
function serveOne(kind: SiteKindName, given: CommonArguments): Promise<void> {
  const site = siteKinds[kind].read(new OptionReader(given));
  return serve(readConfiguration(site, given));
}

/** Serves the sites of a file, or only looks whether it could. */
async function serveFile(file: string, isCheck: boolean, given: CommonArguments): Promise<void> {
  const overriding = Object.entries(given).filter(([name, value]) => {
    return name in overridingOptions && value !== undefined;
  });
  const configuration = readConfigurationFile(file, Object.fromEntries(overriding));
  if (isCheck) process.stdout.write(await check(file, configuration));
  else await serve(configuration);
}

/** Without `--listen` the application stands at descriptor 0 itself, and we only keep it running. */
async function serveWorkers(given: CommonArguments): Promise<void> {
  const command = afterDashes(given);
  if (command.length === 0) {
    const example = 'fcgi2cgi worker -- /usr/lib/cgi-bin/gitweb.cgi --fcgi';
    throw new BridgeError('ERR_USAGE', `worker: the command to run is missing; say for example ${example}`);
  }
  const site = siteKinds.worker.read(new OptionReader({ ...given, command }));
  const configuration = readConfiguration(site, given);
  const [served] = configuration.sites;
  if (site.kind !== 'worker' || served === undefined || served.listen.length > 0) return serve(configuration);
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
  const options: Readonly<Record<string, Options>> = { ...commonOptions, ...getOptions };
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

/** Only `script` and `worker` have arguments to pass on, and `explain` a path. */
function nothingLeftOver(given: CommonArguments): true {
  const [command] = given['_'] as (string | undefined)[];
  const [extra] = afterDashes(given);
  const isTaken = ['script', 'worker', 'explain'].includes(command ?? '');
  if (isTaken || extra === undefined) return true;
  throw new BridgeError('ERR_USAGE', `${String(command)} takes no arguments, and got ${extra}`);
}

function afterDashes(given: CommonArguments): readonly string[] {
  return (given['--'] as (string | number)[] | undefined)?.map(String) ?? [];
}

function version(): string {
  const file = Buffer.from(shippedFile('package.json'), 'latin1');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
