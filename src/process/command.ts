/** Turns a command in octets into one that Node can start, whose strings it encodes as UTF-8. */

import { type ByteString, isText, toText } from '../bytes.js';
import { refuseNul } from './start-error.js';

/** A program to start, octet by octet. */
export interface Command {
  readonly file: ByteString;
  readonly args: readonly ByteString[];
  readonly directory: ByteString;
  readonly environment: ReadonlyMap<ByteString, ByteString>;
}

/** The same in the strings that `child_process` takes. */
export interface TextCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
}

const SHELL = '/bin/sh';
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
 * @throws BridgeError `ERR_SPAWN` for a NUL octet, which no command can hold and a shell would leave out.
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
      : [`${assign('fcgi2cgi_dir', command.directory)}; cd -- "$fcgi2cgi_dir" || exit 127`]),
    ...rebuilt.map(([name, value]) => `${assign(name, value)}; export ${name}`),
    ...words.map((word, index) => assign(String(wordNames[index]), word)),
    ...foreign.map(([name, value], index) => assign(String(foreignNames[index]), `${name}=${value}`)),
    `unset ${shellExports.join(' ')}`,
    // Shells drop or change such variables, env does not; nice keeps env from reading a program's path as a pair.
    `exec${foreign.length > 0 ? ` env --${quoted(foreignNames)} nice -n 0` : ''}${quoted(wordNames)}`,
  ];
  return {
    file: SHELL,
    args: ['-c', lines.join('\n')],
    directory: isText(command.directory) ? toText(command.directory) : '/',
    environment: Object.fromEntries(kept.map(([name, value]) => [name, toText(value)])),
  };
}

/**
 * A shell assignment of exactly these octets. Command substitution drops newlines at the end, so a dot guards them (no
 * encoding has it as the second half of a character); a dash is escaped, since at the start it would be an option.
 */
function assign(name: string, bytes: ByteString): string {
  const escaped = Array.from(bytes, (octet) =>
    /[A-Za-z0-9_./=:,]/.test(octet) ? octet : `\\${octet.charCodeAt(0).toString(8).padStart(3, '0')}`,
  ).join('');
  return `${name}=$(printf '${escaped}.'); ${name}=\${${name}%.}`;
}
