/** How root writes: only where nobody else may, and whole files at once. */

import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';

import { BridgeError } from '../../base/errors.js';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const { O_WRONLY, O_CREAT, O_EXCL, O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;

/** What another user may replace, root does not touch by its name. @throws BridgeError for such a directory below `top` */
export function requireOurs(top: string, directory: string): void {
  const end = realpathSync(top === '' ? '/' : top);
  for (let each = realpathSync(directory); each !== end && each !== '/'; each = dirname(each)) {
    const { uid, mode } = lstatSync(each);
    if (uid === process.geteuid?.() && (mode & 0o022) === 0) continue;
    throw failure(each, 'belongs to another user, or others may write there', 'choose a directory of root’s');
  }
}

/** Makes a directory that must not be there yet. */
export function makeDirectory(path: string, mode: number, owner?: Owner): void {
  mkdirSync(path, { mode: 0o700 });
  settle(openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), mode, owner);
}

/** Another file takes the place of the one at `path`, with its mode and owner where no others are said. */
export function replaceFile(path: string, text: string, mode?: number, owner?: Owner): void {
  const before = lstatSync(path, { throwIfNoEntry: false });
  const temporary = `${path}.fcgi2cgi-new`;
  // Of a run that was killed: only root writes here.
  rmSync(temporary, { force: true });
  const descriptor = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    settle(descriptor, mode ?? (before === undefined ? 0o644 : before.mode & 0o7777), owner ?? before, text);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function settle(descriptor: number, mode: number, owner?: Owner, text = ''): void {
  try {
    if (text !== '') writeFileSync(descriptor, text);
    if (owner !== undefined) fchownSync(descriptor, owner.uid, owner.gid);
    fchmodSync(descriptor, mode);
  } finally {
    closeSync(descriptor);
  }
}

export function failure(path: string, why: string, cure: string): BridgeError {
  return new BridgeError('ERR_START', `${path}: ${why}; ${cure}`);
}
