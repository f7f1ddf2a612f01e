/** What the exit statuses of the commands mean, whichever command has them. */

export const ExitStatus = {
  /** Ended as asked. */
  DONE: 0,
  /** It went wrong. */
  FAILED: 1,
  /** What was asked for can't be understood. */
  USAGE: 2,
  /** The answer's HTTP status is 4xx. */
  REQUEST_REFUSED: 3,
  /** The answer's HTTP status is 5xx. */
  REQUEST_FAILED: 4,
  /** What answered does not speak FastCGI or CGI. */
  PROTOCOL: 5,
  /** There was no connection. */
  UNREACHABLE: 6,
  /** The answer was cut short. */
  CUT: 7,
  /** It took too long. */
  TIMEOUT: 8,
  /** Answers differ that should be the same. */
  DIFFERENT: 9,
  /** There was nothing to compare, or something could not be compared. */
  NOT_COMPARED: 10,
} as const;

/** The one that tells the kind of an HTTP status. */
export function exitStatusOfHttp(status: number): number {
  if (status < 400) return ExitStatus.DONE;
  return status < 500 ? ExitStatus.REQUEST_REFUSED : ExitStatus.REQUEST_FAILED;
}
