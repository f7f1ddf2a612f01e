/** Turns a command in bytes into one that Node can start, whose strings it encodes as UTF-8. */

import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';

import { type ByteString, isText, toBuffer, toText } from '../base/bytes.js';
import { BridgeError, reasonOf, systemCodeOf } from '../base/errors.js';
import {
  candidatesOf,
  interpreterFault,
  isExecutable,
  mayAccess,
  ownName,
  whyNotExecutable,
} from '../base/executable.js';

/** A program to start, byte by byte. */
export interface Command {
  readonly file: ByteString;
  readonly args: readonly ByteString[];
  readonly directory: ByteString;
  readonly variables: ReadonlyMap<ByteString, ByteString>;
  /**
   * All of its standard input, where that is known. What starts it may give it that: the process's `stdin` is
   * destroyed then, else it is still to be written.
   */
  readonly input?: Buffer;
  /** How much nicer than the daemon it is, from right after its start on. */
  readonly niceness?: number | undefined;
}

/** The same in the strings that `child_process` takes. */
export interface TextCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
}

const SHELL = '/bin/sh';
/** Bytes of a value that one line of shell holds, four times as long: an argument of Linux has at most 128 KiB. */
const PIECE_BYTES = 16_384;
/** Bytes that an argument or a variable of a program has at most (Linux: MAX_ARG_STRLEN, with pages of 4 KiB). */
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
 * @throws BridgeError `ERR_SPAWN` for a NUL byte, which no command can hold and a shell would leave out; with a cause
 *   of E2BIG for what the system would refuse the shell, which could tell nobody.
 */
export function textCommand(command: Command): TextCommand {
  const { variables } = command;
  const words = [command.file, ...command.args];
  refuseNul(command);
  const all = [...words, command.directory, ...variables.keys(), ...variables.values()];
  if (all.every(isText)) {
    return {
      file: toText(command.file),
      args: command.args.map(toText),
      directory: toText(command.directory),
      environment: Object.fromEntries([...variables].map(([name, value]) => [toText(name), toText(value)])),
    };
  }
  refuseTooLong(command);
  const keeps = (name: ByteString): boolean => shellName.test(name) && !shellOwn.has(name);
  const kept = [...variables].filter(([name, value]) => keeps(name) && isText(value));
  const rebuilt = [...variables].filter(([name, value]) => keeps(name) && !isText(value));
  const foreign = [...variables].filter(([name]) => !keeps(name));
  const wordNames = words.map((_, index) => `fcgi2cgi_word_${String(index)}`);
  const foreignNames = foreign.map((_, index) => `fcgi2cgi_pair_${String(index)}`);
  const quoted = (names: readonly string[]): string => names.map((name) => ` "$${name}"`).join('');
  const lines = [
    // Not every shell has its own, as OpenBSD's.
    `command -v printf >/dev/null || printf() { ${tool('printf')} "$@"; }`,
    ...(isText(command.directory)
      ? []
      : [...assign('fcgi2cgi_dir', command.directory), 'cd -- "$fcgi2cgi_dir" || exit 127']),
    ...rebuilt.flatMap(([name, value]) => [...assign(name, value), `export ${name}`]),
    ...words.flatMap((word, index) => assign(String(wordNames[index]), word)),
    ...foreign.flatMap(([name, value], index) => assign(String(foreignNames[index]), `${name}=${value}`)),
    `unset ${shellExports.join(' ')}`,
    // Shells drop or change such variables, env does not; nice keeps env from reading a program's path as a pair.
    `exec${foreign.length > 0 ? ` ${tool('env')} --${quoted(foreignNames)} ${tool('nice')} -n 0` : ''}${quoted(wordNames)}`,
  ];
  return {
    file: SHELL,
    // Line by line, since all of them may be larger than one argument can be.
    args: ['-c', 'for fcgi2cgi_line do eval "$fcgi2cgi_line"; done', 'sh', ...lines],
    directory: isText(command.directory) ? toText(command.directory) : '/',
    environment: Object.fromEntries(kept.map(([name, value]) => [name, toText(value)])),
  };
}

/** Lines of shell that give a variable exactly these bytes. */
function assign(name: string, bytes: ByteString): string[] {
  const lines = [`${name}=`];
  for (let from = 0; from < bytes.length; from += PIECE_BYTES) {
    lines.push(`fcgi2cgi_piece=$(${print(bytes.slice(from, from + PIECE_BYTES))})`);
    lines.push(`${name}=$${name}\${fcgi2cgi_piece%.}`);
  }
  return lines;
}

/**
 * A printf of exactly these bytes. Command substitution drops newlines at the end, so a dot guards them (no encoding
 * has it as the second half of a character); a dash is escaped, since at the start it would be an option.
 */
function print(bytes: ByteString): string {
  const escaped = Array.from(bytes, (byte) =>
    /[A-Za-z0-9_./=:,]/.test(byte) ? byte : `\\${byte.charCodeAt(0).toString(8).padStart(3, '0')}`,
  ).join('');
  return `printf '${escaped}.'`;
}

/** Looked up once each: this waits for the file system. */
const tools = new Map<string, string>();

/** A tool as a word of shell, by the daemon's own PATH: the program's may lack it, or have another. */
function tool(name: string): string {
  let word = tools.get(name);
  if (word === undefined) {
    const paths = candidatesOf(name, process.env['PATH'] ?? '');
    const path = paths.find((each) => each.startsWith('/') && existsSync(each)) ?? name;
    word = `'${path.replaceAll("'", `'\\''`)}'`;
    tools.set(name, word);
  }
  return word;
}

/** Where a shell starts the program, an error of the system's would be the shell's. */
function refuseTooLong(command: Command): void {
  const pairs = [...command.variables].map(([name, value]) => `${name}=${value}`);
  if (
    process.platform !== 'linux' ||
    [...command.args, ...pairs].every((all) => all.length <= MAX_STRING_BYTES)
  ) {
    return;
  }
  const reason = 'argument list too long';
  throw spawnError(command, reason, Object.assign(new Error(reason), { code: 'E2BIG' }));
}

/** The `ERR_SPAWN` of a command, with what the system has said as its cause. Never rejects. */
export async function startError(command: Command, cause: unknown): Promise<BridgeError> {
  const code = systemCodeOf(cause);
  const why = code === 'ENOENT' ? missing(command) : code === 'EACCES' ? forbidden(command) : undefined;
  return spawnError(command, (await why) ?? reasonOf(cause), cause);
}

function spawnError({ file }: Command, reason: string, cause?: unknown): BridgeError {
  return new BridgeError('ERR_SPAWN', `${toText(file)} could not be started: ${reason}`, { cause });
}

/** What it is that the system says is not there; it names the program, whatever is missing. */
async function missing({ file, directory }: Command): Promise<string> {
  if (!(await mayAccess(directory))) return `there is no directory ${toText(directory)}`;
  if (!(await mayAccess(file))) return 'there is no such file';
  return (await interpreterFault(file)) ?? 'the interpreter that its first line names does not exist';
}

/** What it is that the system does not let this process execute. */
async function forbidden({ file, directory }: Command): Promise<string | undefined> {
  if (!(await isExecutable(directory))) return `${toText(directory)} may not be entered by ${ownName()}`;
  const stats = await stat(toBuffer(file)).catch(() => undefined);
  if (stats === undefined) return undefined;
  if (!(await isExecutable(file))) return whyNotExecutable(toText(file), stats);
  return 'the interpreter that its first line names may not be executed';
}

/** @throws BridgeError `ERR_SPAWN` for a NUL byte, which no command can hold. */
export function refuseNul(command: Command): void {
  const { file, args, directory, variables } = command;
  let hasNul = [file, ...args, directory].join('').includes('\0');
  for (const [name, value] of variables) hasNul ||= name.includes('\0') || value.includes('\0');
  if (!hasNul) return;
  throw spawnError(command, 'an argument, a variable or its directory contains a NUL byte');
}
