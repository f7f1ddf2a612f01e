/** Programs as files: the line that names a script's interpreter, and what keeps this process from executing one. */

import { constants, type Stats } from 'node:fs';
import { access, open, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';

import { type ByteString, fromBuffer, fromText, toBuffer, toText } from './bytes.js';
import { systemCodeOf } from './errors.js';

/** Whether this process may execute the file, or enter the directory. */
export function isExecutable(path: ByteString): Promise<boolean> {
  return mayAccess(path, constants.X_OK);
}

/** Whether this process finds the file, or may do with it what a `mode` of access(2) says. */
export function mayAccess(path: ByteString, mode = constants.F_OK): Promise<boolean> {
  return access(toBuffer(path), mode).then(
    () => true,
    () => false,
  );
}

/** Where a program may be: at its path or, by a name without a slash, in the directories of `path`. */
export function candidatesOf(program: ByteString, path: ByteString): readonly ByteString[] {
  return program.includes('/') ? [program] : path.split(':').map((directory) => `${directory}/${program}`);
}

/**
 * Whether a program is there for nobody: neither at its path nor, by a name without a slash, in a directory of `path`. What
 * this process may not look at may be there for another user.
 */
export async function isMissing(
  program: ByteString,
  path = fromText(process.env['PATH'] ?? ''),
): Promise<boolean> {
  if (path === '' && !program.includes('/')) return false;
  const codes = await Promise.all(
    candidatesOf(program, path).map((file) => stat(toBuffer(file)).catch(systemCodeOf)),
  );
  return codes.every((code) => code === 'ENOENT' || code === 'ENOTDIR');
}

/** Whom the system takes this process for. */
export function ownName(): string {
  try {
    return `user ${userInfo().username}`;
  } catch {
    return `user ${String(process.geteuid?.())}`;
  }
}

/** Why a file of these `stats` may not be executed, and what to do; `shown` is its name. */
export function whyNotExecutable(shown: string, { mode, uid, gid }: Stats): string {
  if ((mode & 0o111) === 0) return `${shown} is not executable; try chmod +x ${shown}`;
  const user = process.geteuid?.() ?? 0;
  const isOfGroup = gid === process.getegid?.() || process.getgroups?.().includes(gid) === true;
  const bits = user === 0 ? 0o111 : user === uid ? 0o100 : isOfGroup ? 0o010 : 0o001;
  if ((mode & bits) === 0) {
    const permissions = (mode & 0o7777).toString(8).padStart(4, '0');
    const file = `${shown} (mode ${permissions}, of user ${String(uid)})`;
    return `${file} may not be executed by ${ownName()}; change its mode, or serve as its owner`;
  }
  return `${shown} may not be executed, though its mode allows it: is its file system mounted noexec?`;
}

/** Linux takes that much of a first line; what is longer has no meaning that all systems agree on. */
const MAX_FIRST_LINE_BYTES = 255;

/** The first line of a file that we may execute and read; undefined without one, or for a longer one. */
export async function firstLine(path: ByteString): Promise<ByteString | undefined> {
  try {
    await access(toBuffer(path), constants.X_OK);
    // What was a file may be a named pipe by now, which nobody writes to.
    const file = await open(toBuffer(path), constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_FIRST_LINE_BYTES));
      const [line, ...rest] = fromBuffer(buffer.subarray(0, bytesRead)).split('\n');
      return rest.length > 0 ? line : undefined;
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}

/** What is wrong with the line by which a script names its interpreter, if that can be told. */
export async function interpreterFault(path: ByteString): Promise<string | undefined> {
  const line = await firstLine(path);
  if (line?.startsWith('#!') !== true) return undefined;
  if (line.endsWith('\r')) {
    return `its first line ends as Windows ends lines (${toText(line.slice(0, -1))}\\r); try dos2unix ${toText(path)}`;
  }
  const interpreter = /^#![ \t]*([^ \t]+)/.exec(line)?.[1] ?? '';
  if (await mayAccess(interpreter)) return undefined;
  return `the interpreter that its first line names does not exist: ${toText(interpreter)}`;
}
