/** Programs that a test runs to their end. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** All of its standard input, as Latin-1. */
  readonly input?: string;
  /** Ends it with SIGTERM, and the promise rejects. */
  readonly signal?: AbortSignal;
}

/** Runs a program whatever its exit status; its output is read as Latin-1, octet by octet. */
export async function runToEnd(
  file: string,
  args: readonly string[],
  { cwd, env, input, signal }: RunOptions = {},
): Promise<Ended> {
  try {
    const options = {
      encoding: 'latin1',
      maxBuffer: 1 << 28,
      ...(cwd && { cwd }),
      ...(env && { env }),
      ...(signal && { signal }),
    } as const;
    const running = run(file, args, options);
    if (input !== undefined) running.child.stdin?.end(input, 'latin1');
    const { stdout, stderr } = await running;
    return { status: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code?: unknown; stdout?: string; stderr?: string };
    if (typeof code !== 'number') throw error;
    return { status: code, stdout: stdout ?? '', stderr: stderr ?? '' };
  }
}

/** Runs a program that must succeed; gives its standard output. */
export async function succeed(
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { status, stdout, stderr } = await runToEnd(file, args, options);
  if (status !== 0)
    throw new Error(`${[file, ...args].join(' ')}: exit status ${String(status)}\n${stdout}${stderr}`);
  return stdout;
}
