/** The processes of a fork server: those that it was asked for, their named pipes, and their ends. */

import { closeSync, constants, openSync, unlink, unlinkSync } from 'node:fs';
import { Socket } from 'node:net';

import { type ByteString, toBuffer } from '../../base/bytes.js';
import { systemCodeOf } from '../../base/errors.js';
import type { ExitStatus } from '../../process/exit-status.js';
import { OwnedProcess } from '../../process/owned-process.js';
import { groupRuns, hasEnded } from '../../process/process-group.js';
import { OutputPipe } from '../../posix/pipes.js';
import { makePrivateDirectory, MEMORY } from '../private-directory.js';

/** Pause between looks at a process whose fork server is gone: nothing reports its end. */
const ORPHAN_POLL_MS = 50;
/** What nobody can tell any more, as the fork server that has it is gone. */
const UNKNOWN_EXIT: ExitStatus = { kind: 'exited', code: 1 };

/** Tells of their ends; each belongs to the code that has asked for it. */
export class ForkedProcesses {
  readonly #running = new Map<number, (exit: ExitStatus) => void>();
  /** Of these, those that were found to have ended. */
  #ended: ReadonlySet<number> = new Set();

  /** Resolves when `ended` is told of it, or it is seen to have ended after `abandon`. */
  expect(pid: number): Promise<ExitStatus> {
    return new Promise((resolve) => this.#running.set(pid, resolve));
  }

  ended(pid: number, exit: ExitStatus): void {
    this.#running.get(pid)?.(exit);
    this.#running.delete(pid);
  }

  get size(): number {
    return this.#running.size;
  }

  /** Whether one had ended already when this was asked before, and nobody has told of it yet. */
  hasUntold(): boolean {
    const ended = [...this.#running.keys()].filter(hasEnded);
    const isUntold = ended.some((pid) => this.#ended.has(pid));
    this.#ended = new Set(ended);
    return isUntold;
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
    if (exit.kind === 'signaled' || exit === UNKNOWN_EXIT) endUnopened(path, ends);
    return exit;
  });
  return new OwnedProcess({ pid, ...ends, exited });
}

/**
 * A process that was killed before it opened its outputs has not removed them: they end when somebody closes them, or, as
 * where there is no descriptor to do so, are given up.
 */
function endUnopened(path: ByteString, { stdout, stderr }: ReturnType<typeof openEnds>): void {
  for (const [suffix, output] of [
    ['.out', stdout],
    ['.err', stderr],
  ] as const) {
    const pipe = toBuffer(path + suffix);
    try {
      closeSync(openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK));
    } catch (error) {
      // Opened and removed by its script, which may have said something.
      if (systemCodeOf(error) === 'ENOENT') continue;
      output.destroy();
    }
    // What can't be removed goes with its directory.
    unlink(pipe, () => undefined);
  }
}

/**
 * Opens `PATH.in`, `PATH.out` and `PATH.err`, in this order, and removes the first, which says so; the streams close what
 * they were made of. None of it waits: the process has opened the first, and waits for us to open the others before its
 * script begins, so that nothing is lost even if its fork server is gone. They are pipes, so that a script can open /dev/stderr, as one that was
 * started by itself can.
 *
 * @throws Error of the system, with its `code`; nothing is open then.
 */
export function openEnds(path: ByteString) {
  const open: number[] = [];
  try {
    for (const [suffix, flags] of [
      ['.in', constants.O_WRONLY],
      ['.out', constants.O_RDONLY],
      ['.err', constants.O_RDONLY],
    ] as const) {
      open.push(openSync(toBuffer(path + suffix), flags | constants.O_NONBLOCK));
    }
    remove(`${path}.in`);
  } catch (error) {
    for (const descriptor of open) closeSync(descriptor);
    throw error;
  }
  const [stdin, stdout, stderr] = open as [number, number, number];
  return {
    stdin: new Socket({ fd: stdin, readable: false, writable: true }),
    stdout: new Socket({ fd: stdout, readable: true, writable: false }),
    stderr: new OutputPipe(stderr),
  };
}

/** It is not there if the process has ended meanwhile, and its fork server has seen that. */
function remove(path: ByteString): void {
  try {
    unlinkSync(toBuffer(path));
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  }
}

/**
 * Makes one for us alone (0700); its owner removes it. In memory, unless TMPDIR says where: each request makes and
 * removes three files, which a disk's file system has to write down, and for which ext4 has been seen to take as long as
 * for a fork.
 *
 * @throws Error of the system, with its `code`
 */
export async function makePipeDirectory(): Promise<string> {
  if (process.platform !== 'linux' || process.env['TMPDIR'] !== undefined) return makePrivateDirectory();
  return makePrivateDirectory(MEMORY).catch(() => makePrivateDirectory());
}

export class NotForked extends Error {
  /** What was loaded is `stale`, this process was `refused`, or the fork server is `gone` for good. */
  readonly why: 'stale' | 'refused' | 'gone';

  constructor(why: NotForked['why'], message: string) {
    super(message);
    this.name = 'NotForked';
    this.why = why;
  }
}
