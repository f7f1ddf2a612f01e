/** What each process of a program may use, which the system sees to: limits that it has before its first instruction. */

import type { ByteString } from '../bytes.js';
import { BridgeError } from '../errors.js';
import type { Command } from './command.js';
import { Executables } from './executables.js';
import { startError } from './start-error.js';
import type { StartProcess } from './start-process.js';

/** Of each process, in the program's and in those that it starts; undefined for what has no limit of ours. */
export interface ProcessLimits {
  /** Octets of address space. */
  readonly memoryBytes: number | undefined;
  readonly cpuSeconds: number | undefined;
  /** How much nicer than the daemon. */
  readonly niceness: number | undefined;
}

/** One that ignores SIGXCPU is killed so many seconds later. */
const CPU_GRACE_SECONDS = 1;

/** Limits in the words of who sets them. */
export interface SetLimits {
  /** A program, and its arguments, that sets them and then becomes the command that follows; empty for no limits. */
  readonly launcher: readonly ByteString[];
  /**
   * For who sets them in a process of its own making: `as` and `cpu` with their soft and hard limits as prlimit(1) has
   * them, `prlimit`, where that is, and `nice`, the number that is added.
   */
  readonly values: ReadonlyMap<ByteString, ByteString>;
}

export const noLimits: SetLimits = { launcher: [], values: new Map() };

/** Standard tools: neither posix_spawn(3) nor Node has a way to set limits, and a shell would change the environment. */
export type LimitTool = 'prlimit' | 'nice';

/** The limits as they are set by the tools whose paths `find` resolves to. @throws what `find` rejects with */
export async function setLimits(
  { memoryBytes, cpuSeconds, niceness }: ProcessLimits,
  find: (tool: LimitTool) => Promise<ByteString>,
): Promise<SetLimits> {
  const values = new Map<ByteString, ByteString>();
  if (memoryBytes !== undefined) values.set('as', `${String(memoryBytes)}:${String(memoryBytes)}`);
  if (cpuSeconds !== undefined)
    values.set('cpu', `${String(cpuSeconds)}:${String(cpuSeconds + CPU_GRACE_SECONDS)}`);
  const launcher: ByteString[] = [];
  if (values.size > 0) {
    const prlimit = await find('prlimit');
    launcher.push(prlimit, ...[...values].map(([name, value]) => `--${name}=${value}`), '--');
    values.set('prlimit', prlimit);
  }
  if (niceness !== undefined) {
    launcher.push(await find('nice'), '-n', String(niceness));
    values.set('nice', String(niceness));
  }
  return { launcher, values };
}

/** The command as one that sets these limits and then becomes it; its file is a path. */
export function limited(command: Command, { launcher: [file, ...options] }: SetLimits): Command {
  return file === undefined
    ? command
    : { ...command, file, args: [...options, command.file, ...command.args] };
}

/** Starts programs with these limits; what can't be started is told as `start` itself would tell it. */
export function startLimited(start: StartProcess, limits: SetLimits): StartProcess {
  if (limits.launcher.length === 0) return start;
  const executables = new Executables();
  return async (command) => {
    await executables.require(command);
    try {
      return await start(limited(command, limits));
    } catch (error) {
      throw error instanceof BridgeError && error.cause !== undefined
        ? startError(command, error.cause)
        : error;
    }
  };
}
