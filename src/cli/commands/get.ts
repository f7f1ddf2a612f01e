/** `fcgi2cgi get`: a request to a FastCGI application. */

import type { Argv } from 'yargs';

import { OptionReader } from '../option-reader.js';
import { getArguments, getOptions } from '../options/request.js';
import { userAgent } from '../../daemon/version.js';

export function getCommand(commands: Argv): Argv {
  return commands.command(
    'get <address> <path>',
    'Send a request to a FastCGI application, as a web server would',
    (command) =>
      command
        .options(getOptions)
        .positional('address', getArguments.address)
        .positional('path', getArguments.path),
    async (given) => {
      const { runGet } = await import('../get/command.js');
      process.exitCode = await runGet(new OptionReader(given), userAgent());
    },
  );
}
