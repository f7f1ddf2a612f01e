/** `fcgi2cgi rc`: prints the script by which the system starts the daemon. */

import { execFile } from 'node:child_process';
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { shippedFile } from '../../daemon/package.js';
import { BridgeError, OptionError } from '../../base/errors.js';
import type { Run } from '../commands.js';
import { rcOptions } from '../options/command-options.js';
import { readOptions } from '../options/option.js';
import { type RcSystem, rcSystems, thisSystem } from './systems.js';

const run = promisify(execFile);

/** The accounts that web servers have on the systems of rc.d/. */
const webServerUsers = ['www-data', 'www', 'nginx', 'lighttpd', 'http', 'apache'];

/**
 * Prints the script; what to do with it goes to standard error.
 *
 * @throws BridgeError `ERR_USAGE` for a system or user that is not known, `ERR_START` for paths that no script can have
 */
export const runRc: Run = async (given) => {
  const options = readOptions(rcOptions, given);
  const system: RcSystem = rcSystems[options.system ?? thisSystem()];
  const text = readFileSync(Buffer.from(shippedFile(`rc.d/${system.file}`), 'latin1'), 'utf8');
  // As it was called: its name in PATH stays when the package is replaced.
  const [, command = ''] = process.argv;
  const user = await userFor(system, options.user, text);
  process.stdout.write(fillScript(text, system, { command, node: unusualNode(system.path), user }));
  process.stderr.write(nextSteps(system));
  const closed = user === undefined ? undefined : closedTo(await accountOf(user), command);
  if (closed === undefined || user === undefined) return undefined;
  const cure = `install it with umask 022, below a directory that ${user} may enter`;
  process.stderr.write(`But ${closed} is closed to ${user}, who can't run it there: ${cure}.\n`);
  return undefined;
};

/** The user who was asked for, else the script's own, if this machine has such a user, else the web server's. */
export async function userFor(
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

export async function accountOf(name: string): Promise<Account> {
  const [uid, gids] = await Promise.all(
    ['-u', '-G'].map(async (option) => {
      const { stdout } = await run('id', [option, '--', name]);
      return stdout.trim().split(' ').map(Number);
    }),
  );
  return { uid: uid?.[0] ?? NaN, gids: gids ?? [] };
}

/** The node that runs this, unless it is the one that a search of `path` finds. */
export function unusualNode(path: readonly string[]): string | undefined {
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

/** A user, as far as permissions go. */
export interface Account {
  readonly uid: number;
  readonly gids: readonly number[];
}

/** The first directory on the way to `path` that `account` may not enter, or the file itself. Links are followed. */
export function closedTo(account: Account, path: string): string | undefined {
  const way: string[] = [];
  for (let each = realpathSync(path); !way.includes(each); each = dirname(each)) way.push(each);
  return way.reverse().find((each) => !mayEnter(account, each));
}

/** By permissions alone. Who may enter a directory, or execute a file, tells the same bit. */
function mayEnter({ uid, gids }: Account, path: string): boolean {
  if (uid === 0) return true;
  const { mode, uid: owner, gid: group } = statSync(path);
  if (owner === uid) return (mode & 0o100) !== 0;
  return (mode & (gids.includes(group) ? 0o010 : 0o001)) !== 0;
}

export interface Installation {
  /** The path of the command `fcgi2cgi`. */
  readonly command: string;
  /** The path of node, where the system's scripts would not find it, or find another. */
  readonly node: string | undefined;
  /** Who serves; undefined leaves it as the script has it. */
  readonly user: string | undefined;
}

/**
 * Fills `text`, the script of `system`, in for `installation`.
 *
 * @throws BridgeError `ERR_START` for a path that can't be written in such a script.
 */
export function fillScript(text: string, system: RcSystem, { command, node, user }: Installation): string {
  const file = `rc.d/${system.file}`;
  refuseUnwritable(command, system.command.refused, file);
  let filled = replaced(text, system.command.text, system.command.filled(command));
  if (node !== undefined) {
    refuseUnwritable(node, system.node.refused, file);
    filled = replaced(filled, system.node.text, system.node.filled(node));
  }
  return user === undefined ? filled : replaced(filled, system.user, user);
}

function refuseUnwritable(path: string, refused: RegExp, file: string): void {
  const odd = refused.exec(path)?.[0];
  if (odd === undefined) return;
  const why = `a script like ${file} can't have ${JSON.stringify(odd)} in this path`;
  throw new BridgeError('ERR_START', `${path}: ${why}; make a symbolic link to it elsewhere, and run that`);
}

function replaced(text: string, pattern: string | RegExp, replacement: string): string {
  const changed =
    typeof pattern === 'string'
      ? text.replaceAll(pattern, () => replacement)
      : text.replace(pattern, () => replacement);
  if (changed === text && !text.includes(replacement)) {
    throw new Error(`a script of rc.d has nothing that matches ${String(pattern)}`);
  }
  return changed;
}
