/** Programs as files: the line that names a script's interpreter, and what keeps this process from executing one. */

import { constants, type Stats } from 'node:fs';
import { access, open } from 'node:fs/promises';
import { userInfo } from 'node:os';

import { type ByteString, fromBuffer, toBuffer } from './bytes.js';

/** Whether this process may execute the file. */
export async function isExecutable(path: ByteString): Promise<boolean> {
  return access(toBuffer(path), constants.X_OK).then(
    () => true,
    () => false,
  );
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
export const MAX_FIRST_LINE_BYTES = 255;

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
