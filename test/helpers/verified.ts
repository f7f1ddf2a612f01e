/** `fcgi2cgi verify`, run to its end. */

import assert from 'node:assert/strict';
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

/** Fails unless each path had this status, was run warm, and was answered to the letter as by a new process. */
export async function answersTheSame(
  args: readonly string[],
  paths: Readonly<Record<string, number>>,
): Promise<void> {
  const { status, verified: found } = await verified(args, Object.keys(paths));
  assert.deepEqual(
    found.map(({ target, result, status: seen, varies, differences }) => [
      target,
      result,
      seen,
      varies,
      differences,
    ]),
    Object.entries(paths).map(([path, expected]) => [path, 'same', expected, [], []]),
  );
  assert.ok(found.every(({ warmRuns = 0 }) => warmRuns > 0));
  assert.equal(status, 0);
}

/** The same pages at paths that begin with `before`. */
export function pagesAt(before: string, pages: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(pages).map(([page, status]) => [before + page, status]));
}
