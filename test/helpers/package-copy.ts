/** The package where npm would have installed it, which may be another place than the one that it was built in. */

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The command, from the top of the tree. */
export const bundled = 'dist/bin/bundled/fcgi2cgi.js';
const top = fileURLToPath(new URL('../../..', import.meta.url));

/** Copies it to a directory, with koffi, which its bundle leaves out, or as where that is missing; gives its command. */
export function copyPackage(directory: string, { koffi }: { readonly koffi: boolean }): string {
  const parts = ['dist/bin', 'scripts', 'rc.d', 'package.json'];
  if (koffi) parts.push('node_modules/koffi', 'node_modules/@koromix');
  for (const part of parts.filter((each) => existsSync(join(top, each))))
    cpSync(join(top, part), join(directory, part), { recursive: true });
  return join(directory, bundled);
}

/** Set to what `readableTop` has found, for the processes that are started from here. */
const TOP = 'FCGI2CGI_TEST_TOP';

/**
 * The top of a tree that everybody can read, with the package and its fixtures: where only root can read this one, a copy,
 * which is gone when this process ends. Root's daemons become other users.
 */
export function readableTop(): string {
  return (process.env[TOP] ??= isReadable() ? top : copyForAll());
}

function isReadable(): boolean {
  if (process.getuid?.() !== 0) return true;
  const asNobody = ['--reuid=nobody', '--regid=nogroup', '--clear-groups'];
  return spawnSync('setpriv', [...asNobody, 'test', '-r', join(top, bundled)]).status !== 1;
}

function copyForAll(): string {
  const directory = mkdtempSync(join(tmpdir(), 'fcgi2cgi-test-'));
  process.once('exit', () => {
    rmSync(directory, { recursive: true });
  });
  copyPackage(directory, { koffi: true });
  cpSync(join(top, 'test/fixtures'), join(directory, 'test/fixtures'), { recursive: true });
  spawnSync('chmod', ['-R', 'a+rX', directory]);
  return directory;
}
