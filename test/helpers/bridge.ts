/** The real command, started as its user would start it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { bundled, readableTop } from './package-copy.js';

const top = readableTop();

/** What is installed; what it was bundled from, where somebody wants to know which of its lines are run. */
export const main =
  process.env['NODE_V8_COVERAGE'] === undefined
    ? join(top, bundled)
    : fileURLToPath(new URL('../../src/main.js', import.meta.url));

/** A file of test/fixtures, which the compiler does not copy. */
export function fixture(name: string): string {
  return join(top, 'test/fixtures', name);
}

/** Much longer than anything takes on a machine that has a lot to do. */
const PATIENCE_MS = 60_000;

const serving = ['hg', 'git', 'script', 'dir', 'worker', 'serve'];

/** The command line of `fcgi2cgi` with these arguments. A daemon that is started by root stays root here, and has to be told. */
export function commandLine(
  args: readonly string[],
  { byRoot = process.getuid?.() === 0 } = {},
): [string, ...string[]] {
  const [command, ...rest] = args;
  const own = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest;
  if (command === undefined) return [process.execPath, main];
  const isServing = serving.includes(command) && !['--help', '--user'].some((option) => own.includes(option));
  const user = isServing && byRoot ? ['--user', 'root'] : [];
  return [process.execPath, main, command, ...user, ...rest];
}

export interface Bridge {
  readonly process: ChildProcess;
  /** What it has written to standard error so far. */
  log(): string;
  /** Resolves when the log has a line that matches. */
  logged(pattern: RegExp): Promise<string>;
  /** The exit status, once it has ended; null where a signal has ended it. */
  exited(): Promise<number | null>;
  /** SIGTERM, and the exit status. */
  stop(): Promise<number | null>;
}

/** Starts `fcgi2cgi` with these arguments; resolves when it listens, rejects with what it printed if it ends first. */
export function startBridge(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Bridge> {
  return startCommand(commandLine(args), env);
}

/** The same of a command that runs `fcgi2cgi` in its place. */
export async function startCommand(
  [file = '', ...args]: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Bridge> {
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'], env });
  // Each look at the log waits for its end, too.
  child.setMaxListeners(0);
  const exited = once(child, 'exit');
  let log = '';
  const waiting = new Set<() => void>();
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
    for (const look of waiting) look();
  });
  const logged = (pattern: RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      const fail = (what: string): void => {
        waiting.delete(look);
        reject(new Error(`${what} ${String(pattern)}; it logged:\n${log}`));
      };
      const patience = setTimeout(() => {
        fail(`for ${String(PATIENCE_MS / 1000)} s the bridge has not logged`);
      }, PATIENCE_MS);
      const look = (): void => {
        const line = log.split('\n').find((candidate) => pattern.test(candidate));
        if (line === undefined) return;
        waiting.delete(look);
        clearTimeout(patience);
        resolve(line);
      };
      waiting.add(look);
      void once(child, 'close').then(() => {
        clearTimeout(patience);
        fail('the bridge ended without logging');
      });
      look();
    });
  await logged(/ info listening |"msg":"listening"/);
  return {
    process: child,
    log: () => log,
    logged,
    exited: () => exited.then(() => child.exitCode),
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await exited;
      return child.exitCode;
    },
  };
}

/** Runs the command to its end. */
export async function runBridge(
  args: readonly string[],
): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const [file, ...words] = commandLine(args);
  const child = spawn(file, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  await once(child, 'close');
  return { status: child.exitCode, stdout, stderr };
}
