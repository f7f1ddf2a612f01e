/** The errors that end a command, a connection or a request: each has a stable code and says who is to blame. */

/** What went wrong, as a stable name that scripts, log readers and the manual page can rely on. */
export type ErrorCode =
  | 'ERR_USAGE'
  | 'ERR_LISTEN'
  | 'ERR_PID_FILE'
  | 'ERR_LOG_FILE'
  | 'ERR_START'
  | 'ERR_MERCURIAL'
  | 'ERR_FASTCGI_VERSION'
  | 'ERR_FASTCGI_SEQUENCE'
  | 'ERR_FASTCGI_LENGTH'
  | 'ERR_FASTCGI_PARAMS'
  | 'ERR_FASTCGI_DISCONNECTED'
  | 'ERR_MAX_PARAMS_SIZE'
  | 'ERR_MAX_HEADER_SIZE'
  | 'ERR_MAX_QUEUE'
  | 'ERR_QUEUE_TIMEOUT'
  | 'ERR_MAX_SPOOL_SIZE'
  | 'ERR_SPOOL'
  | 'ERR_BODY_TIMEOUT'
  | 'ERR_SPAWN'
  | 'ERR_WORKERS';

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

/** What was thrown, as one line of text, whatever it is. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The system's name of what was thrown (`ENOENT`, `EADDRINUSE` …), if it has one. */
export function systemCodeOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}
