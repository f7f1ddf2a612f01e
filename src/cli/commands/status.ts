/** `fcgi2cgi status`: what a daemon is doing. */

import type { Argv } from 'yargs';

import { userAgent } from '../../daemon/version.js';
import { OptionReader } from '../option-reader.js';
import { statusArguments, statusOptions } from '../options/status.js';

export function statusCommand(commands: Argv): Argv {
  return commands.command(
    'status <address>',
    'Say what a daemon is doing, or end one of its requests',
    (command) => command.options(statusOptions).positional('address', statusArguments.address),
    async (given) => {
      const { runStatus } = await import('../status/command.js');
      process.exitCode = await runStatus(new OptionReader(given), userAgent());
    },
  );
}
