/** Directories that this user may not list or enter: root, who may run the tests, may do both. */

import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { mock } from 'node:test';

/** What `look` finds where the directory is listed with the error `listed`, and entered with `entered` unless that works. */
export async function barred<T>(
  directory: string,
  [listed, entered]: readonly [listed: string, entered?: string],
  look: () => Promise<T>,
): Promise<T> {
  const error = (code: string): Error => Object.assign(new Error(code), { code });
  const isMeant = (path: fs.PathLike): boolean => path.toString().replace(/\/\.$/, '') === directory;
  const { accessSync, readdirSync } = fs;
  const { access, opendir } = fs.promises;
  const mocks = [
    mock.method(fs, 'readdirSync', (path: Buffer, options: { withFileTypes: true }) => {
      if (isMeant(path)) throw error(listed);
      return readdirSync(path, options);
    }),
    mock.method(fs, 'accessSync', (path: Buffer, mode: number) => {
      if (isMeant(path) && entered !== undefined) throw error(entered);
      accessSync(path, mode);
    }),
    mock.method(fs.promises, 'opendir', (path: Buffer, options: object) =>
      isMeant(path) ? Promise.reject(error(listed)) : opendir(path, options),
    ),
    mock.method(fs.promises, 'access', (path: Buffer, mode: number) =>
      isMeant(path) && entered !== undefined ? Promise.reject(error(entered)) : access(path, mode),
    ),
  ];
  syncBuiltinESMExports();
  try {
    return await look();
  } finally {
    for (const { mock } of mocks) mock.restore();
    syncBuiltinESMExports();
  }
}
