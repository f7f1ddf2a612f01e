/** Starts the command that this process was started with once more, and waits until the new process serves. */

import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';

import { BridgeError, bridgeErrorOf, type ErrorCode, linesOf, reasonOf } from '../../base/errors.js';

/** Set in the environment of the new process, which somebody waits for. */
const MARK = 'FCGI2CGI_STARTED_AGAIN';

/** What the new process tells the one that waits for it. */
type Message =
  | { readonly kind: 'listening'; readonly taken: readonly number[] }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly lines: readonly string[] };

/** What the previous process tells the next: a connection that has come to its listener of that number comes with it. */
export interface ConnectionMessage {
  readonly kind: 'connection';
  readonly listener: number;
}

/** What the next process tells the previous: it has taken a connection; the logs were moved away; or it is to end soon. */
export interface NextProcessMessage {
  readonly kind: 'taken' | 'reopen' | 'stop';
}

export function isConnectionMessage(message: unknown): message is ConnectionMessage {
  return kindOf(message) === 'connection';
}

function isNextProcessMessage(message: unknown): message is NextProcessMessage {
  return ['taken', 'reopen', 'stop'].includes(kindOf(message) as string);
}

function kindOf(message: unknown): unknown {
  return typeof message === 'object' && message !== null && 'kind' in message ? message.kind : undefined;
}

/** Where the command was given, which relative paths on its line count from; the daemon itself leaves it. */
const directory = workingDirectory();

export interface StartAgainOptions {
  /** The channel to the new process has to be one of them. */
  readonly stdio: StdioOptions;
  /** Whether it gets a session of its own. */
  readonly detached: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** Where to read why it has ended, if it could not say itself. */
  readonly advice: string;
  /** Hears what else it says, before it listens and after that. */
  readonly onMessage?: (message: NextProcessMessage) => void;
}

export interface StartedAgain {
  readonly process: ChildProcess;
  readonly taken: readonly number[];
}

/** Whether this is a process that `startAgain` has started. */
export function isStartedAgain(): boolean {
  return process.env[MARK] !== undefined;
}

/** Whether the process that has done so waits for this one. */
export function hasStarter(): boolean {
  return isStartedAgain() && process.connected;
}

/** Tells the waiting process that this one serves, also on those of its sockets that it has taken. The channel stays open. */
export function tellListening(taken: readonly number[] = []): Promise<void> {
  return tell({ kind: 'listening', taken });
}

/** Tells the waiting process why this one ends, and lets go of it. */
export async function tellFailure(error: unknown): Promise<void> {
  const code = error instanceof BridgeError ? error.code : 'ERR_START';
  await tell({ kind: 'failed', code, lines: linesOf(error) });
  if (process.connected) process.disconnect();
}

function tell(message: Message): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined) resolve();
    else {
      process.send(message, undefined, undefined, () => {
        resolve();
      });
    }
  });
}

/**
 * Starts it; resolves when it listens. The channel is then the caller's to close, and the process lives on without us.
 * When `signal` aborts before, it is killed.
 *
 * @throws BridgeError `ERR_START`, or what the new process could not start for; nothing is left of it then. What `signal`
 *   aborts with.
 */
export async function startAgain(options: StartAgainOptions, signal?: AbortSignal): Promise<StartedAgain> {
  signal?.throwIfAborted();
  const [script = '', ...args] = process.argv.slice(1);
  requireThere('the program', script);
  requireThere('the directory that it was started in', directory);
  const child = spawn(process.execPath, [...process.execArgv, script, ...args], {
    cwd: mayEnter(directory) ? directory : '/',
    detached: options.detached,
    env: { ...process.env, ...options.env, [MARK]: '1' },
    stdio: options.stdio,
  });
  const kill = (): void => void child.kill('SIGKILL');
  signal?.addEventListener('abort', kill, { once: true });
  try {
    const taken = await listening(child, options, signal);
    child.unref();
    return { process: child, taken };
  } finally {
    signal?.removeEventListener('abort', kill);
  }
}

/** The numbers of the sockets that it has taken. */
function listening(
  child: ChildProcess,
  { advice, onMessage }: StartAgainOptions,
  signal: AbortSignal | undefined,
): Promise<readonly number[]> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => {
      reject(new BridgeError('ERR_START', `${process.execPath} can't be started: ${reasonOf(error)}`));
    });
    let failure: BridgeError | undefined;
    child.on('message', (message: Message | NextProcessMessage) => {
      if (isNextProcessMessage(message)) onMessage?.(message);
      // One that was killed just then ends.
      else if (message.kind === 'listening' && signal?.aborted !== true) resolve(message.taken);
      else if (message.kind === 'failed')
        failure = bridgeErrorOf(message.lines.map((line) => new BridgeError(message.code, line)));
    });
    // Only then is nothing left of it.
    child.once('exit', (code, by) => {
      const how = by ?? `exit status ${String(code)}`;
      const silent = new BridgeError('ERR_START', `ended before it listened (${how}); see ${advice}`);
      const aborted: unknown = signal?.aborted === true ? signal.reason : undefined;
      reject(aborted instanceof Error ? aborted : (failure ?? silent));
    });
  });
}

function requireThere(what: string, path: string): void {
  try {
    statSync(path);
  } catch (error) {
    throw new BridgeError('ERR_START', `${what} is not there: ${reasonOf(error)}`);
  }
}

/** Where root has started us, its user may have no rights: then nothing on the line can count from there. */
function mayEnter(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function workingDirectory(): string {
  try {
    return process.cwd();
  } catch {
    // It was removed: then nothing on the line can count from it.
    return '/';
  }
}
