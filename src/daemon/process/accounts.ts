/** Users and groups, as the system's own programs know them, wherever it keeps them: Node can ask only for its own user. */

import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { userInfo, type UserInfo } from 'node:os';

import { OptionError, reasonOf, systemCodeOf } from '../../base/errors.js';

export interface User {
  readonly uid: number;
  /** Undefined where the system has no entry for that number. */
  readonly entry: { readonly gid: number } | undefined;
}

/** What was asked before: a reload must not wait for a directory service. */
const users = new Map<string, User>();
const groups = new Map<string, number>();

/** getent(1): the key is not in the database. */
const NOT_FOUND = 2;

/** @throws OptionError `ERR_USAGE` for a name that the system does not know, `ERR_START` where it does not say */
export function userOf(name: string): User {
  return remembered(users, name, () => {
    const number = numberOf(name);
    const own = number === undefined ? ourselves() : undefined;
    if (name === own?.username) return { uid: own.uid, entry: { gid: own.gid } };
    const uid = id('-u', name);
    if (number !== undefined && uid !== number) return { uid: number, entry: undefined };
    const gid = id('-g', name);
    if (uid === undefined || gid === undefined) throw unknown('user', name);
    return { uid, entry: { gid } };
  });
}

/** What the system's library knows of who this process is, which takes no other program. */
function ourselves(): UserInfo<string> | undefined {
  try {
    return userInfo();
  } catch {
    return undefined;
  }
}

/** All groups of a user that the system knows. @throws OptionError as `userOf` */
export function groupsOf(name: string): readonly number[] {
  return asked('-G', name)?.split(' ').map(Number) ?? [];
}

/** @throws OptionError `ERR_USAGE` for a name that the system does not know, `ERR_START` where it does not say */
export function groupOf(name: string): number {
  return numberOf(name) ?? remembered(groups, name, () => entryOf(name));
}

/** Who may connect to the Unix sockets of these addresses (`unix:/path`): owner, group and mode; undefined without any. */
export function socketRights(addresses: readonly string[]): readonly string[] | undefined {
  const rights = addresses.flatMap((address) => {
    const path = /^unix:(.*)$/s.exec(address)?.[1];
    const stats = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return [];
    const owner = `${nameOf('passwd', stats.uid)}:${nameOf('group', stats.gid)}`;
    return [`${owner} ${(stats.mode & 0o7777).toString(8).padStart(4, '0')}`];
  });
  return rights.length === 0 ? undefined : rights;
}

/** The name of a number in /etc, or the number: a directory service is not waited for. */
function nameOf(database: 'passwd' | 'group', number: number): string {
  try {
    const lines = readFileSync(`/etc/${database}`, 'utf8').split('\n');
    const line = lines.find((each) => each.split(':')[2] === String(number));
    return line?.split(':')[0] ?? String(number);
  } catch {
    return String(number);
  }
}

function remembered<T>(known: Map<string, T>, name: string, ask: () => T): T {
  const found = known.get(name) ?? ask();
  known.set(name, found);
  return found;
}

function numberOf(name: string): number | undefined {
  return /^\d{1,9}$/.test(name) ? Number(name) : undefined;
}

function id(what: string, name: string): number | undefined {
  const text = asked(what, name);
  return text === undefined ? undefined : Number(text);
}

/** What id(1) prints; undefined where it says that there is no such user. */
function asked(what: string, name: string): string | undefined {
  const { error, status, stdout, stderr } = run('id', [what, '--', name]);
  if (error === undefined && status === 0 && /^\d+( \d+)*$/.test(stdout)) return stdout;
  if (/(: no such user|unknown user .*)$/i.test(stderr)) return undefined;
  throw unanswered('user', name, error === undefined ? stderr || 'id(1) has failed' : reasonOf(error));
}

/** POSIX has no program that tells a group's number. */
function entryOf(name: string): number {
  const { error, status, stdout, stderr } = run('getent', ['group', name]);
  if (systemCodeOf(error) === 'ENOENT') return entryInFile(name);
  const gid = gidIn(stdout, name);
  if (error === undefined && status === 0 && gid !== undefined) return gid;
  if (status === NOT_FOUND) throw unknown('group', name);
  throw unanswered('group', name, error === undefined ? stderr || 'getent(1) has failed' : reasonOf(error));
}

function entryInFile(name: string): number {
  const file = '/etc/group';
  let text;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw unanswered('group', name, reasonOf(error));
  }
  const gid = gidIn(text, name);
  if (gid === undefined) throw unanswered('group', name, `it is not in ${file}, and there is no getent(1)`);
  return gid;
}

/** The number in the line of that group, see group(5). */
function gidIn(text: string, name: string): number | undefined {
  for (const line of text.split('\n')) {
    const [found, , gid] = line.split(':');
    if (found === name && gid !== undefined && /^\d+$/.test(gid)) return Number(gid);
  }
  return undefined;
}

function run(program: string, args: readonly string[]): SpawnSyncReturns<string> {
  const env = { ...process.env, LC_ALL: 'C' };
  const ended = spawnSync(program, args, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'pipe'] });
  const line = (text: string | null): string => text?.trim().split('\n').at(-1) ?? '';
  return { ...ended, stdout: line(ended.stdout), stderr: line(ended.stderr) };
}

function unknown(option: 'user' | 'group', value: string): OptionError {
  return new OptionError('ERR_USAGE', { option, value, why: `the system knows no such ${option}` });
}

function unanswered(option: 'user' | 'group', value: string, reason: string): OptionError {
  return new OptionError('ERR_START', { option, value, why: `can't be looked up: ${reason}` });
}
