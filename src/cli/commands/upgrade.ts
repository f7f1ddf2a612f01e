/** `fcgi2cgi upgrade`: lets a new process take the place of a daemon that runs. */

import { resolve } from 'node:path';

import type { Argv } from 'yargs';

import { runningDaemon } from '../../daemon/pid-file.js';
import { requestUpgrade } from '../../daemon/succession/request.js';

export function upgradeCommand(commands: Argv): Argv {
  return commands.command(
    'upgrade <pid-file>',
    'Have the program as it is installed now take the place of a daemon that runs, which loses no request',
    (command) =>
      command.positional('pid-file', {
        type: 'string',
        demandOption: true,
        description: 'What the daemon was given as --pid-file',
      }),
    (given) => upgrade(resolve(given['pid-file'])),
  );
}

async function upgrade(pidFile: string): Promise<void> {
  const pid = await runningDaemon(pidFile);
  const successor = await requestUpgrade(pidFile, pid);
  process.stdout.write(`process ${String(successor)} serves in place of ${String(pid)}\n`);
}
