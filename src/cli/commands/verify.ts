/** `fcgi2cgi verify`: whether a site's scripts answer the same when they are run warm. */

import type { Argv } from 'yargs';

import { afterDashes } from '../after-dashes.js';
import { describingOptions } from '../options/describing.js';
import { verifyOptions } from '../options/request.js';
import { scriptArguments } from '../options/sites.js';
import { siteKinds } from '../site-kinds.js';
import { userAgent } from '../../daemon/version.js';

export function verifyCommand(commands: Argv): Argv {
  return commands.command(
    'verify [site-command] [file] [argument..]',
    'Compare what --runner spawn and warm answer to the paths that come last, after --',
    (command) =>
      command
        .options({ ...verifyOptions, ...describingOptions })
        .group(Object.keys(describingOptions), 'Describing:')
        .positional('site-command', {
          choices: Object.keys(siteKinds).filter((kind) => kind !== 'worker'),
          description: 'The command that would serve the site, with its options',
        })
        .positional('file', { ...scriptArguments.file, demandOption: false })
        .positional('argument', scriptArguments.argument),
    async (given) => {
      const { runVerify } = await import('../verify/command.js');
      process.exitCode = await runVerify(given, afterDashes(given), userAgent());
    },
  );
}
