/** What a process hands on to what it makes and starts: where it runs, and its umask. */

import { BridgeError, OptionError, reasonOf } from '../../base/errors.js';

/** Relative paths begin where the command was started. @throws BridgeError `ERR_START` where that directory is gone */
export function requireWorkingDirectory(): void {
  try {
    process.cwd();
  } catch (cause) {
    const why = 'the directory that this was started in is gone; go to one that is there, such as /';
    throw new BridgeError('ERR_START', why, { cause });
  }
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
