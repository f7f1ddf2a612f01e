/** What each process of a program may use, which the system sees to; and what is known of a program before it is started. */

import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';

import { type ByteString, toBuffer } from '../base/bytes.js';
import { BridgeError, reasonOf } from '../base/errors.js';
import { firstLine, interpreterFault } from '../base/executable.js';
import { type Command, refuseNul, startError } from './command.js';
import type { StartProcess } from './start-process.js';

/** Of each process, in the program's and in those that it starts; undefined for no limit. */
export interface ProcessLimits {
  /** Bytes of address space. */
  readonly memoryBytes: number | undefined;
  readonly cpuSeconds: number | undefined;
  /** How much nicer than the daemon. */
  readonly niceness: number | undefined;
}

/** A process that ignores SIGXCPU is killed after these seconds. */
const CPU_GRACE_SECONDS = 1;

/** Limits in the words of who sets them. */
export interface SetLimits {
  /** prlimit(1) with its arguments, which sets them and then becomes the command that follows; empty where it has none to set. */
  readonly launcher: readonly ByteString[];
  readonly niceness: number | undefined;
  /**
   * For who sets them in a process of its own making: `as` and `cpu` with their soft and hard limits as prlimit(1) has
   * them, `prlimit`, where that is, and `nice`, the number that is added.
   */
  readonly values: ReadonlyMap<ByteString, ByteString>;
}

/**
 * The limits as they are set by prlimit(1), whose path `find` resolves to: neither posix_spawn(3) nor Node has a way to, and
 * a shell would change the environment.
 *
 * @throws what `find` rejects with
 */
export async function setLimits(
  { memoryBytes, cpuSeconds, niceness }: ProcessLimits,
  find: () => Promise<ByteString>,
): Promise<SetLimits> {
  const values = new Map<ByteString, ByteString>();
  if (memoryBytes !== undefined) values.set('as', `${String(memoryBytes)}:${String(memoryBytes)}`);
  if (cpuSeconds !== undefined)
    values.set('cpu', `${String(cpuSeconds)}:${String(cpuSeconds + CPU_GRACE_SECONDS)}`);
  const launcher: ByteString[] = [];
  if (values.size > 0) {
    const prlimit = await find();
    launcher.push(prlimit, ...[...values].map(([name, value]) => `--${name}=${value}`), '--');
    values.set('prlimit', prlimit);
  }
  if (niceness !== undefined) values.set('nice', String(niceness));
  return { launcher, niceness, values };
}

/** The command as one that has these limits; its file is a path. */
export function limited(command: Command, { launcher: [file, ...options], niceness }: SetLimits): Command {
  return file === undefined
    ? { ...command, niceness }
    : { ...command, niceness, file, args: [...options, command.file, ...command.args] };
}

/** Starts programs with these limits; what can't be started is told as `start` itself would tell it. */
export function startLimited(start: StartProcess, limits: SetLimits): StartProcess {
  const { launcher, niceness } = limits;
  if (launcher.length === 0)
    return niceness === undefined ? start : (command) => start({ ...command, niceness });
  const lines = new FirstLines(MAX_REMEMBERED);
  return async (command) => {
    await requireExecutable(command, lines);
    try {
      return await start(limited(command, limits));
    } catch (error) {
      throw error instanceof BridgeError && error.cause !== undefined
        ? await startError(command, error.cause)
        : error;
    }
  };
}

const MAX_REMEMBERED = 1_000;
/** Interpreters that are scripts themselves: Linux goes no further. */
const MAX_INTERPRETERS = 5;

/**
 * Resolves if the program is there and may be executed, and so may the interpreter that its first line names.
 *
 * @throws BridgeError `ERR_SPAWN` with the system's error as `cause`.
 */
async function requireExecutable(command: Command, lines = new FirstLines(MAX_REMEMBERED)): Promise<void> {
  refuseNul(command);
  let file: ByteString | undefined = command.file;
  try {
    for (let depth = 0; file !== undefined && depth <= MAX_INTERPRETERS; depth++) {
      // As the new process would find it, from its own directory.
      const path: ByteString = file.startsWith('/') ? file : `${command.directory}/${file}`;
      await access(toBuffer(path), constants.X_OK);
      file = /^#![ \t]*([^ \t]+)/.exec((await lines.of(path)) ?? '')?.[1];
    }
  } catch (cause) {
    throw await startError(command, cause);
  }
}

/** What keeps a command from being started, or its interpreter from running it; undefined where nothing is known of that. */
export async function whyNotStarted(command: Command): Promise<string | undefined> {
  try {
    await access(toBuffer(command.directory), constants.X_OK);
  } catch (cause) {
    return (await startError(command, cause)).message;
  }
  try {
    await requireExecutable(command);
  } catch (error) {
    return reasonOf(error);
  }
  return interpreterFault(command.file);
}

/** Reads first lines, and remembers each until its file changes. */
export class FirstLines {
  readonly #maxRemembered: number;
  readonly #lines = new Map<
    ByteString,
    { readonly identity: string; readonly line: ByteString | undefined }
  >();

  constructor(maxRemembered: number) {
    this.#maxRemembered = maxRemembered;
  }

  async of(path: ByteString): Promise<ByteString | undefined> {
    const status = await stat(toBuffer(path), { bigint: true }).catch(() => undefined);
    if (status === undefined) return undefined;
    const identity = [status.dev, status.ino, status.mtimeNs, status.ctimeNs, status.size].join(' ');
    const known = this.#lines.get(path);
    if (known?.identity === identity) return known.line;
    const line = await firstLine(path);
    if (this.#lines.size >= this.#maxRemembered) this.#lines.clear();
    this.#lines.set(path, { identity, line });
    return line;
  }
}
