/** Look-ups in the file system, told in steps: each is taken at once, or by another thread where that might take long. */

import { type Dirent, lstatSync, readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { lstat, readdir, readFile, realpath, stat, statfs } from 'node:fs/promises';

import { type ByteString, fromBuffer, toBuffer } from '../bytes.js';
import { systemCodeOf } from '../errors.js';

/** One question to the file system. Without `now` the answer has to be waited for: the file may be a named pipe by then. */
interface Step {
  readonly now?: () => unknown;
  readonly later: () => Promise<unknown>;
}

/** Steps, and what they come to in the end. */
export type LookUp<T> = Generator<Step, T, unknown>;

/** What is there, or undefined where nothing is that can be reached. */
function* step<T>({ now, later }: { now?: () => T; later: () => Promise<T> }): LookUp<T | undefined> {
  return (yield { ...(now && { now }), later }) as T | undefined;
}

/** The real path of what `path` names. */
export function* realPathAt(path: ByteString): LookUp<ByteString | undefined> {
  const bytes = toBuffer(path);
  const real = yield* step({
    now: () => realpathSync.native(bytes, 'buffer'),
    later: () => realpath(bytes, 'buffer'),
  });
  return real && fromBuffer(real);
}

/** What `path` is, itself and not what a symbolic link there points to. */
export function lstatAt(path: ByteString): LookUp<Stats | undefined> {
  const bytes = toBuffer(path);
  return step<Stats | undefined>({
    now: () => lstatSync(bytes, { throwIfNoEntry: false }),
    later: () => lstat(bytes),
  });
}

/** What `path` is, through symbolic links. */
export function statAt(path: ByteString): LookUp<Stats | undefined> {
  const bytes = toBuffer(path);
  return step<Stats | undefined>({
    now: () => statSync(bytes, { throwIfNoEntry: false }),
    later: () => stat(bytes),
  });
}

/** What is in a directory; nothing where it went away or may not be read. */
export function* entriesAt(path: ByteString): LookUp<readonly Dirent<Buffer>[]> {
  const bytes = toBuffer(path);
  const options = { withFileTypes: true, encoding: 'buffer' } as const;
  const entries = yield* step({
    now: () => readdirSync(bytes, options),
    later: () => readdir(bytes, options),
  });
  return entries ?? [];
}

/** The text of a regular file. */
export function* textAt(path: ByteString): LookUp<ByteString | undefined> {
  if ((yield* statAt(path))?.isFile() !== true) return undefined;
  const text = yield* step({ later: () => readFile(toBuffer(path)) });
  return text && fromBuffer(text);
}

/** Takes steps one after the other. */
export type TakeSteps = <T>(lookUp: LookUp<T>) => Promise<T>;

/** Takes each step by another thread, which costs as much as 15 that are taken at once. */
export const later: TakeSteps = (lookUp) => take(lookUp, () => false);

/**
 * How long look-ups may keep the event loop in one turn, before the next steps are left to other threads. A disk that has
 * to be waited for takes that long with one step.
 */
const MAX_TURN_MS = 5;

/** The file systems of a machine's own disks and memory, as Linux's statfs(2) knows them: others may never answer. */
const ownFileSystems = new Set([
  0xef53, 0x58465342, 0x9123683e, 0x2fc12fc1, 0xf2f52010, 0xca451a4e, 0x52654973, 0x01021994, 0x858458f6,
  0x794c7630,
]);

/**
 * How steps below these directories are best taken: at once where the system has the answer at hand, which is as a rule on
 * a disk of this machine. Web servers do the same.
 */
export async function stepsBelow(directories: readonly ByteString[]): Promise<TakeSteps> {
  const areOwn = await Promise.all(directories.map(isOwn));
  return areOwn.every(Boolean) ? (lookUp) => take(lookUp, mayKeepLoop) : later;
}

async function isOwn(directory: ByteString): Promise<boolean> {
  if (process.platform !== 'linux') return false;
  const system = await statfs(toBuffer(directory)).catch(() => undefined);
  return system !== undefined && ownFileSystems.has(system.type);
}

let keptMs = 0;

function mayKeepLoop(): boolean {
  return keptMs < MAX_TURN_MS;
}

function timed(now: () => unknown): unknown {
  if (keptMs === 0) setImmediate(() => (keptMs = 0));
  const start = performance.now();
  try {
    return now();
  } finally {
    keptMs += performance.now() - start;
  }
}

async function take<T>(lookUp: LookUp<T>, isNow: () => boolean): Promise<T> {
  let at = lookUp.next();
  while (at.done !== true) {
    const { now, later } = at.value;
    let answer: unknown;
    try {
      answer = now !== undefined && isNow() ? timed(now) : await later();
    } catch (error) {
      // Whatever keeps us from a file keeps the request from it as well; nothing is run on a guess.
      if (systemCodeOf(error) === undefined) throw error;
    }
    at = lookUp.next(answer);
  }
  return at.value;
}
