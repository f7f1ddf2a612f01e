/** `fcgi2cgi explain`: what a site would run. */

import type { Argv } from 'yargs';

import { afterDashes } from '../after-dashes.js';
import { describingOptions } from '../options/describing.js';
import { explainOptions } from '../options/request.js';
import { scriptArguments } from '../options/sites.js';
import { siteKinds } from '../site-kinds.js';
import { userAgent } from '../../daemon/version.js';

export function explainCommand(commands: Argv): Argv {
  return commands.command(
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
      const { runExplain } = await import('../explain/command.js');
      process.exitCode = await runExplain(given, afterDashes(given), userAgent());
    },
  );
}
