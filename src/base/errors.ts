/** The errors that end a command, a connection or a request: each has a stable code and says who is to blame. */

import type { ResultCode } from './results.js';

/** What went wrong, as a stable name that scripts, log readers and the manual page can rely on. */
export type ErrorCode =
  | 'ERR_USAGE'
  | 'ERR_LISTEN'
  | 'ERR_PID_FILE'
  | 'ERR_LOG_FILE'
  | 'ERR_START'
  | 'ERR_UPGRADE'
  | 'ERR_MERCURIAL'
  | 'ERR_GIT'
  | 'ERR_FASTCGI_VERSION'
  | 'ERR_FASTCGI_SEQUENCE'
  | 'ERR_FASTCGI_LENGTH'
  | 'ERR_FASTCGI_TIMEOUT'
  | ResultCode;

/** An error that names its code; its message is one line: what, on what, why, and what to do. */
export class BridgeError extends Error {
  readonly code: ErrorCode;
  /** What the command is to exit with, where somebody has set it an example. */
  readonly exitStatus: number | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions & { exitStatus?: number } = {}) {
    super(message, options);
    this.name = 'BridgeError';
    this.code = code;
    this.exitStatus = options.exitStatus;
  }
}

/** An option whose value can't be used: in a configuration file the key of that name. */
export class OptionError extends BridgeError {
  readonly option: string;
  readonly value: string | undefined;
  /** What is wrong with the value, and what was expected. */
  readonly why: string;

  /** Without `value` it is the option itself that is wrong. `shown` stands for it where the command line has an argument. */
  constructor(
    code: ErrorCode,
    {
      option,
      value,
      why,
      shown = `--${option}`,
    }: { option: string; value?: string; why: string; shown?: string },
    options?: ErrorOptions,
  ) {
    super(code, `${shown} ${value === undefined ? '' : `${value}: `}${why}`, options);
    this.name = 'OptionError';
    this.option = option;
    this.value = value;
    this.why = why;
  }
}

/** Several errors at once, so that nobody mends the first only to learn of the second. */
export class BridgeErrors extends BridgeError {
  readonly errors: readonly BridgeError[];

  /** Its code is `ERR_USAGE` if that of any of them is, else the first one's. */
  constructor(errors: readonly [BridgeError, ...BridgeError[]]) {
    const { code } = errors.find((error) => error.code === 'ERR_USAGE') ?? errors[0];
    super(code, errors.map((error) => error.message).join('\n'));
    this.name = 'BridgeErrors';
    this.errors = errors;
  }
}

/** What was thrown, as it is if it says its code, else with this one. */
export function bridgeErrorFrom(error: unknown, code: ErrorCode): BridgeError {
  return error instanceof BridgeError ? error : new BridgeError(code, reasonOf(error), { cause: error });
}

/** All of these errors as one, or undefined where there are none. */
export function bridgeErrorOf(errors: readonly BridgeError[]): BridgeError | undefined {
  const [first, ...more] = errors;
  return first === undefined || more.length === 0 ? first : new BridgeErrors([first, ...more]);
}

/** Throws what some of these were rejected with, all of it as one error. @throws BridgeError, or whatever is none */
export function throwReasons(settled: readonly PromiseSettledResult<unknown>[]): void {
  const reasons = settled.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : []));
  const fault = reasons.find((reason) => !(reason instanceof BridgeError));
  if (fault !== undefined) throw fault instanceof Error ? fault : new Error(reasonOf(fault));
  const error = bridgeErrorOf(reasons.filter((reason) => reason instanceof BridgeError));
  if (error !== undefined) throw error;
}

/** What was thrown, as lines of text: one for each error. */
export function linesOf(error: unknown): readonly string[] {
  return error instanceof BridgeErrors ? error.errors.map(reasonOf) : [reasonOf(error)];
}

/** What was thrown, as one line of text, whatever it is. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The system's name of what was thrown (`ENOENT`, `EADDRINUSE` …), if it has one. */
export function systemCodeOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}
