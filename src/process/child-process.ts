/** Starts a program as the leader of its own process group, and owns it until it was reaped. */

import type { ChildProcess, ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

import spawn from 'cross-spawn';

import { BridgeError, reasonOf, systemCodeOf } from '../errors.js';
import { type Command, textCommand } from './command.js';
import { type ExitStatus, exitStatus } from './exit-status.js';
import { groupRuns, signalGroup } from './process-group.js';

/** The longest pause between looks at a process group that has lost its leader: nothing reports its end. */
const MAX_GROUP_POLL_MS = 200;

/**
 * A running program with its three pipes. It owns the process and, until `terminate` has resolved, its group; whoever
 * started it reads `stdout` and `stderr` to their end or destroys them.
 */
export class OwnedProcess {
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves when the program has ended and was reaped; its group may live on. */
  readonly exited: Promise<ExitStatus>;

  #terminating: Promise<void> | undefined;
  #groupIsGone = false;

  constructor(child: ChildProcessWithoutNullStreams, pid: number) {
    this.pid = pid;
    this.stdin = child.stdin;
    this.stdout = child.stdout;
    this.stderr = child.stderr;
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        // From here on the group's number may become somebody else's, unless one of the group is left.
        this.#groupIsGone = !signalGroup(pid, 0);
        resolve(exitStatus(code, signal));
      });
    });
  }

  /**
   * Ends the whole group: SIGTERM, `graceMs` to clean up in, then SIGKILL. Resolves when the program was reaped and
   * the group is gone, or has been sent SIGKILL. Calling it again waits for the same end.
   */
  terminate(graceMs: number): Promise<void> {
    this.#terminating ??= this.#end(graceMs);
    return this.#terminating;
  }

  async #end(graceMs: number): Promise<void> {
    if (!this.#groupIsGone) await this.#endGroup(graceMs);
    await this.exited;
    // A process that left the group may hold the other ends; nobody reads them any more.
    this.stdin.destroy();
    this.stdout.destroy();
    this.stderr.destroy();
  }

  async #endGroup(graceMs: number): Promise<void> {
    signalGroup(this.pid, 'SIGTERM');
    const deadline = performance.now() + graceMs;
    const grace = new AbortController();
    await Promise.race([
      this.exited,
      delay(graceMs, undefined, { signal: grace.signal }).catch(() => undefined),
    ]);
    grace.abort();
    // git's service processes outlive their parent for a moment: SIGKILL now would leave their lock files behind.
    for (
      let pause = 10;
      performance.now() < deadline && !this.#groupIsGone && (await groupRuns(this.pid));
      pause *= 2
    ) {
      await delay(Math.min(pause, MAX_GROUP_POLL_MS, Math.max(0, deadline - performance.now())));
    }
    if (!this.#groupIsGone) signalGroup(this.pid, 'SIGKILL');
  }
}

/**
 * Starts a program. Resolves once the system has accepted it.
 *
 * @throws BridgeError `ERR_SPAWN` with the system's error as `cause`.
 */
export async function startProcess(command: Command): Promise<OwnedProcess> {
  const { file, args, directory, environment } = textCommand(command);
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      const reason = missing(error, file, directory) ?? reasonOf(error);
      reject(new BridgeError('ERR_SPAWN', `${file} could not be started: ${reason}`, { cause: error }));
    };
    let child: ChildProcess;
    try {
      child = spawn(file, args, {
        cwd: directory,
        env: environment,
        // A session and so a process group of its own: whatever the script starts ends with it.
        detached: true,
        stdio: ['pipe', 'pipe', 'pipe'],
      });
    } catch (error) {
      fail(error);
      return;
    }
    child.once('error', fail);
    if (child.pid !== undefined) {
      resolve(new OwnedProcess(child as ChildProcessWithoutNullStreams, child.pid));
    }
  });
}

/** What it is that the system says is not there; it names the program, whatever is missing. */
function missing(error: unknown, file: string, directory: string): string | undefined {
  if (systemCodeOf(error) !== 'ENOENT') return undefined;
  if (!existsSync(directory)) return `there is no directory ${directory}`;
  return existsSync(file)
    ? 'the interpreter that its first line names does not exist'
    : 'there is no such file';
}
