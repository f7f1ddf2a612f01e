/** Starts a program by posix_spawn(3), on a thread of its own: the event loop does not wait for it. */

import pLimit from 'p-limit';

import { systemCodeOf } from '../../errors.js';
import type { Command } from '../command.js';
import { OwnedProcess } from '../owned-process.js';
import { refuseNul, startError } from '../start-error.js';
import type { StartProcess } from '../start-process.js';
import type { LibC, Memory } from './libc.js';
import { cString, vector } from './memory.js';
import { Pipes } from './pipes.js';
import { Reaper } from './reaper.js';
import { systemError } from './system-error.js';

/** Of <spawn.h>, as glibc and musl have them. */
const SETSIGDEF = 0x04;
const SETSIGMASK = 0x08;
const SETSID = 0x80;
/** More than any C library's posix_spawnattr_t, posix_spawn_file_actions_t and sigset_t take. */
const STRUCT_BYTES = 1_024;

/** Starts that go on at once: as many as Node has threads for such. More would only fill koffi's memory. */
const MAX_STARTING = 4;

const SHELL = '/bin/sh';

let made: StartProcess | undefined;

/** The way of starting programs on this C library. */
export function posixSpawn(libc: LibC): StartProcess {
  return (made ??= make(libc));
}

function make(libc: LibC): StartProcess {
  const attributes = sessionAttributes(libc);
  const reaper = new Reaper(libc);
  const oneOfFew = pLimit(MAX_STARTING);

  async function start(command: Command): Promise<OwnedProcess> {
    const pipes = new Pipes(libc, command.input);
    let pid: number;
    try {
      pid = await spawn(libc, attributes, command, pipes.theirs);
    } catch (error) {
      pipes.closeOurs();
      throw error;
    } finally {
      pipes.closeTheirs();
    }
    const streams = pipes.streams();
    const exited = reaper.ended(pid).then((exit) => {
      // As Node does: nobody is left to read it, though something that it has started may hold the other end.
      streams.stdin.destroy();
      streams.stderr.programEnded();
      return exit;
    });
    // Node's kill throws where nothing is left, as a rule: 24 µs for each program, in place of 1.
    return new OwnedProcess({ pid, ...streams, exited, hasGroup: () => libc.kill(-pid, 0) === 0 });
  }

  return async (command) => {
    refuseNul(command);
    try {
      return await oneOfFew(() => start(command)).catch((error: unknown) => {
        if (systemCodeOf(error) !== 'ENOEXEC') throw error;
        // As execvp does: what is no program may be a script without an interpreter line (POSIX.1, exec).
        return oneOfFew(() => start({ ...command, file: SHELL, args: [command.file, ...command.args] }));
      });
    } catch (error) {
      throw startError(command, error);
    }
  };
}

/** Starts the program with these descriptors as its 0, 1 and 2; its id. @throws Error of the system, with its `code`. */
async function spawn(
  libc: LibC,
  attributes: Memory,
  { file, args, directory, environment }: Command,
  descriptors: readonly number[],
): Promise<number> {
  const actions = Buffer.allocUnsafe(STRUCT_BYTES);
  check('posix_spawn_file_actions_init', libc.initActions(actions));
  try {
    descriptors.forEach((descriptor, as) => {
      check('posix_spawn_file_actions_adddup2', libc.addDup2(actions, descriptor, as));
    });
    check('posix_spawn_file_actions_addchdir_np', libc.addChdir(actions, cString(directory)));
    const argv = vector([file, ...args], libc);
    const envp = vector(
      [...environment].map(([name, value]) => `${name}=${value}`),
      libc,
    );
    const pid = new Int32Array(1);
    const memory = [pid, cString(file), actions, attributes, argv.pointers, envp.pointers] as const;
    const all = [...memory, argv.strings, envp.strings];
    inUse.add(all);
    const errorNumber = await new Promise<number>((resolve, reject) => {
      libc.spawn.async(...memory, (error, result) => {
        if (error === null) resolve(result);
        else reject(error);
      });
    }).finally(() => inUse.delete(all));
    check('posix_spawn', errorNumber);
    return pid[0] ?? 0;
  } finally {
    libc.destroyActions(actions);
  }
}

/** What another thread reads, to which nothing may lead but pointers in it: it must not be collected meanwhile. */
const inUse = new Set<readonly Memory[]>();

/** A session of its own; every signal at its default, since Node ignores SIGPIPE, and none blocked. */
function sessionAttributes(libc: LibC): Memory {
  const attributes = Buffer.alloc(STRUCT_BYTES);
  const signals = Buffer.alloc(STRUCT_BYTES);
  check('posix_spawnattr_init', libc.initAttributes(attributes));
  check('posix_spawnattr_setflags', libc.setFlags(attributes, SETSID | SETSIGDEF | SETSIGMASK));
  libc.fillSignals(signals);
  check('posix_spawnattr_setsigdefault', libc.setSignalDefault(attributes, signals));
  libc.emptySignals(signals);
  check('posix_spawnattr_setsigmask', libc.setSignalMask(attributes, signals));
  return attributes;
}

/** @throws Error of the system, with its `code`. */
function check(call: string, errorNumber: number): void {
  if (errorNumber !== 0) throw systemError(call, errorNumber);
}
