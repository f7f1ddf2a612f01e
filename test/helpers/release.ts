/** What the Debian release that the tests run on has. */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Why a test can't run here, for its `skip`: this release has no package with its program. False where the program is
 * installed, and where its package is merely missing or nobody knows: there the test has to fail.
 */
export function lacking(program: string, debianPackage = program): string | false {
  if (pathOf(program) !== undefined) return false;
  // Without lists of packages, apt does not know dpkg either.
  const { stdout } = spawnSync('apt-cache', ['madison', 'dpkg', debianPackage], { encoding: 'utf8' });
  const known = new Set((stdout as string | null)?.split('\n').map((line) => line.split('|')[0]?.trim()));
  if (!known.has('dpkg') || known.has(debianPackage)) return false;
  return `this Debian release has no package ${debianPackage}`;
}

/** The path of a program that is installed, also where only root's PATH leads; of a path, itself. */
export function pathOf(program: string): string | undefined {
  if (program.startsWith('/')) return existsSync(program) ? program : undefined;
  const directories = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'];
  return directories.map((directory) => join(directory, program)).find((path) => existsSync(path));
}
