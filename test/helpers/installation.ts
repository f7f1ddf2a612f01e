/** The package as its users install it: from a tarball, with npm, below a prefix. */

import { chmod, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { type Ended, runToEnd, succeed } from './command.js';
import { becoming } from './rc.js';

const top = fileURLToPath(new URL('../../..', import.meta.url));
// Without the log that npm else keeps of each run.
const quiet = [
  '--prefer-offline',
  '--no-audit',
  '--no-fund',
  '--no-update-notifier',
  '--logs-max=0',
  '--silent',
];

export class Installation {
  readonly prefix: string;
  readonly #directory: string;
  /** Runs a command as an ordinary user who keeps what he makes to himself. */
  readonly #become: readonly string[];

  /** `directory` takes the tarball, which has to be made, and `prefix` what npm makes of it, once it is installed. */
  constructor(directory: string, prefix: string, user: string) {
    this.prefix = prefix;
    this.#directory = directory;
    this.#become = ['setpriv', ...becoming(user), 'sh', '-c', 'umask 077; cd /; exec "$@"', 'sh'];
  }

  /** Packs what was built, installs it, and has nobody write there afterwards. */
  async install(): Promise<void> {
    await succeed('npm', ['pack', '--ignore-scripts', '--pack-destination', this.#directory, ...quiet], {
      cwd: top,
    });
    const [tarball = ''] = (await readdir(this.#directory)).filter((name) => name.endsWith('.tgz'));
    await mkdir(this.prefix, { recursive: true });
    await this.#npm('install', join(this.#directory, tarball));
    await succeed('chmod', ['-R', 'a-w', this.prefix]);
  }

  async uninstall(): Promise<void> {
    await succeed('chmod', ['-R', 'u+w', this.prefix]);
    await this.#npm('uninstall', 'fcgi2cgi');
  }

  /** The path of a file below the prefix. */
  at(...names: readonly string[]): string {
    return join(this.prefix, ...names);
  }

  /** What the ordinary user types for `fcgi2cgi` with these arguments. */
  command(args: readonly string[]): string[] {
    return [...this.#become, this.at('bin', 'fcgi2cgi'), ...args];
  }

  /** Runs `fcgi2cgi` to its end. */
  run(args: readonly string[]): Promise<Ended> {
    const [file = '', ...more] = this.command(args);
    return runToEnd(file, more);
  }

  /** Every file and directory below the prefix, with the time of its last change. */
  listing(): Promise<string> {
    return succeed('find', [this.prefix, '-printf', '%p %y %C@ %s\n']);
  }

  async #npm(...args: readonly string[]): Promise<void> {
    await succeed('npm', [...args, '--global', '--prefix', this.prefix, ...quiet], { cwd: this.#directory });
  }
}

/** A directory in `parent` whose name has what names seldom have, and which everybody may enter. */
export async function oddDirectory(parent: string, name: string): Promise<string> {
  const path = join(parent, `${name} – é мой`);
  await mkdir(path);
  await chmod(path, 0o755);
  return path;
}
