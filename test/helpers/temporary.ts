/** Temporary directories and clean-up that happens whatever the test does. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

/** A directory for the whole test file or suite, removed after it. */
export async function temporaryDirectory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'fcgi2cgi-test-'));
  after(() => rm(path, { recursive: true, force: true }));
  return path;
}
