/** `fcgi2cgi rc`: prints the script by which the system starts the daemon. */

import { execFile } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { shippedFile } from '../../daemon/shipped.js';
import { OptionError } from '../../errors.js';
import type { OptionReader } from '../option-reader.js';
import { type Account, closedTo } from './reach.js';
import { fillScript } from './script.js';
import { type RcSystem, rcSystems, type RcSystemName, thisSystem } from './systems.js';

const run = promisify(execFile);

/** The accounts that web servers have on the systems of rc.d/. */
const webServerUsers = ['www-data', 'www', 'nginx', 'lighttpd', 'http', 'apache'];

/**
 * Prints the script; what to do with it goes to standard error.
 *
 * @throws BridgeError `ERR_USAGE` for a system or user that is not known, `ERR_START` for paths that no script can have
 */
export async function runRc(reader: OptionReader): Promise<void> {
  const name = (reader.text('system') as RcSystemName | undefined) ?? thisSystem();
  const system: RcSystem = rcSystems[name];
  const text = readFileSync(Buffer.from(shippedFile(`rc.d/${system.file}`), 'latin1'), 'utf8');
  // As it was called: its name in PATH stays when the package is replaced.
  const [, command = ''] = process.argv;
  const user = await userFor(system, reader.text('user'), text);
  process.stdout.write(fillScript(text, system, { command, node: unusualNode(system.path), user }));
  process.stderr.write(nextSteps(system));
  const closed = user === undefined ? undefined : closedTo(await accountOf(user), command);
  if (closed === undefined || user === undefined) return;
  const cure = `install it with umask 022, below a directory that ${user} may enter`;
  process.stderr.write(`But ${closed} is closed to ${user}, who can't run it there: ${cure}.\n`);
}

/** The user who was asked for, else the script's own, if this machine has such a user, else the web server's. */
async function userFor(
  system: RcSystem,
  given: string | undefined,
  text: string,
): Promise<string | undefined> {
  if (given !== undefined) {
    if (/^\w[\w.-]*$/.test(given) && (await isUser(given))) return given;
    throw new OptionError('ERR_USAGE', { option: 'user', value: given, why: 'there is no such user here' });
  }
  // A script for another machine is left to that one's administrator.
  if (system.platform !== process.platform) return undefined;
  for (const candidate of [system.user.exec(text)?.[0] ?? '', ...webServerUsers]) {
    if (await isUser(candidate)) return candidate;
  }
  return undefined;
}

function isUser(name: string): Promise<boolean> {
  return run('id', ['-u', '--', name]).then(
    () => true,
    () => false,
  );
}

async function accountOf(name: string): Promise<Account> {
  const [uid, gids] = await Promise.all(
    ['-u', '-G'].map(async (option) => {
      const { stdout } = await run('id', [option, '--', name]);
      return stdout.trim().split(' ').map(Number);
    }),
  );
  return { uid: uid?.[0] ?? NaN, gids: gids ?? [] };
}

/** The node that runs this, unless it is the one that a search of `path` finds. */
function unusualNode(path: readonly string[]): string | undefined {
  const ours = realpathSync(process.execPath);
  for (const directory of path) {
    try {
      return realpathSync(join(directory, 'node')) === ours ? undefined : process.execPath;
    } catch {
      continue;
    }
  }
  return process.execPath;
}

function nextSteps({ target, next }: RcSystem): string {
  return `Save it as ${target}, set the variables at its top, then:\n${next.map((line) => `  ${line}\n`).join('')}`;
}
