/** How a process ended. */

import { constants } from 'node:os';

export type ExitStatus =
  | { readonly kind: 'exited'; readonly code: number }
  /** Real-time signals have no name: `SIG34` and up. */
  | { readonly kind: 'signaled'; readonly signal: NodeJS.Signals | `SIG${number}` };

/** The exit status from what Node's `exit` event says. */
export function exitStatus(code: number | null, signal: NodeJS.Signals | null): ExitStatus {
  if (signal !== null) return { kind: 'signaled', signal };
  return { kind: 'exited', code: code ?? 0 };
}

const signalNames = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name as NodeJS.Signals]),
);

/** The exit status from what waitpid(2) says, as WIFEXITED, WEXITSTATUS and WTERMSIG take it apart. */
export function exitStatusOfWait(status: number): ExitStatus {
  const number = status & 0x7f;
  if (number === 0) return { kind: 'exited', code: (status >> 8) & 0xff };
  return { kind: 'signaled', signal: signalNames.get(number) ?? (`SIG${String(number)}` as `SIG${number}`) };
}

/** The number for an END_REQUEST's appStatus (FastCGI 1.0 §5.5): the exit status, or as a shell has it, 128 + signal. */
export function appStatusOf(status: ExitStatus): number {
  if (status.kind === 'exited') return status.code;
  const { signal } = status;
  return (
    128 +
    (signal in constants.signals ? constants.signals[signal as NodeJS.Signals] : Number(signal.slice(3)))
  );
}

/** For people: `exit status 1` or `signal SIGKILL`. */
export function describeExit(status: ExitStatus): string {
  return status.kind === 'exited' ? `exit status ${String(status.code)}` : `signal ${status.signal}`;
}

/** Whether the system has ended it for the processor time that it has used. */
export function wasOutOfTime(status: ExitStatus | undefined): boolean {
  return status?.kind === 'signaled' && status.signal === 'SIGXCPU';
}
