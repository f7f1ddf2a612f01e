/** Whom the daemon serves as, found out before anything is opened; and what it hands on to what it makes and starts. */

import { lstatSync } from 'node:fs';

import { BridgeError, OptionError, reasonOf } from '../../base/errors.js';
import type { Credentials } from '../../posix/another-user.js';
import { groupOf, groupsOf, userOf } from './accounts.js';
import { rootsDirectoryOf } from './files.js';

/** A user to serve as, by numbers that the system knows. */
export interface Identity extends Credentials {
  /** As the administrator has named it. */
  readonly user: string;
}

const ROOT = 0;

/** Node has these wherever there are users, which is where this package runs. */
const posix = process as unknown as Readonly<Record<'getuid' | 'geteuid' | 'getgid', () => number>>;

export function isRoot(): boolean {
  return posix.getuid() === ROOT || posix.geteuid() === ROOT;
}

/**
 * Whom `--user` and `--group` mean; undefined where the process stays who it is.
 *
 * @throws OptionError `ERR_USAGE` for whom the system does not know, for another user than our own where we are not
 *   root, and where we are root and were not told to be somebody. `ERR_START` where the system does not say.
 */
export function identityOf(options: {
  readonly user: string | undefined;
  readonly group: string | undefined;
}): Identity | undefined {
  const { user, group } = options;
  if (user === undefined) {
    if (isRoot()) {
      const why = 'say whom to serve as, for example --user www-data; --user root, if it has to be root';
      throw new OptionError('ERR_USAGE', { option: 'user', why: `is missing, and this is root: ${why}` });
    }
    if (group !== undefined && groupOf(group) !== posix.getgid()) throw notRoot('group', group);
    return undefined;
  }
  const { uid, entry } = userOf(user);
  const gid = group === undefined ? entry?.gid : groupOf(group);
  if (!isRoot()) {
    if (uid !== posix.getuid()) throw notRoot('user', user);
    // What an unprivileged process starts in its own place has the same command line.
    if (group !== undefined && gid !== posix.getgid()) throw notRoot('group', group);
    return undefined;
  }
  if (gid === undefined) {
    const why = 'the system has no entry for it, and so no group; name one with --group';
    throw new OptionError('ERR_USAGE', { option: 'user', value: user, why });
  }
  // Where nothing would change, a system that lets nobody change it has nothing to refuse.
  if (uid === ROOT && gid === posix.getgid()) return undefined;
  // In the place of that of its entry there may be another.
  const further = entry === undefined ? [] : groupsOf(user).filter((group) => group !== entry.gid);
  return { user, uid, gid, groups: [...new Set([gid, ...further])] };
}

/**
 * The owner of a pid file, where root leaves all that is done with it to that user: others decide what its name leads to.
 * Undefined where this process stays who it is.
 *
 * @throws BridgeError `ERR_PID_FILE` where no such user owns it; OptionError as `userOf`
 */
export function ownerToBe(file: string): Identity | undefined {
  if (!isRoot() || rootsDirectoryOf(file)?.isRootsAlone === true) return undefined;
  const found = lstatSync(file, { throwIfNoEntry: false });
  if (found === undefined || found.uid === ROOT) {
    const what =
      found === undefined ? 'no file is there' : 'it is root’s, in a directory that others may change';
    const why = 'is it the --pid-file of a daemon that runs, where only root or its user may write?';
    throw new BridgeError('ERR_PID_FILE', `${file}: ${what}; ${why}`);
  }
  const user = String(found.uid);
  const gid = userOf(user).entry?.gid ?? found.gid;
  return { user, uid: found.uid, gid, groups: [gid] };
}

function notRoot(option: 'user' | 'group', value: string): OptionError {
  const why = `only root may change its ${option}; start it as root, or as that one`;
  return new OptionError('ERR_USAGE', { option, value, why });
}

/**
 * Makes `--chdir` the working directory, which the user who serves has to be permitted. Paths have been made absolute by now;
 * without one it is the root directory, as a daemon must not keep a file system busy that somebody wants to unmount.
 *
 * @throws OptionError `ERR_START`
 */
export function enterWorkingDirectory(chdir: string | undefined): void {
  try {
    process.chdir(chdir ?? '/');
  } catch (cause) {
    if (chdir === undefined) throw cause;
    throw new OptionError('ERR_START', { option: 'chdir', value: chdir, why: reasonOf(cause) }, { cause });
  }
}

/** Has `--umask` hold for all files that are made from now on, by us and by what we start. */
export function setUmask(umask: number | undefined): void {
  if (umask !== undefined) process.umask(umask);
}
