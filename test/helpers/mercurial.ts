/** Real Mercurial, with nobody's settings but the test's. */

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { fixture } from './bridge.js';
import { type Ended, runToEnd, succeed } from './command.js';
import { HgServer } from './hg-server.js';
import { type Leaver, startLeaver } from './leaving.js';
import { temporaryDirectory } from './temporary.js';
import { freePort, startProgram, type WebServer } from './webserver.js';

const env = {
  ...process.env,
  HGPLAIN: '1',
  HGRCPATH: '',
  HGUSER: 'Ann <ann@example.org>',
  HGENCODING: 'UTF-8',
};

/** By the extensions that they have loaded, which would be there for all commands that follow. */
const servers = new Map<string, HgServer>();

/** `hg` that must succeed; gives its standard output, octet by octet. */
export async function hg(args: readonly string[], cwd?: string): Promise<string> {
  const { status, stdout, stderr } = await tryHg(args, cwd);
  if (status === 0) return stdout;
  throw new Error(`hg ${args.join(' ')}: exit status ${String(status)}\n${stdout}${stderr}`);
}

/** `hg` whatever its exit status. */
export function tryHg(args: readonly string[], cwd?: string): Promise<Ended> {
  const extensions = args.filter((arg) => arg.startsWith('extensions.')).join();
  let server = servers.get(extensions);
  if (server === undefined) servers.set(extensions, (server = new HgServer(env)));
  return server.isBusy ? runToEnd('hg', args, { env, ...(cwd && { cwd }) }) : server.run(args, cwd);
}

/** Starts `hg`; gives what ends it, and all that it has started, in the middle. */
export function startHg(args: readonly string[], cwd: string): Leaver {
  return startLeaver('hg', args, cwd, env);
}

/** A repository whose first changeset has these files; names are byte strings. */
export async function makeRepository(
  path: string,
  files: Readonly<Record<string, string | Buffer>>,
  hgrc = '',
): Promise<void> {
  await mkdir(path, { recursive: true });
  await hg(['init'], path);
  await writeFile(join(path, '.hg/hgrc'), hgrc);
  for (const [name, content] of Object.entries(files)) {
    const file = Buffer.from(join(path, name), 'latin1');
    await mkdir(Buffer.from(dirname(join(path, name)), 'latin1'), { recursive: true });
    await writeFile(file, content);
  }
  await hg(['commit', '-q', '-A', '-m', 'First changeset', '-d', '1600000000 0'], path);
}

/** A repository with that many changesets and many heads. */
export async function makeLongRepository(path: string, changesets: number): Promise<void> {
  const python = await runToEnd('hg', ['debuginstall', '-T', '{pythonexe}'], { env });
  await succeed(python.stdout, [fixture('make-history.py'), path, String(changesets)], { env });
}

/** `hg serve` for these virtual names of repositories below `repos`: what hgweb itself makes of them. */
export async function startHgServe(
  repos: string,
  names: Readonly<Record<string, string>>,
): Promise<WebServer> {
  const config = join(await temporaryDirectory(), 'web.conf');
  const paths = Object.entries(names).map(([name, path]) => `${name} = ${join(repos, path)}\n`);
  await writeFile(config, `[paths]\n${paths.join('')}`);
  const port = await freePort();
  const args = ['serve', '--web-conf', config, '-a', '127.0.0.1', '-p', String(port)];
  return startProgram('hg', args, port, undefined, env);
}
