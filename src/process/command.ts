/** Turns a command in octets into one that Node can start, whose strings it encodes as UTF-8. */

import { type ByteString, isText, toText } from '../bytes.js';
import { refuseNul, startError } from './start-error.js';

/** A program to start, octet by octet. */
export interface Command {
  readonly file: ByteString;
  readonly args: readonly ByteString[];
  readonly directory: ByteString;
  readonly environment: ReadonlyMap<ByteString, ByteString>;
  /**
   * All of its standard input, where that is known. Whoever starts it may give it that: the process's `stdin` is
   * destroyed then, else it is still to be written.
   */
  readonly input?: Buffer;
}

/** The same in the strings that `child_process` takes. */
export interface TextCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
}

const SHELL = '/bin/sh';
/** Octets of a value that one line of shell holds, four times as long: an argument of Linux has at most 128 KiB. */
const PIECE_OCTETS = 16_384;
/** Octets that an argument or a variable of a program has at most (Linux: MAX_ARG_STRLEN, with pages of 4 KiB). */
const MAX_STRING_BYTES = 131_071;
/** A name that a POSIX shell keeps in its environment; others it may drop on its way to the program. */
const shellName = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** What some shells set for themselves and would pass on. */
const shellExports = ['PWD', 'OLDPWD', 'SHLVL', '_'];
/** Names whose values a shell checks, replaces or protects: dash ends at once when OPTIND is no number. */
const shellOwn = new Set([
  ...shellExports,
  ...['IFS', 'OPTARG', 'OPTIND', 'LINENO', 'PPID', 'PS1', 'PS2', 'PS4', 'RANDOM', 'SECONDS', 'UID', 'EUID'],
  ...['ENV', 'BASH_ENV', 'BASHOPTS', 'SHELLOPTS', 'CDPATH'],
]);

/**
 * The command as text where that loses nothing. Otherwise a shell is started in its place: it rebuilds exactly what is
 * not UTF-8 from octal escapes, then becomes the program. Only that part appears in the process list, and only until
 * then; all other variables go through the environment as they always do.
 *
 * @throws BridgeError `ERR_SPAWN` for a NUL octet, which no command can hold and a shell would leave out; with a cause
 *   of E2BIG for what the system would refuse the shell, which could tell nobody.
 */
export function textCommand(command: Command): TextCommand {
  const { environment } = command;
  const words = [command.file, ...command.args];
  refuseNul(command);
  const all = [...words, command.directory, ...environment.keys(), ...environment.values()];
  if (all.every(isText)) {
    return {
      file: toText(command.file),
      args: command.args.map(toText),
      directory: toText(command.directory),
      environment: Object.fromEntries([...environment].map(([name, value]) => [toText(name), toText(value)])),
    };
  }
  refuseTooLong(command);
  const keeps = (name: ByteString): boolean => shellName.test(name) && !shellOwn.has(name);
  const kept = [...environment].filter(([name, value]) => keeps(name) && isText(value));
  const rebuilt = [...environment].filter(([name, value]) => keeps(name) && !isText(value));
  const foreign = [...environment].filter(([name]) => !keeps(name));
  const wordNames = words.map((_, index) => `fcgi2cgi_word_${String(index)}`);
  const foreignNames = foreign.map((_, index) => `fcgi2cgi_pair_${String(index)}`);
  const quoted = (names: readonly string[]): string => names.map((name) => ` "$${name}"`).join('');
  const lines = [
    ...(isText(command.directory)
      ? []
      : [...assign('fcgi2cgi_dir', command.directory), 'cd -- "$fcgi2cgi_dir" || exit 127']),
    ...rebuilt.flatMap(([name, value]) => [...assign(name, value), `export ${name}`]),
    ...words.flatMap((word, index) => assign(String(wordNames[index]), word)),
    ...foreign.flatMap(([name, value], index) => assign(String(foreignNames[index]), `${name}=${value}`)),
    `unset ${shellExports.join(' ')}`,
    // Shells drop or change such variables, env does not; nice keeps env from reading a program's path as a pair.
    `exec${foreign.length > 0 ? ` env --${quoted(foreignNames)} nice -n 0` : ''}${quoted(wordNames)}`,
  ];
  return {
    file: SHELL,
    // Line by line, since all of them may be larger than one argument can be.
    args: ['-c', 'for fcgi2cgi_line do eval "$fcgi2cgi_line"; done', 'sh', ...lines],
    directory: isText(command.directory) ? toText(command.directory) : '/',
    environment: Object.fromEntries(kept.map(([name, value]) => [name, toText(value)])),
  };
}

/** Lines of shell that give a variable exactly these octets. */
function assign(name: string, bytes: ByteString): string[] {
  const lines = [`${name}=`];
  for (let from = 0; from < bytes.length; from += PIECE_OCTETS) {
    lines.push(`fcgi2cgi_piece=$(${print(bytes.slice(from, from + PIECE_OCTETS))})`);
    lines.push(`${name}=$${name}\${fcgi2cgi_piece%.}`);
  }
  return lines;
}

/**
 * A printf of exactly these octets. Command substitution drops newlines at the end, so a dot guards them (no encoding
 * has it as the second half of a character); a dash is escaped, since at the start it would be an option.
 */
function print(bytes: ByteString): string {
  const escaped = Array.from(bytes, (octet) =>
    /[A-Za-z0-9_./=:,]/.test(octet) ? octet : `\\${octet.charCodeAt(0).toString(8).padStart(3, '0')}`,
  ).join('');
  return `printf '${escaped}.'`;
}

/** Where a shell starts the program, an error of the system's would be the shell's. */
function refuseTooLong(command: Command): void {
  const pairs = [...command.environment].map(([name, value]) => `${name}=${value}`);
  if (
    process.platform !== 'linux' ||
    [...command.args, ...pairs].every((all) => all.length <= MAX_STRING_BYTES)
  ) {
    return;
  }
  const cause = Object.assign(new Error('argument list too long'), { code: 'E2BIG' });
  throw startError(command, cause);
}
