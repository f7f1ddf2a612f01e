/** Temporary directories that are removed whatever the tests do. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

const made: string[] = [];

// Called here, and not where a directory is made: there it might belong to a hook, and run when that ends.
after(async () => {
  for (const path of made) await rm(path, { recursive: true, force: true });
});

/** A directory that is removed after the last test of the file. */
export async function temporaryDirectory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'fcgi2cgi-test-'));
  made.push(path);
  return path;
}
