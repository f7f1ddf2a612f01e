/** Whether a user who serves can run the program where it is installed. */

import { realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

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
