/** The commands that serve one site: `hg`, `git`, `script`, `dir` and `worker`. */

import type { Argv } from 'yargs';

import { BridgeError } from '../../errors.js';
import { afterDashes } from '../after-dashes.js';
import { readConfiguration } from '../configuration.js';
import { OptionReader } from '../option-reader.js';
import { type CommonArguments, withCommonOptions } from '../options/common.js';
import { dirOptions, gitOptions, hgOptions, scriptArguments, workerOptions } from '../options/sites.js';
import { serve } from '../serve.js';
import { type SiteKindName, siteKinds } from '../site-kinds.js';

export function siteCommands(commands: Argv): Argv {
  return commands
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
      'worker',
      'Supervise a FastCGI application: worker [OPTION…] -- COMMAND [ARGUMENT…]',
      (command) => withCommonOptions(command.options(workerOptions)),
      (given) => serveWorkers(given),
    );
}

/** Serves one site, as the commands that are named after its kind do. */
function serveOne(kind: SiteKindName, given: CommonArguments): Promise<void> {
  const site = siteKinds[kind].read(new OptionReader(given));
  return serve(readConfiguration(site, given));
}

/** Without `--listen` the application stands at descriptor 0 itself, and we only keep it running. */
async function serveWorkers(given: CommonArguments): Promise<void> {
  const command = afterDashes(given);
  if (command.length === 0) {
    const example = 'fcgi2cgi worker -- /usr/lib/cgi-bin/gitweb.cgi --fcgi';
    throw new BridgeError('ERR_USAGE', `worker: the command to run is missing; say for example ${example}`);
  }
  const described = siteKinds.worker.read(new OptionReader({ ...given, command }));
  const configuration = readConfiguration(described, given);
  const [served] = configuration.sites;
  if (served?.site.kind !== 'worker' || served.listen.length > 0) return serve(configuration);
  const { site } = served;
  for (const option of ['daemon', 'pid-file', 'access-log', 'status-path', 'health-path', 'control']) {
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
  const { runWorkers } = await import('../../daemon/run-workers.js');
  await runWorkers(configuration, served, site);
}
