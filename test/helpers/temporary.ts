/** Temporary directories that are removed whatever the tests do. */

import { execFileSync } from 'node:child_process';
import { openSync } from 'node:fs';
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

/** Runs `action` while temporary files are to be made in another directory, which need not be there. */
export async function withTmpdir<T>(directory: string, action: () => Promise<T>): Promise<T> {
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = directory;
  try {
    return await action();
  } finally {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  }
}

/** A named pipe, which a script waits at until the test writes a line to it. */
export async function fifo(): Promise<string> {
  const path = join(await temporaryDirectory(), 'go-on');
  execFileSync('mkfifo', [path]);
  // Open at both ends until the test's process ends: else a write waits for ever when the script is gone.
  openSync(path, 'r+');
  return path;
}
