/** Whom the daemon serves as: found out before anything is opened, and become before anything is read from the network. */

import { closeSync, constants, fchownSync, openSync } from 'node:fs';
import { userInfo } from 'node:os';

import { OptionError, reasonOf, systemCodeOf } from '../errors.js';

/** A user to serve as, by numbers that the system knows. */
export interface Identity {
  /** As the administrator has named it. */
  readonly user: string;
  readonly uid: number;
  readonly gid: number;
  /** Where there is no entry in the user database, the group alone. */
  readonly hasEntry: boolean;
}

const ROOT = 0;

/** Node has these wherever there are users, which is where this package runs; its types lack one of them. */
const posix = process as unknown as Readonly<
  Record<'getuid' | 'geteuid' | 'getgid' | 'getegid', () => number> &
    Record<'seteuid' | 'setegid' | 'setuid' | 'setgid', (id: number | string) => void>
> & {
  getgroups(): number[];
  setgroups(groups: readonly number[]): void;
  initgroups(user: number | string, extraGroup: number | string): void;
};

/**
 * Whom `--user` and `--group` mean; undefined where the process stays who it is.
 *
 * @throws OptionError `ERR_USAGE` for whom the system does not know, for another user than our own where we are not
 *   root, and where we are root and were not told to be somebody.
 */
export function identityOf(options: {
  readonly user: string | undefined;
  readonly group: string | undefined;
}): Identity | undefined {
  const { user, group } = options;
  const isRoot = posix.getuid() === ROOT || posix.geteuid() === ROOT;
  if (user === undefined) {
    if (isRoot) {
      const why = 'say whom to serve as, for example --user www-data; --user root, if it has to be root';
      throw new OptionError('ERR_USAGE', { option: 'user', why: `is missing, and this is root: ${why}` });
    }
    if (group !== undefined && lookUpGroup(group) !== posix.getgid()) throw notRoot('group', group);
    return undefined;
  }
  const { uid, gid: ownGroup } = lookUpUser(user);
  if (uid === undefined || (!isRoot && uid !== posix.getuid())) throw notRoot('user', user);
  const gid = group === undefined ? ownGroup : lookUpGroup(group);
  if (!isRoot) {
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
  return { user, uid, gid, hasEntry: ownGroup !== undefined };
}

/** @throws OptionError `ERR_USAGE` for a user or group that the system does not know. */
export function requireKnown(option: 'user' | 'group', name: string): void {
  if (option === 'user') lookUpUser(name);
  else lookUpGroup(name);
}

/**
 * Becomes that user for good, with its supplementary groups; nothing leads back. The environment follows, so that
 * programs don't look into root's home.
 *
 * @throws BridgeError `ERR_START` where the system does not let root do so, as in a container without the capability.
 */
export function become(identity: Identity): void {
  const { user, uid, gid, hasEntry } = identity;
  changing(identity, () => {
    posix.setgid(gid);
    posix.setuid(uid);
  });
  const { username, homedir } = hasEntry ? userInfo() : { username: user, homedir: '/' };
  Object.assign(process.env, { USER: username, LOGNAME: username, HOME: homedir });
}

/**
 * What `action` returns, done with the rights of that user; afterwards we are root again. It must not wait for anything.
 *
 * @throws BridgeError `ERR_START`, and what `action` throws.
 */
export function as<T>(identity: Identity | undefined, action: () => T): T {
  if (identity === undefined) return action();
  const groups = posix.getgroups();
  const gid = posix.getegid();
  changing(identity, () => {
    posix.setegid(identity.gid);
    posix.seteuid(identity.uid);
  });
  try {
    return action();
  } finally {
    posix.seteuid(ROOT);
    posix.setegid(gid);
    posix.setgroups(groups);
  }
}

/**
 * Makes an empty file that belongs to that user, where there is none and root alone may make one; what it can't do,
 * whoever opens the file is told. No link is followed: its directory may be somebody else's.
 */
export function makeFor(identity: Identity | undefined, path: string): void {
  if (identity === undefined) return;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const make = (): void => {
    const descriptor = openSync(path, flags, 0o640);
    fchownSync(descriptor, identity.uid, identity.gid);
    closeSync(descriptor);
  };
  try {
    as(identity, make);
  } catch (error) {
    if (!['EACCES', 'EPERM'].includes(systemCodeOf(error) ?? '')) return;
    try {
      make();
    } catch {
      // Said by whoever opens it.
    }
  }
}

/** What the system knows of a user: no group where it has no entry, nothing where only root may ask. */
function lookUpUser(name: string): { readonly uid: number | undefined; readonly gid: number | undefined } {
  const number = numberOf(name);
  return (
    asking('user', name, () => {
      const before = posix.geteuid();
      // Node has no getpwnam(3), but it knows names where it changes the user.
      posix.seteuid(number ?? name);
      try {
        const { uid, gid } = userInfo();
        return { uid, gid };
      } catch {
        return { uid: posix.geteuid(), gid: undefined };
      } finally {
        posix.seteuid(before);
      }
    }) ?? { uid: number, gid: undefined }
  );
}

/** The number of a group; undefined where it is not ours and we are not root, who alone may ask. */
function lookUpGroup(name: string): number | undefined {
  const number = numberOf(name);
  if (number !== undefined) return number;
  return asking('group', name, () => {
    const before = posix.getegid();
    posix.setegid(name);
    const gid = posix.getegid();
    posix.setegid(before);
    return gid;
  });
}

function asking<T>(option: 'user' | 'group', name: string, ask: () => T): T | undefined {
  try {
    return ask();
  } catch (error) {
    if (systemCodeOf(error) === 'EPERM') return undefined;
    throw new OptionError('ERR_USAGE', { option, value: name, why: `the system knows no such ${option}` });
  }
}

function numberOf(name: string): number | undefined {
  return /^\d{1,9}$/.test(name) ? Number(name) : undefined;
}

function notRoot(option: 'user' | 'group', value: string): OptionError {
  const why = `only root may change its ${option}; start it as root, or as that one`;
  return new OptionError('ERR_USAGE', { option, value, why });
}

function changing({ user, uid, gid, hasEntry }: Identity, change: () => void): void {
  try {
    if (hasEntry) posix.initgroups(uid, gid);
    else posix.setgroups([gid]);
    change();
  } catch (cause) {
    const why = `the system does not let us change to it: ${reasonOf(cause)}`;
    throw new OptionError('ERR_START', { option: 'user', value: user, why }, { cause });
  }
}
