/** `fcgi2cgi upgrade`: lets a new process take the place of a daemon that runs. */

import { runningDaemon } from '../../daemon/process/pid-file.js';
import { ownerToBe } from '../../daemon/process/privileges.js';
import { requestUpgrade } from '../../daemon/upgrade/upgrade-request.js';
import type { Run } from '../commands.js';
import { upgradeOptions } from '../options/command-options.js';
import { readOptions } from '../options/option.js';

/** Whom root signals is not for a user to choose: what a pid file of the user's says is done as that user. */
export const upgrade: Run = async (given) => {
  const { pidFile } = readOptions(upgradeOptions, given);
  const owner = ownerToBe(pidFile);
  if (owner !== undefined) {
    const { runAs } = await import('../../daemon/process/as-user.js');
    runAs(owner);
  }
  const pid = await runningDaemon(pidFile);
  const next = await requestUpgrade(pidFile, pid);
  process.stdout.write(`process ${String(next)} serves in place of ${String(pid)}\n`);
  return undefined;
};
