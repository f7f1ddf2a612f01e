/** `fcgi2cgi rc`: how the system starts the daemon. */

import type { Argv } from 'yargs';

import { OptionReader } from '../option-reader.js';
import { rcArguments, rcOptions } from '../options/rc.js';

export function rcCommand(commands: Argv): Argv {
  return commands.command(
    'rc [system]',
    'Print the script by which the system starts fcgi2cgi',
    (command) => command.options(rcOptions).positional('system', rcArguments.system),
    async (given) => {
      const { runRc } = await import('../rc/command.js');
      await runRc(new OptionReader(given));
    },
  );
}
