/** The functions of the C library that Node lacks, most of which start and reap processes, called through koffi, which may not be installed. */

import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { getSystemErrorMap, promisify } from 'node:util';

import { type ByteString, toBuffer } from '../base/bytes.js';
import { reasonOf } from '../base/errors.js';

/** Of Linux, which Node does not name. */
export const [O_CLOEXEC, F_SETFD, MSG_DONTWAIT] = [0o2_000_000, 2, 0x40];

/** Bytes that a C function reads or writes. The caller keeps them until it has returned. */
export type Memory = NodeJS.ArrayBufferView;

export type Call<Args extends unknown[]> = (...args: Args) => number;

/** Each returns what its manual page says; those of posix_spawn return an error number. */
export type LibC = ReturnType<typeof bind>;

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
function bind(koffi: Koffi) {
  const library = koffi.load(null);
  const call = <Args extends unknown[]>(prototype: string): Call<Args> =>
    library.func(prototype) as Call<Args>;
  const attributes = 'int posix_spawnattr_';
  const actions = 'int posix_spawn_file_actions_';
  const started = library.func('int posix_spawn(void *, void *, void *, void *, void *, void *)');
  const spawn: (...args: Memory[]) => Promise<number> = promisify(
    (started as { readonly async: () => void }).async,
  );
  return {
    pipe2: call<[Memory, number]>('int pipe2(void *, int)'),
    read: call<[number, Memory, number]>('long read(int, void *, size_t)'),
    dup2: call<[number, number]>('int dup2(int, int)'),
    fcntl: call<[number, number, 'int', number]>('int fcntl(int, int, ...)'),
    kill: call<[number, number]>('int kill(int, int)'),
    setpriority: call<[number, number, number]>('int setpriority(int, unsigned int, int)'),
    /** Ends the process at once, with all of its threads. */
    exit: call<[number]>('void _exit(int)'),
    socket: call<[number, number, number]>('int socket(int, int, int)'),
    listen: call<[number, number]>('int listen(int, int)'),
    recv: call<[number, Memory, number, number]>('long recv(int, void *, size_t, int)'),
    shutdown: call<[number, number]>('int shutdown(int, int)'),
    sendto: call<[number, Memory, number, number, Memory, number]>(
      'long sendto(int, void *, size_t, int, void *, unsigned int)',
    ),
    waitpid: call<[number, Memory, number]>('int waitpid(int, void *, int)'),
    initActions: call<[Memory]>(`${actions}init(void *)`),
    destroyActions: call<[Memory]>(`${actions}destroy(void *)`),
    addDup2: call<[Memory, number, number]>(`${actions}adddup2(void *, int, int)`),
    addChdir: call<[Memory, Memory]>(`${actions}addchdir_np(void *, void *)`),
    initAttributes: call<[Memory]>(`${attributes}init(void *)`),
    setFlags: call<[Memory, number]>(`${attributes}setflags(void *, short)`),
    setSignalDefault: call<[Memory, Memory]>(`${attributes}setsigdefault(void *, void *)`),
    setSignalMask: call<[Memory, Memory]>(`${attributes}setsigmask(void *, void *)`),
    fillSignals: call<[Memory]>('int sigfillset(void *)'),
    emptySignals: call<[Memory]>('int sigemptyset(void *)'),
    /** On another thread. */
    spawn,
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

/**
 * What execve(2) reads: null-terminated vectors of pointers to these strings, none of which may hold a NUL byte. All of it
 * has to live as long as it is used; `strings` begins with the first one of `argv`.
 */
export function execMemory(
  argv: readonly ByteString[],
  envp: readonly ByteString[],
  { addressOf, pointerBytes }: Pick<LibC, 'addressOf' | 'pointerBytes'>,
) {
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
