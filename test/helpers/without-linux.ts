/** The package as it is where Linux gives no help: no /proc, no koffi, no tools but POSIX's. */

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { copyPackage } from './package-copy.js';
import { pathOf } from './release.js';

/** The utilities of POSIX.1-2017 that a program or a script of ours might run. */
const posix = (
  '[ awk basename cat chgrp chmod chown cksum cmp comm cp cut date dd df diff dirname du echo env expr false find ' +
  'fold getconf grep head id join kill link ln locale logger ls mkdir mkfifo mv nice nl nohup od paste pathchk ' +
  'printf pwd renice rm rmdir sed sh sleep sort split strings stty tail tee test time touch tr true tty umask ' +
  'uname uniq unlink wc who xargs'
).split(' ');
/** What the BSDs have besides: for their rc.subr, and for the scripts of ours that these read. */
const bsd = ['install', 'pgrep', 'pkill', 'readlink', 'su'];
const served = ['git', 'hg', 'perl', 'python3'];

export interface Elsewhere {
  /** What npm would have installed. */
  readonly directory: string;
  /** The command as it is installed. */
  readonly command: string;
  /** The only directory of PATH; `node` is there, and sees no /proc and believes to be on `platform`. */
  readonly path: string;
}

/** Makes one in a directory; root alone can hide /proc. */
export function elsewhere(directory: string, platform: NodeJS.Platform): Elsewhere {
  const path = join(directory, 'bin');
  mkdirSync(path);
  for (const name of [...posix, ...bsd, ...served]) {
    const found = pathOf(name);
    if (found !== undefined) symlinkSync(found, join(path, name));
  }
  const write = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text, { mode: 0o755 });
    return join(directory, name);
  };
  const preload = write(
    'platform.mjs',
    `Object.defineProperty(process, 'platform', { value: '${platform}' });\n`,
  );
  // The first word of the process's arguments is what ps shows of it, and what Node then takes itself for.
  const hide = write(
    'hide',
    `#!${required('bash')}
${required('mount')} -t tmpfs tmpfs /proc || exit
name=$1; shift
exec -a "$name" ${process.execPath} --import ${preload} "$@"
`,
  );
  // The BSDs' own asks the kernel.
  const seeing = `${required('mount')} -t proc proc /proc && exec ${required('ps')} "$@"`;
  write('bin/ps', `#!/bin/sh\nexec ${required('unshare')} --mount /bin/sh -c '${seeing}' ps "$@"\n`);
  write('bin/node', `#!/bin/sh\nexec ${required('unshare')} --mount ${hide} "$0" "$@"\n`);

  const installed = join(directory, 'fcgi2cgi');
  return { directory: installed, command: copyPackage(installed, { koffi: false }), path };
}

function required(program: string): string {
  const path = pathOf(program);
  if (path === undefined) throw new Error(`${program} is not installed`);
  return path;
}
