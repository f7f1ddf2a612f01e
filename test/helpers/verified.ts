/** `fcgi2cgi verify`, run to its end. */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { runBridge } from './bridge.js';
import { temporaryDirectory } from './temporary.js';

/** What it says of a request, as with `--json`. */
export interface Verified {
  readonly method: string;
  readonly target: string;
  readonly result: string;
  readonly status?: number;
  readonly reason?: string;
  readonly warmRuns?: number;
  readonly varies?: readonly string[];
  readonly differences?: readonly Record<string, unknown>[];
}

export interface VerifyEnd {
  readonly status: number | null;
  readonly verified: readonly Verified[];
  /** Its last line. */
  readonly counts: string;
}

/** Verifies these paths of the site that `args` describe. */
export async function verified(args: readonly string[], paths: readonly string[]): Promise<VerifyEnd> {
  const requests = join(await temporaryDirectory(), 'requests');
  await writeFile(requests, paths.map((path) => `${path}\n`).join(''));
  const { status, stdout, stderr } = await runBridge(['verify', ...args, '--json', '--requests', requests]);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return {
    status,
    verified: lines.map((line) => JSON.parse(line) as Verified),
    counts: stderr.trim().split('\n').at(-1) ?? '',
  };
}
