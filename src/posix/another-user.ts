/** Has this process run another program as another user, in its own place: what Node can't do, or must not. */

import { fromText } from '../base/bytes.js';
import { type Call, execMemory, F_SETFD, loadKoffi, type Memory, systemError } from './libc.js';

/** Numbers that the system knows a process's rights by. */
export interface Credentials {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/** POSIX has these on every system, in the same form. */
export type AnotherUser = ReturnType<typeof anotherUser>;

/** @throws Error where koffi is missing */
export function anotherUser() {
  const koffi = loadKoffi();
  const library = koffi.load(null);
  const call = <Args extends unknown[]>(prototype: string): Call<Args> =>
    library.func(prototype) as Call<Args>;
  const check = (name: string, result: number): void => {
    if (result < 0) throw systemError(name, koffi.errno());
  };
  const setgroups = call<[number, Memory]>('int setgroups(size_t, void *)');
  const setgid = call<[number]>('int setgid(unsigned int)');
  const setuid = call<[number]>('int setuid(unsigned int)');
  const dup2 = call<[number, number]>('int dup2(int, int)');
  const fcntl = call<[number, number, 'int', number]>('int fcntl(int, int, ...)');
  const execv = call<[Memory, Memory]>('int execv(void *, void *)');
  return {
    /**
     * Becomes that user for good, on every thread. Node's own functions throw where io_uring may have kept the rights of
     * before (Debian 13): call `execute` next, which leaves nothing of this process's memory and rings, and wait for
     * nothing in between.
     *
     * @throws Error of the system, with its `code`
     */
    become: ({ uid, gid, groups }: Credentials): void => {
      check('setgroups', setgroups(groups.length, Uint32Array.from(groups)));
      check('setgid', setgid(gid));
      check('setuid', setuid(uid));
    },
    /** Has `number` be what `descriptor` is. @throws Error of the system, with its `code` */
    duplicate: (descriptor: number, number: number): void => {
      check('dup2', dup2(descriptor, number));
    },
    /**
     * Replaces this program; process id, parent, working directory and environment stay. Of the descriptors only those in
     * `kept` stay open; numbers of none are left out.
     *
     * @throws Error of the system, with its `code`; it goes on then
     */
    execute: (file: string, args: readonly string[], kept: Iterable<number>): never => {
      // What is not open now is not open then.
      for (const descriptor of kept) fcntl(descriptor, F_SETFD, 'int', 0);
      const { strings, argv } = execMemory([file, ...args].map(fromText), [], {
        addressOf: koffi.address,
        pointerBytes: koffi.sizeof('void *'),
      });
      execv(strings, argv);
      throw systemError('execv', koffi.errno());
    },
  };
}
