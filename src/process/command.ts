/** Turns a command in octets into one that Node can start, whose strings it encodes as UTF-8. */

import { type ByteString, isText, toText } from '../bytes.js';

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
const shellOwn = ['PWD', 'OLDPWD', 'SHLVL', '_'];

/**
 * The command as text where that loses nothing. Otherwise a shell is started in its place: it rebuilds exactly what is
 * not UTF-8 from octal escapes, then becomes the program. Only that part appears in the process list, and only until
 * then; all other variables go through the environment as they always do.
 */
export function textCommand(command: Command): TextCommand {
  const { environment } = command;
  const words = [command.file, ...command.args];
  if ([...words, command.directory, ...environment.keys(), ...environment.values()].every(isText)) {
    return {
      file: toText(command.file),
      args: command.args.map(toText),
      directory: toText(command.directory),
      environment: Object.fromEntries([...environment].map(([name, value]) => [toText(name), toText(value)])),
    };
  }
  const kept = [...environment].filter(([name, value]) => shellName.test(name) && isText(value));
  const rebuilt = [...environment].filter(([name, value]) => shellName.test(name) && !isText(value));
  const foreign = [...environment].filter(([name]) => !shellName.test(name));
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
    ...shellOwn.filter((name) => !environment.has(name)).map((name) => `unset ${name}`),
    // Shells drop variables with such names, env does not; nice keeps env from reading a program's path as a pair.
    `exec${foreign.length > 0 ? ` env${quoted(foreignNames)} nice -n 0` : ''}${quoted(wordNames)}`,
  ];
  return {
    file: SHELL,
    args: ['-c', lines.join('\n')],
    directory: isText(command.directory) ? toText(command.directory) : '/',
    environment: Object.fromEntries(kept.map(([name, value]) => [name, toText(value)])),
  };
}

/** A shell assignment of exactly these octets; command substitution drops newlines at the end, so an x guards them. */
function assign(name: string, bytes: ByteString): string {
  const escaped = Array.from(bytes, (octet) =>
    /[A-Za-z0-9_./=:,-]/.test(octet) ? octet : `\\${octet.charCodeAt(0).toString(8).padStart(3, '0')}`,
  ).join('');
  return `${name}=$(printf '${escaped}x'); ${name}=\${${name}%x}`;
}
