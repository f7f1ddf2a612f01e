/** Says what keeps this process from executing a file that is there. */

import type { Stats } from 'node:fs';
import { userInfo } from 'node:os';

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
