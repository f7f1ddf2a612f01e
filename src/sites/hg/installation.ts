/** Finds the Python that has Mercurial; the one that PATH calls python3 often has not. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { fromText } from '../../base/bytes.js';
import { isMissing } from '../../base/executable.js';
import { OptionError, reasonOf, systemCodeOf } from '../../base/errors.js';
import type { Mercurial } from './hg-site.js';

const run = promisify(execFile);
const TIMEOUT_MS = 20_000;

const NOWHERE = 'there is no such program; install Mercurial or name it with --hg PATH';

const wrong = (hg: string, why: string, cause?: unknown): OptionError =>
  new OptionError('ERR_MERCURIAL', { option: 'hg', value: hg, why }, { cause });

/** Runs nothing. @throws OptionError `ERR_MERCURIAL` if `hg` is there for nobody. */
export async function requireHg(hg: string): Promise<void> {
  if (await isMissing(fromText(hg))) throw wrong(hg, NOWHERE);
}

/** What was asked before it was needed, by the name of the program. */
const asked = new Map<string, Promise<string>>();

/** Asks beforehand: who calls it has something else to do that takes as long. The next `findMercurial` has the answer. */
export function askMercurial(hg: string): void {
  const answer = debugInstall(hg);
  // Who never comes to need it does not mind that it has failed.
  answer.catch(() => undefined);
  asked.set(hg, answer);
}

/**
 * Asks `hg` itself which Python runs it and where its modules are.
 *
 * @throws OptionError `ERR_MERCURIAL` if it is missing, or has no Python (a frozen build).
 */
export async function findMercurial(hg: string): Promise<Mercurial> {
  const answering = asked.get(hg) ?? debugInstall(hg);
  asked.delete(hg);
  const answer = await answering;
  const [python = '', modules = ''] = answer.split('\n');
  if (!python.startsWith('/') || !modules.startsWith('/')) {
    const why = `hg debuginstall names no Python with Mercurial's modules (it said ${JSON.stringify(answer)}); name another hg with --hg PATH`;
    throw wrong(hg, why);
  }
  return { python: fromText(python), modules: fromText(modules) };
}

async function debugInstall(hg: string): Promise<string> {
  try {
    const { stdout } = await run(hg, ['debuginstall', '-T', '{pythonexe}\n{hgmodules}\n'], {
      // Somebody's own settings and the repository in the working directory are none of its business.
      env: { ...process.env, HGPLAIN: '1', HGRCPATH: '' },
      cwd: '/',
      timeout: TIMEOUT_MS,
    });
    return stdout;
  } catch (error) {
    // It complains with a status of 1 of things that do not matter here (no user name, no editor), after it answered.
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    if (stdout !== undefined && stdout !== '') return stdout;
    const isNowhere = systemCodeOf(error) === 'ENOENT';
    throw wrong(hg, isNowhere ? NOWHERE : stderr?.trim().split('\n').at(-1) || reasonOf(error), error);
  }
}
