/** Trees of files for tests, written down as what is in them. */

import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What a path is: `'directory'`, a file with its content, or a symbolic link. */
export type Entry =
  | 'directory'
  | { readonly content: string; readonly mode?: number }
  | { readonly link: string };

/** An empty file, as `touch` makes it. */
export const empty: Entry = { content: '' };

/** Makes what the record says below `root`, with the directories above it; paths and links are byte strings. */
export async function makeTree(root: string, entries: Readonly<Record<string, Entry>>): Promise<void> {
  for (const [name, entry] of Object.entries(entries)) {
    const path = Buffer.from(`${root}/${name}`, 'latin1');
    await mkdir(Buffer.from(dirname(`${root}/${name}`), 'latin1'), { recursive: true });
    if (entry === 'directory') await mkdir(path, { recursive: true });
    else if ('link' in entry) await symlink(Buffer.from(entry.link, 'latin1'), path);
    else await writeFile(path, entry.content, { mode: entry.mode ?? 0o644 });
  }
}
