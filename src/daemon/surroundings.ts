/** What the process of a daemon hands on to what it makes and starts: where it runs, and its umask. */

import { OptionError, reasonOf } from '../errors.js';
import { as, type Identity } from './privileges.js';

/**
 * Makes `--chdir` the working directory, which whoever serves has to be permitted. Paths have been made absolute by now;
 * without one it is the root directory, as a daemon must not keep a file system busy that somebody wants to unmount.
 *
 * @throws OptionError `ERR_START`
 */
export function enter(chdir: string | undefined, identity: Identity | undefined): void {
  try {
    as(identity, () => {
      process.chdir(chdir ?? '/');
    });
  } catch (cause) {
    if (chdir === undefined) throw cause;
    throw new OptionError('ERR_START', { option: 'chdir', value: chdir, why: reasonOf(cause) }, { cause });
  }
}

/** Has `--umask` hold for all files that are made from now on, by us and by what we start. */
export function mask(umask: number | undefined): void {
  if (umask !== undefined) process.umask(umask);
}
