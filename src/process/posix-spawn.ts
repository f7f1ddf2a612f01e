/** Starts a program by posix_spawn(3), on a thread of its own: the event loop does not wait for it. */

import { closeSync, openSync } from 'node:fs';
import { constants, getPriority } from 'node:os';

import { type ByteString, toBuffer } from '../base/bytes.js';
import { ShortLived } from '../base/memory.js';
import { refuseNul, startError } from './command.js';
import { type ExitStatus, exitStatusOfWait } from './exit-status.js';
import { OwnedProcess } from './owned-process.js';
import type { StartProcess } from './start-process.js';
import { execMemory, type LibC, type Memory, systemError } from '../posix/libc.js';
import { Pipes } from '../posix/pipes.js';

/** Of <spawn.h>, as glibc and musl have them. */
const SETPGROUP = 0x02;
const SETSIGDEF = 0x04;
const SETSIGMASK = 0x08;
const SETSID = 0x80;
/** More than any C library's posix_spawnattr_t, posix_spawn_file_actions_t and sigset_t take. */
const STRUCT_BYTES = 1_024;

/** Of <sys/resource.h>: a process group. */
const PRIO_PGRP = 1;

/** A process that is forked while the priority of its group is set keeps the old one. By then, it is of the group. */
const FORK_MS = [20, 200];

const SHELL = '/bin/sh';

let made: StartProcess | undefined;

/** The way of starting programs on this C library. */
export function posixSpawn(libc: LibC): StartProcess {
  return (made ??= make(libc));
}

/** No more start at once than there are threads (`threads.ts`): koffi has room for 256. */
function make(libc: LibC): StartProcess {
  const attributes = groupAttributes(libc);
  const ownNiceness = getPriority();
  const reaper = new Reaper(libc);
  const nothing = openSync('/dev/null', 'r');

  return async (command) => {
    refuseNul(command);
    const { file, args, directory, variables, input, niceness } = command;
    const pairs: ByteString[] = [];
    for (const [name, value] of variables) pairs.push(`${name}=${value}`);
    const pid = new Int32Array(1);
    const actions = Buffer.allocUnsafe(STRUCT_BYTES);
    const memory: Memory[] = [pid, actions];
    const initError = libc.initActions(actions);
    if (initError !== 0) throw await startError(command, systemError('posix_spawn', initError));
    let pipes: Pipes | undefined;
    inUse.add(memory);
    try {
      pipes = new Pipes(libc, input);
      const [stdout = -1, stderr = -1, stdin = nothing] = pipes.theirs;
      const actionError =
        libc.addDup2(actions, stdin, 0) ||
        libc.addDup2(actions, stdout, 1) ||
        libc.addDup2(actions, stderr, 2) ||
        libc.addChdir(actions, toBuffer(`${directory}\0`));
      if (actionError !== 0) throw systemError('posix_spawn', actionError);
      for (let words = [file, ...args]; ; words = [SHELL, ...words]) {
        const { strings, argv, envp } = execMemory(words, pairs, libc);
        memory.push(strings, argv, envp);
        const errorNumber = await libc.spawn(pid, strings, actions, attributes, argv, envp);
        if (errorNumber === 0) break;
        // As execvp does: a file that can't be executed may be a script without an interpreter line (POSIX.1, exec).
        if (errorNumber !== constants.errno.ENOEXEC || words[0] === SHELL) {
          throw systemError('posix_spawn', errorNumber);
        }
      }
    } catch (error) {
      pipes?.close();
      throw await startError(command, error);
    } finally {
      inUse.delete(memory);
      libc.destroyActions(actions);
    }
    const [id = 0] = pid;
    const exited = reaper.ended(id);
    if (niceness !== undefined) {
      // With all that it has started since, and at no cost to speak of, as nice(1) would have.
      const lower = (): unknown => libc.setpriority(PRIO_PGRP, id, ownNiceness + niceness);
      lower();
      const again = FORK_MS.map((ms) => setTimeout(lower, ms));
      void exited.then(() => {
        again.forEach(clearTimeout);
      });
    }
    return new OwnedProcess({ pid: id, ...pipes.streams(), exited });
  };
}

/** What another thread reads, to which nothing may lead but pointers in it: it must not be collected meanwhile. */
const inUse = new ShortLived<readonly Memory[]>();

/**
 * A process group of its own; every signal at its default, since Node ignores SIGPIPE, and none blocked. Where there is a
 * terminal to be kept from, it is a session of its own, too. Elsewhere Linux might weigh sessions alike, however nice their
 * processes are (sched(7), autogroup), and among dozens of programs the daemon would hardly ever run.
 */
function groupAttributes(libc: LibC): Memory {
  const attributes = Buffer.alloc(STRUCT_BYTES);
  const signals = Buffer.alloc(STRUCT_BYTES);
  const group = hasTerminal() ? SETSID : SETPGROUP;
  const errorNumber =
    libc.initAttributes(attributes) ||
    libc.setFlags(attributes, group | SETSIGDEF | SETSIGMASK) ||
    libc.fillSignals(signals) ||
    libc.setSignalDefault(attributes, signals) ||
    libc.emptySignals(signals) ||
    libc.setSignalMask(attributes, signals);
  if (errorNumber !== 0) throw systemError('posix_spawnattr', errorNumber);
  return attributes;
}

function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}

/** How often it looks anyway, should a signal get lost; the timer also keeps the event loop running until the end. */
const LOOK_MS = 1_000;

interface Running {
  readonly pid: number;
  ended: ((status: ExitStatus) => void) | undefined;
}

/** Owns processes from `ended` on until they are reaped. */
export class Reaper {
  readonly #waitpid: LibC['waitpid'];
  readonly #running = new ShortLived<Running>();
  readonly #status = new Int32Array(1);
  #timer: NodeJS.Timeout | undefined;

  constructor({ waitpid }: LibC) {
    this.#waitpid = waitpid;
    // One signal may stand for many processes (POSIX.1 §2.4.1): each time, all are asked.
    process.on('SIGCHLD', () => {
      this.#look(this.#running);
    });
  }

  /** Resolves when the process was reaped, and not before its caller could add listeners to its streams. */
  ended(pid: number): Promise<ExitStatus> {
    return new Promise((resolve) => {
      const running: Running = { pid, ended: resolve };
      this.#running.add(running);
      this.#timer ??= setInterval(this.#look, LOOK_MS, this.#running);
      // It may have ended before we knew its id, with its signal gone by.
      setImmediate(this.#look, [running]);
    });
  }

  readonly #look = (at: Iterable<Running>): void => {
    for (const running of at) {
      const { pid, ended } = running;
      if (ended === undefined) continue;
      const result = this.#waitpid(pid, this.#status, WNOHANG);
      if (result === 0) continue;
      running.ended = undefined;
      this.#running.delete(running);
      ended(result === pid ? exitStatusOfWait(this.#status[0] ?? 0) : REAPED_BY_OTHERS);
    }
    if (this.#running.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  };
}

const WNOHANG = 1;
/** ECHILD: what a library that waits for whatever ends has taken from us, nobody can tell any more. */
const REAPED_BY_OTHERS: ExitStatus = { kind: 'exited', code: 1 };
