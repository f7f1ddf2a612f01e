/** The commands that are told of a site and serve nothing: `explain` and `verify`. */

import type { Argv, Options } from 'yargs';

import { userAgent } from '../../daemon/version.js';
import { afterDashes } from '../after-dashes.js';
import type { CommonArguments } from '../options/common.js';
import { describingOptions } from '../options/describing.js';
import { explainOptions, verifyOptions } from '../options/request.js';
import { scriptArguments } from '../options/sites.js';
import { type SiteKindName, siteKinds } from '../site-kinds.js';

/** Does what the command says, for the words after the dashes; resolves to the exit status. */
type Run = (given: CommonArguments, words: readonly string[], agent: string) => Promise<number>;

interface Describing {
  readonly name: string;
  readonly description: string;
  /** Those of its own. */
  readonly options: Readonly<Record<string, Options>>;
  readonly kinds: readonly SiteKindName[];
  /** What runs it, loaded only when it does. */
  readonly load: () => Promise<Run>;
}

const allKinds = Object.keys(siteKinds) as SiteKindName[];

const all: readonly Describing[] = [
  {
    name: 'explain',
    description: 'Say what a site would run for the path that comes last, after --',
    options: explainOptions,
    kinds: allKinds,
    load: async () => (await import('../explain/command.js')).runExplain,
  },
  {
    name: 'verify',
    description: 'Compare what --runner spawn and warm answer to the paths that come last, after --',
    options: verifyOptions,
    kinds: allKinds.filter((kind) => kind !== 'worker'),
    load: async () => (await import('../verify/command.js')).runVerify,
  },
];

export function describingCommands(commands: Argv): Argv {
  for (const { name, description, options, kinds, load } of all) {
    commands.command(
      `${name} [site-command] [file] [argument..]`,
      description,
      (command) =>
        command
          .options({ ...options, ...describingOptions })
          .group(Object.keys(describingOptions), 'Describing:')
          .positional('site-command', {
            choices: kinds,
            description: 'The command that would serve the site, with its options',
          })
          .positional('file', { ...scriptArguments.file, demandOption: false })
          .positional('argument', scriptArguments.argument),
      async (given) => {
        const run = await load();
        process.exitCode = await run(given, afterDashes(given), userAgent());
      },
    );
  }
  return commands;
}
