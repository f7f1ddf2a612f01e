/** The functions of the C library that Node lacks, most of which start and reap processes, called through koffi, which may not be installed. */

import { createRequire } from 'node:module';

import { reasonOf } from '../../errors.js';

/** Octets that a C function reads or writes. Whoever calls keeps them until it has returned. */
export type Memory = NodeJS.ArrayBufferView;

type Call<Args extends unknown[]> = (...args: Args) => number;
interface AsyncCall<Args extends unknown[]> {
  async(...args: [...Args, (error: Error | null, result: number) => void]): void;
}
type SpawnArguments = [
  pid: Memory,
  path: Memory,
  actions: Memory,
  attributes: Memory,
  argv: Memory,
  envp: Memory,
];

/** Each returns what its manual page says; those of posix_spawn return an error number. */
export interface LibC {
  readonly pipe2: Call<[descriptors: Memory, flags: number]>;
  readonly fcntl: Call<[descriptor: number, command: number, type: 'int', argument: number]>;
  readonly kill: Call<[pid: number, signal: number]>;
  readonly socket: Call<[domain: number, type: number, protocol: number]>;
  readonly shutdown: Call<[descriptor: number, how: number]>;
  readonly sendto: Call<
    [
      descriptor: number,
      octets: Memory,
      length: number,
      flags: number,
      address: Memory,
      addressLength: number,
    ]
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
  readonly spawn: AsyncCall<SpawnArguments>;
  /** The error number that the last call has left. */
  readonly errno: () => number;
  readonly addressOf: (memory: Memory) => bigint;
  readonly pointerBytes: number;
}

/** What we use of koffi; its own types are not there where it is not. */
interface Koffi {
  load(library: null): { func(prototype: string): unknown };
  errno(): number;
  address(memory: Memory): bigint;
  sizeof(type: string): number;
}

export type LoadedLibC =
  { readonly kind: 'loaded'; readonly libc: LibC } | { readonly kind: 'missing'; readonly reason: string };

let loaded: LoadedLibC | undefined;

/** Loads it once; it stays. */
export function loadLibC(): LoadedLibC {
  return (loaded ??= load());
}

function load(): LoadedLibC {
  // Elsewhere flags have other values, and sessions and directories are not posix_spawn's business everywhere.
  if (process.platform !== 'linux') return missing(`posix_spawn is not known on ${process.platform}`);
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    return { kind: 'loaded', libc: bind(koffi) };
  } catch (error) {
    return missing(`koffi can’t be loaded (${reasonOf(error).split('\n')[0] ?? ''})`);
  }
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
  return {
    pipe2: call('int pipe2(void *, int)'),
    fcntl: call('int fcntl(int, int, ...)'),
    kill: call('int kill(int, int)'),
    socket: call('int socket(int, int, int)'),
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
    spawn: library.func(
      'int posix_spawn(void *, void *, void *, void *, void *, void *)',
    ) as AsyncCall<SpawnArguments>,
    errno: () => koffi.errno(),
    addressOf: (memory) => koffi.address(memory),
    pointerBytes: koffi.sizeof('void *'),
  };
}
