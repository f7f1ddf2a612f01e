/** The processes that a fork server has forked, until their ends are known. */

import type { ByteString } from '../../bytes.js';
import type { ExitStatus } from '../../process/exit-status.js';
import { OwnedProcess } from '../../process/owned-process.js';
import { groupRuns } from '../../process/process-group.js';
import { openEnds } from './named-pipes.js';

/** Pause between looks at a process whose fork server is gone: nothing reports its end. */
const ORPHAN_POLL_MS = 50;
/** What nobody can tell any more, as the fork server that has it is gone. */
const UNKNOWN_EXIT: ExitStatus = { kind: 'exited', code: 1 };

/** Tells of their ends; each belongs to whoever has asked for it. */
export class ForkedProcesses {
  readonly #running = new Map<number, (exit: ExitStatus) => void>();

  /** Resolves when `ended` is told of it, or it is seen to have ended after `abandon`. */
  expect(pid: number): Promise<ExitStatus> {
    return new Promise((resolve) => this.#running.set(pid, resolve));
  }

  ended(pid: number, exit: ExitStatus): void {
    this.#running.get(pid)?.(exit);
    this.#running.delete(pid);
  }

  /** Their fork server is gone. Resolves when they have ended, too. */
  async abandon(): Promise<void> {
    await Promise.all(
      [...this.#running.keys()].map(async (pid) => {
        while (await groupRuns(pid)) await new Promise((resolve) => setTimeout(resolve, ORPHAN_POLL_MS));
        this.ended(pid, UNKNOWN_EXIT);
      }),
    );
  }
}

/**
 * Has a process begin, by opening its pipes: `PATH.in`, `PATH.out` and `PATH.err`.
 *
 * @throws Error of the system, with its `code`; it has not begun, and will not
 */
export function begin(pid: number, path: ByteString, ended: Promise<ExitStatus>): OwnedProcess {
  const ends = openEnds(path);
  const exited = ended.then((exit) => {
    // As Node does: nobody is left to read it, though something that it has started may hold the other end.
    ends.stdin.destroy();
    return exit;
  });
  return new OwnedProcess({ pid, ...ends, exited });
}
