/** What each process of a program may use, which the system sees to: limits that it has before its first instruction. */

import type { ByteString } from '../bytes.js';
import type { Command } from './command.js';

/** Of each process, in the program's and in those that it starts; undefined for what has no limit of ours. */
export interface ProcessLimits {
  /** Octets of address space. */
  readonly memoryBytes: number | undefined;
  readonly cpuSeconds: number | undefined;
}

/** One that ignores SIGXCPU is killed so many seconds later. */
const CPU_GRACE_SECONDS = 1;

/** By the names of prlimit(1): `as` and `cpu` with their soft and hard limits, and `prlimit`, where it is. Empty for none. */
export type SetLimits = ReadonlyMap<ByteString, ByteString>;

/** The limits as they are set by the program at `prlimit`. */
export function setLimits({ memoryBytes, cpuSeconds }: ProcessLimits, prlimit: ByteString): SetLimits {
  return new Map<ByteString, ByteString>([
    ['prlimit', prlimit],
    ...(memoryBytes === undefined ? [] : [['as', `${String(memoryBytes)}:${String(memoryBytes)}`] as const]),
    ...(cpuSeconds === undefined
      ? []
      : [['cpu', `${String(cpuSeconds)}:${String(cpuSeconds + CPU_GRACE_SECONDS)}`] as const]),
  ]);
}

/**
 * The command as one that sets these limits and then becomes it, by prlimit(1): neither posix_spawn(3) nor
 * Node has a way to set them, and a shell would change the environment.
 */
export function limited(command: Command, limits: SetLimits): Command {
  const file = limits.get('prlimit');
  if (file === undefined) return command;
  const options = [...limits].flatMap(([name, values]) =>
    name === 'prlimit' ? [] : [`--${name}=${values}`],
  );
  return { ...command, file, args: [...options, '--', command.file, ...command.args] };
}
