/** Keeps what whoever has started us had open from the programs that we start. */

import { readdirSync, readFileSync } from 'node:fs';

import { loadLibC } from './posix/libc.js';

/** `O_CLOEXEC`, `F_SETFD` and `FD_CLOEXEC` of Linux, which Node does not name. */
const O_CLOEXEC = 0o2_000_000;
const F_SETFD = 2;
const FD_CLOEXEC = 1;

/**
 * Marks descriptors above 2 that programs would inherit so that they don't; they stay open for us. To be called before
 * the first program is started: what Node opens is marked by itself, but of what it was started with only the first
 * 16 and those right behind them. Returns those that could not be marked, since koffi is missing.
 *
 * Elsewhere than on Linux nothing tells which ones they are: then it returns none.
 */
export function keepFromPrograms(load = loadLibC): readonly number[] {
  const inheritable = descriptors().filter(isInheritable);
  if (inheritable.length === 0) return [];
  const loaded = load();
  if (loaded.kind === 'missing') return inheritable;
  return inheritable.filter((descriptor) => loaded.libc.fcntl(descriptor, F_SETFD, 'int', FD_CLOEXEC) !== 0);
}

function descriptors(): number[] {
  try {
    return readdirSync('/proc/self/fd')
      .map(Number)
      .filter((descriptor) => descriptor > 2);
  } catch {
    return [];
  }
}

function isInheritable(descriptor: number): boolean {
  let information: string;
  try {
    information = readFileSync(`/proc/self/fdinfo/${String(descriptor)}`, 'latin1');
  } catch {
    // The one that has listed them, for instance.
    return false;
  }
  const flags = /^flags:\s*([0-7]+)$/m.exec(information)?.[1] ?? '';
  return (parseInt(flags, 8) & O_CLOEXEC) === 0;
}
