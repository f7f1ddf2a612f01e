/** The functions of the C library that Node lacks, most of which start and reap processes, called through koffi, which may not be installed. */

import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { getSystemErrorMap, promisify } from 'node:util';

import { type ByteString, toBuffer } from '../base/bytes.js';
import { reasonOf } from '../base/errors.js';

/** Bytes that a C function reads or writes. The caller keeps them until it has returned. */
export type Memory = NodeJS.ArrayBufferView;

export type Call<Args extends unknown[]> = (...args: Args) => number;

/** Each returns what its manual page says; those of posix_spawn return an error number. */
export interface LibC {
  readonly pipe2: Call<[descriptors: Memory, flags: number]>;
  readonly read: Call<[descriptor: number, bytes: Memory, length: number]>;
  readonly dup2: Call<[descriptor: number, as: number]>;
  readonly fcntl: Call<[descriptor: number, command: number, type: 'int', argument: number]>;
  readonly kill: Call<[pid: number, signal: number]>;
  readonly setpriority: Call<[which: number, who: number, niceness: number]>;
  /** Ends the process at once, with all of its threads. */
  readonly exit: Call<[status: number]>;
  readonly socket: Call<[domain: number, type: number, protocol: number]>;
  readonly listen: Call<[descriptor: number, backlog: number]>;
  readonly recv: Call<[descriptor: number, bytes: Memory, length: number, flags: number]>;
  readonly shutdown: Call<[descriptor: number, how: number]>;
  readonly sendto: Call<
    [descriptor: number, bytes: Memory, length: number, flags: number, address: Memory, addressLength: number]
  >;
  readonly waitpid: Call<[pid: number, status: Memory, options: number]>;
  readonly initActions: Call<[actions: Memory]>;
  readonly destroyActions: Call<[actions: Memory]>;
  readonly addDup2: Call<[actions: Memory, descriptor: number, as: number]>;
  readonly addChdir: Call<[actions: Memory, path: Memory]>;
  readonly initAttributes: Call<[attributes: Memory]>;
  readonly setFlags: Call<[attributes: Memory, flags: number]>;
  readonly setSignalDefault: Call<[attributes: Memory, signals: Memory]>;
  readonly setSignalMask: Call<[attributes: Memory, signals: Memory]>;
  readonly fillSignals: Call<[signals: Memory]>;
  readonly emptySignals: Call<[signals: Memory]>;
  /** On another thread. */
  readonly spawn: (
    ...args: [pid: Memory, path: Memory, actions: Memory, attributes: Memory, argv: Memory, envp: Memory]
  ) => Promise<number>;
  /** The error number that the last call has left. */
  readonly errno: () => number;
  readonly addressOf: (memory: Memory) => bigint;
  readonly pointerBytes: number;
}

/** What we use of koffi; its own types are not there where it is not. */
export interface Koffi {
  load(library: null): { func(prototype: string): unknown };
  readonly errno: () => number;
  readonly address: (memory: Memory) => bigint;
  sizeof(type: string): number;
}

export type LoadedLibC =
  | { readonly kind: 'loaded'; readonly libc: LibC }
  | { readonly kind: 'missing'; readonly reason: string };

let loaded: LoadedLibC | undefined;

/** Loads it once; it stays. */
export function loadLibC(): LoadedLibC {
  return (loaded ??= load());
}

function load(): LoadedLibC {
  // Elsewhere flags have other values, and sessions and directories are not posix_spawn's business everywhere.
  if (process.platform !== 'linux') return missing(`posix_spawn is not known on ${process.platform}`);
  try {
    return { kind: 'loaded', libc: bind(loadKoffi()) };
  } catch (error) {
    return missing(`koffi can’t be loaded (${reasonOf(error).split('\n')[0] ?? ''})`);
  }
}

/**
 * Ends the process at once, where Node would wait for ever for threads that a dead file system holds; without koffi by
 * SIGKILL. What waits to be written is lost.
 */
export function exitAtOnce(status: number): void {
  const loaded = loadLibC();
  if (loaded.kind === 'loaded') loaded.libc.exit(status);
  process.kill(process.pid, 'SIGKILL');
}

/** @throws Error where it is not installed, or not for this system */
export function loadKoffi(): Koffi {
  return createRequire(import.meta.url)('koffi') as Koffi;
}

function missing(reason: string): LoadedLibC {
  return { kind: 'missing', reason };
}

/** @throws Error where the C library lacks one of them. */
function bind(koffi: Koffi): LibC {
  const library = koffi.load(null);
  const call = <Args extends unknown[]>(prototype: string): Call<Args> =>
    library.func(prototype) as Call<Args>;
  const attributes = 'int posix_spawnattr_';
  const actions = 'int posix_spawn_file_actions_';
  const spawn = library.func('int posix_spawn(void *, void *, void *, void *, void *, void *)');
  return {
    pipe2: call('int pipe2(void *, int)'),
    read: call('long read(int, void *, size_t)'),
    dup2: call('int dup2(int, int)'),
    fcntl: call('int fcntl(int, int, ...)'),
    kill: call('int kill(int, int)'),
    setpriority: call('int setpriority(int, unsigned int, int)'),
    exit: call('void _exit(int)'),
    socket: call('int socket(int, int, int)'),
    listen: call('int listen(int, int)'),
    recv: call('long recv(int, void *, size_t, int)'),
    shutdown: call('int shutdown(int, int)'),
    sendto: call('long sendto(int, void *, size_t, int, void *, unsigned int)'),
    waitpid: call('int waitpid(int, void *, int)'),
    initActions: call(`${actions}init(void *)`),
    destroyActions: call(`${actions}destroy(void *)`),
    addDup2: call(`${actions}adddup2(void *, int, int)`),
    addChdir: call(`${actions}addchdir_np(void *, void *)`),
    initAttributes: call(`${attributes}init(void *)`),
    setFlags: call(`${attributes}setflags(void *, short)`),
    setSignalDefault: call(`${attributes}setsigdefault(void *, void *)`),
    setSignalMask: call(`${attributes}setsigmask(void *, void *)`),
    fillSignals: call('int sigfillset(void *)'),
    emptySignals: call('int sigemptyset(void *)'),
    spawn: promisify((spawn as { readonly async: () => void }).async),
    errno: koffi.errno,
    addressOf: koffi.address,
    pointerBytes: koffi.sizeof('void *'),
  };
}

/** `code` is the number's name (`ENOENT`), for `systemCodeOf`. */
export function systemError(call: string, errorNumber: number): NodeJS.ErrnoException {
  // libuv, whose numbers are negative, has no words for those that it never meets, as ENOEXEC.
  const [code, meaning] = getSystemErrorMap().get(-errorNumber) ?? [nameOf(errorNumber), 'failed'];
  return Object.assign(new Error(`${call}: ${meaning} (${code})`), {
    code,
    errno: -errorNumber,
    syscall: call,
  });
}

function nameOf(errorNumber: number): string {
  const names = Object.entries(constants.errno);
  return names.find(([, number]) => number === errorNumber)?.[0] ?? `error ${String(errorNumber)}`;
}

/** What execve(2) reads, all of which lives as long as it is used: `strings` begins with the first one of `argv`. */
export interface ExecMemory {
  readonly strings: Memory;
  readonly argv: Memory;
  readonly envp: Memory;
}

/** Null-terminated vectors of pointers to these strings, none of which may hold a NUL byte. */
export function execMemory(
  argv: readonly ByteString[],
  envp: readonly ByteString[],
  { addressOf, pointerBytes }: Pick<LibC, 'addressOf' | 'pointerBytes'>,
): ExecMemory {
  const strings = toBuffer([...argv, ...envp, ''].join('\0'));
  const count = argv.length + 1 + envp.length + 1;
  const pointers = pointerBytes === 8 ? new BigUint64Array(count) : new Uint32Array(count);
  let address = addressOf(strings);
  let index = 0;
  for (const vector of [argv, envp]) {
    for (const { length } of vector) {
      pointers[index++] = pointerBytes === 8 ? address : Number(address);
      address += BigInt(length + 1);
    }
    index++;
  }
  return { strings, argv: pointers.subarray(0, argv.length + 1), envp: pointers.subarray(argv.length + 1) };
}
