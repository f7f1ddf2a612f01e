/** `fcgi2cgi serve`: the sites of a configuration file. */

import type { Argv } from 'yargs';

import type { Configuration } from '../../daemon/configuration.js';
import type { CommonArguments } from '../options/common.js';
import { overridingOptions, serveOptions } from '../options/serve.js';
import { check, serve } from '../serve.js';

export function serveCommand(commands: Argv): Argv {
  return commands.command(
    'serve',
    'Serve the sites of a configuration file',
    (command) =>
      command
        .options({ ...serveOptions, ...overridingOptions })
        .group(Object.keys(overridingOptions), 'Overriding:'),
    (given) => serveFile(given.config, given.check, given),
  );
}

/** Serves the sites of a file, or only looks whether it could. */
async function serveFile(file: string, isCheck: boolean, given: CommonArguments): Promise<void> {
  const overriding = Object.entries(given).filter(([name, value]) => {
    return name in overridingOptions && value !== undefined;
  });
  const { readConfigurationFile } = await import('../file/configuration-file.js');
  // Relative paths mean the same when the file is read again, wherever the daemon is then.
  const directory = process.cwd();
  const read = (): Configuration => readConfigurationFile(file, Object.fromEntries(overriding), directory);
  const configuration = read();
  if (isCheck) process.stdout.write(await check(file, configuration));
  else await serve(configuration, read);
}
