/** Real git, with nobody's settings but the test's. */

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { type Ended, runToEnd, succeed } from './command.js';
import { type Leaver, startLeaver } from './leaving.js';
import { temporaryDirectory } from './temporary.js';

const env = {
  ...process.env,
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_NAME: 'Ann Ärcher',
  GIT_AUTHOR_EMAIL: 'ann@example.org',
  GIT_AUTHOR_DATE: '1600000000 +0000',
  GIT_COMMITTER_NAME: 'Ann Ärcher',
  GIT_COMMITTER_EMAIL: 'ann@example.org',
  GIT_COMMITTER_DATE: '1600000000 +0000',
};

type Variables = Readonly<Record<string, string>>;

/** `git` that must succeed; gives its standard output, octet by octet. */
export function git(args: readonly string[], cwd = '/', variables: Variables = {}): Promise<string> {
  return succeed('git', args, { cwd, env: { ...env, ...variables } });
}

/** `git` whatever its exit status. */
export function tryGit(args: readonly string[], cwd = '/', variables: Variables = {}): Promise<Ended> {
  return runToEnd('git', args, { cwd, env: { ...env, ...variables } });
}

/** Starts `git`; gives what ends it, and all that it has started, in the middle. */
export function startGit(args: readonly string[], cwd: string): Leaver {
  return startLeaver('git', args, cwd, env);
}

/** A working tree with a repository whose first commit on main has these files; names are byte strings. */
export async function makeWorkTree(
  path: string,
  files: Readonly<Record<string, string | Buffer>>,
): Promise<void> {
  await mkdir(path, { recursive: true });
  await git(['init', '-q', '-b', 'main'], path);
  for (const [name, content] of Object.entries(files)) {
    const file = Buffer.from(join(path, name), 'latin1');
    await mkdir(Buffer.from(dirname(join(path, name)), 'latin1'), { recursive: true });
    await writeFile(file, content);
  }
  await git(['add', '-A'], path);
  await git(['commit', '-q', '-m', 'First commit'], path);
}

/** A bare repository of the same; gives the working tree that it was made from, to make more of. */
export async function makeBareRepository(
  path: string,
  files: Readonly<Record<string, string | Buffer>>,
  { exported = true }: { exported?: boolean } = {},
): Promise<string> {
  const work = join(await temporaryDirectory(), 'work');
  await makeWorkTree(work, files);
  await mkdir(dirname(path), { recursive: true });
  await git(['clone', '-q', '--bare', work, path]);
  if (exported) await writeFile(join(path, 'git-daemon-export-ok'), '');
  return work;
}
