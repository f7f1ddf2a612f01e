/** Waits for the processes that posix_spawn(3) has made, and for no other: Node waits for its own one by one, too. */

import { constants } from 'node:os';

import type { ExitStatus } from '../exit-status.js';
import type { LibC } from './libc.js';

/** How often it looks besides, should a signal get lost; the timer also keeps the event loop running until the end. */
const LOOK_MS = 1_000;

/** Owns processes from `ended` on until they are reaped. */
export class Reaper {
  readonly #waitpid: LibC['waitpid'];
  readonly #running = new Map<number, (status: ExitStatus) => void>();
  readonly #status = new Int32Array(1);
  #timer: NodeJS.Timeout | undefined;

  constructor({ waitpid }: LibC) {
    this.#waitpid = waitpid;
    // One signal may stand for many processes (POSIX.1 §2.4.1): each time, all are asked.
    process.on('SIGCHLD', () => {
      this.#look();
    });
  }

  /** Resolves when the process was reaped, and not before its caller could add listeners to its streams. */
  ended(pid: number): Promise<ExitStatus> {
    return new Promise((resolve) => {
      this.#running.set(pid, resolve);
      this.#timer ??= setInterval(() => {
        this.#look();
      }, LOOK_MS);
      // It may have ended before we knew its id, with its signal gone by.
      setImmediate(() => {
        this.#look();
      });
    });
  }

  #look(): void {
    for (const [pid, resolve] of this.#running) {
      const result = this.#waitpid(pid, this.#status, WNOHANG);
      if (result === 0) continue;
      this.#running.delete(pid);
      resolve(result === pid ? exitStatusOf(this.#status[0] ?? 0) : REAPED_BY_OTHERS);
    }
    if (this.#running.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

const WNOHANG = 1;
/** ECHILD: what a library that waits for whatever ends has taken from us, nobody can tell any more. */
const REAPED_BY_OTHERS: ExitStatus = { kind: 'exited', code: 1 };

const signalNames = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name as NodeJS.Signals]),
);

/** What waitpid(2) says, as WIFEXITED, WEXITSTATUS and WTERMSIG take it apart. */
export function exitStatusOf(status: number): ExitStatus {
  const number = status & 0x7f;
  if (number === 0) return { kind: 'exited', code: (status >> 8) & 0xff };
  return { kind: 'signaled', signal: signalNames.get(number) ?? (`SIG${String(number)}` as `SIG${number}`) };
}
