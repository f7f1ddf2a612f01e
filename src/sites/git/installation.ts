/** Finds git's CGI scripts, and the version of git, for which gitweb would run a shell and git in each request. */

import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { type ByteString, fromText, toBuffer } from '../../base/bytes.js';
import { firstLine, isExecutable, isMissing, mayAccess } from '../../base/executable.js';
import { OptionError, reasonOf, systemCodeOf } from '../../base/errors.js';

/** A git installation; all paths are absolute. */
export interface Git {
  readonly git: ByteString;
  readonly httpBackend: ByteString;
  readonly gitweb: ByteString;
  /** The directory of gitweb's style, script and images. */
  readonly gitwebStatic: ByteString;
}

const run = promisify(execFile);
const TIMEOUT_MS = 20_000;

/** Where gitweb is, below the prefix that git is installed under and elsewhere. */
const gitwebPaths = (execPath: string): string[] => [
  // PREFIX/lib/git-core or PREFIX/libexec/git-core, and git's own Makefile puts it below PREFIX/share.
  join(execPath, '../../share/gitweb/gitweb.cgi'),
  join(execPath, '../../share/examples/git/gitweb/gitweb.cgi'),
  '/usr/share/gitweb/gitweb.cgi',
  '/usr/local/share/gitweb/gitweb.cgi',
  '/var/www/git/gitweb.cgi',
  '/var/www/cgi-bin/gitweb.cgi',
  '/usr/lib/cgi-bin/gitweb.cgi',
];

const NOWHERE = 'there is no such program; install git or name it with --git PATH';

/** Runs nothing. @throws OptionError `ERR_GIT` if `git`, or a gitweb that is named, is there for nobody. */
export async function requireGit(git: string, gitweb: string | undefined): Promise<void> {
  if (await isMissing(fromText(git))) throw wrong('git', git, NOWHERE);
  if (gitweb !== undefined && (await isMissing(fromText(gitweb)))) throw wrong('gitweb', gitweb, NO_GITWEB);
}

const NO_GITWEB = 'not an executable file; expected the path of gitweb.cgi';

/**
 * Asks `git` where its parts are, and looks for gitweb unless it is named.
 *
 * @throws OptionError `ERR_GIT` if one is missing, or gitweb's Perl lacks what gitweb needs.
 */
export async function findGit(git: string, gitweb: string | undefined): Promise<Git> {
  const execPath = await askExecPath(git);
  const httpBackend = join(execPath, 'git-http-backend');
  if (!(await isExecutable(httpBackend))) {
    throw wrong(
      'git',
      git,
      `there is no ${httpBackend}; install all of git, or name another with --git PATH`,
    );
  }
  const script = gitweb ?? (await firstExecutable(gitwebPaths(execPath)));
  if (script === undefined) {
    const paths = gitwebPaths(execPath).join(', ');
    throw wrong('gitweb', undefined, `is needed, and none of ${paths} exists; install gitweb or name it`);
  }
  if (!(await isExecutable(fromText(script)))) {
    throw wrong('gitweb', script, NO_GITWEB);
  }
  await expectPerlModule(script);
  const gitwebStatic = await staticDirectory(await realpath(script), execPath);
  return {
    git: fromText(join(execPath, 'git')),
    httpBackend: fromText(httpBackend),
    gitweb: fromText(script),
    gitwebStatic: fromText(gitwebStatic),
  };
}

const wrong = (
  option: 'git' | 'gitweb',
  value: string | undefined,
  why: string,
  cause?: unknown,
): OptionError =>
  new OptionError('ERR_GIT', { option, ...(value === undefined ? {} : { value }), why }, { cause });

async function askExecPath(git: string): Promise<string> {
  try {
    const { stdout } = await run(git, ['--exec-path'], { cwd: '/', timeout: TIMEOUT_MS });
    const path = stdout.trim();
    if (path.startsWith('/') && !path.includes('\n')) return path;
    throw new Error(`git --exec-path names no directory (it said ${JSON.stringify(path)})`);
  } catch (error) {
    const why =
      systemCodeOf(error) === 'ENOENT'
        ? NOWHERE
        : reasonOf(error)
            .trim()
            .replaceAll(/\s*\n\s*/g, ' ');
    throw wrong('git', git, why, error);
  }
}

/** Gitweb would say so as well, but to each of its visitors, and only after the start. */
async function expectPerlModule(script: string): Promise<void> {
  const line = (await firstLine(fromText(script))) ?? '';
  const [, perl, argument] = /^#!\s*(\S*\bperl\S*|\S*\benv)[ \t]*(\S+)?/.exec(line) ?? [];
  if (perl === undefined) return;
  const before = perl.endsWith('env') && argument !== undefined ? [argument] : [];
  try {
    await run(perl, [...before, '-MCGI', '-e', '1'], { cwd: '/', timeout: TIMEOUT_MS });
  } catch (error) {
    const install = 'install it (Debian: libcgi-pm-perl)';
    const command = `the Perl that runs it, ${[perl, ...before].join(' ')},`;
    const { stderr = '' } = error as { stderr?: string };
    const why =
      systemCodeOf(error) === 'ENOENT'
        ? `there is no ${perl}, which its first line names`
        : stderr.includes("Can't locate CGI.pm")
          ? `${command} has no module CGI; ${install}`
          : `${command} can't load CGI: ${(stderr.trim() || reasonOf(error)).replaceAll(/\s*\n\s*/g, ' ')}`;
    throw wrong('gitweb', script, why, error);
  }
}

/** Beside the script in the directory `static`, or right beside it; a script that stands alone gets the system's. */
async function staticDirectory(script: string, execPath: string): Promise<string> {
  const beside = [join(dirname(script), 'static'), dirname(script)];
  const others = gitwebPaths(execPath).map((place) => join(dirname(place), 'static'));
  for (const directory of [...beside, ...others]) {
    if (await mayAccess(fromText(join(directory, 'gitweb.css')), constants.R_OK)) return directory;
  }
  return join(dirname(script), 'static');
}

async function firstExecutable(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if (await isExecutable(fromText(path))) return path;
  return undefined;
}

/** How long what is known is good for, before the program is looked at again. */
const LOOK_AGAIN_MS = 10_000;
/** A file that has changed so short a time before may change again and have the same times, which are in seconds. */
const RACY_MS = 2_000;

/** Remembers the version; a process that is given it compares the file once more. */
export class GitVersion {
  readonly #git: ByteString;
  #known: { readonly file: string; readonly version: string | undefined } | undefined;
  readonly #now: () => number;
  #lookedAt = -Infinity;
  /** Settles, and never rejects, when what `known` has begun is done. */
  looked: Promise<void> = Promise.resolve();

  /** The clock's milliseconds are those of the file system's times. */
  constructor(git: ByteString, now = Date.now) {
    this.#git = git;
    this.#now = now;
  }

  /**
   * `DEV:INODE:SIZE:MTIME:CTIME VERSION`, times in seconds; undefined as long as it is not known. It is not of a script,
   * which may run another git.
   */
  known(): ByteString | undefined {
    const now = this.#now();
    if (now - this.#lookedAt >= LOOK_AGAIN_MS) {
      this.#lookedAt = now;
      this.looked = this.#look().catch(() => {
        this.#known = undefined;
      });
    }
    return this.#known?.version === undefined
      ? undefined
      : fromText(`${this.#known.file} ${this.#known.version}`);
  }

  async #look(): Promise<void> {
    const path = toBuffer(this.#git);
    const since = this.#now();
    const file = await identityOf(path, since);
    if (file === undefined || file === this.#known?.file) return;
    const version = (await firstLine(this.#git))?.startsWith('#!') === true ? undefined : await ask(path);
    if ((await identityOf(path, since)) === file) this.#known = { file, version };
  }
}

/** Two are the same only if nobody has changed the file between them; undefined if that can't be told yet. */
async function identityOf(path: Buffer, now: number): Promise<string | undefined> {
  const status = await stat(path, { bigint: true });
  const { dev, ino, size, mtimeMs, ctimeMs } = status;
  if (!status.isFile() || now - Number(ctimeMs) < RACY_MS) return undefined;
  return [dev, ino, size, mtimeMs / 1_000n, ctimeMs / 1_000n].join(':');
}

async function ask(path: Buffer): Promise<string | undefined> {
  const { stdout } = await run(path.toString(), ['--version'], { cwd: '/', timeout: TIMEOUT_MS });
  return /^git version (.*)$/m.exec(stdout)?.[1];
}
