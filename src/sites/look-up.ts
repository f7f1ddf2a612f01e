/** Look-ups in the file system, told in steps: each is taken at once, or by another thread where that might take long. */

import { type Dirent, lstatSync, readdirSync, type Stats } from 'node:fs';
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

/** The real path of what `path` names. Links may lead anywhere, also to where there is no answer: it is waited for. */
export function* realPathAt(path: ByteString): LookUp<ByteString | undefined> {
  const real = yield* step({ later: () => realpath(toBuffer(path), 'buffer') });
  return real && fromBuffer(real);
}

/** The real path of what these names lead to from the real path `directory`; none of them is `.` or `..`. */
export function* realPathBelow(
  directory: ByteString,
  ...names: readonly ByteString[]
): LookUp<ByteString | undefined> {
  let path = directory;
  for (const name of names) {
    path = path === '/' ? `/${name}` : `${path}/${name}`;
    const found = yield* lstatAt(path);
    if (found === undefined) return undefined;
    if (!found.isSymbolicLink()) continue;
    const real = yield* realPathAt(path);
    if (real === undefined) return undefined;
    path = real;
  }
  return path;
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
export function* statAt(path: ByteString): LookUp<Stats | undefined> {
  const found = yield* lstatAt(path);
  return found?.isSymbolicLink() === true ? yield* step({ later: () => stat(toBuffer(path)) }) : found;
}

/** What is in a directory; undefined where it can't be read. */
export function entriesAt(path: ByteString): LookUp<readonly Dirent<Buffer>[] | undefined> {
  const bytes = toBuffer(path);
  const options = { withFileTypes: true, encoding: 'buffer' } as const;
  return step<readonly Dirent<Buffer>[]>({
    now: () => readdirSync(bytes, options),
    later: () => readdir(bytes, options),
  });
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
export const later: TakeSteps = (lookUp) => take(lookUp, undefined);

/** How long look-ups may keep the event loop in one turn, before the next steps are left to other threads. */
const MAX_TURN_MS = 5;

/** How long all steps are left to them after one that has taken so long by itself: a disk has to be waited for. */
const SLOW_MS = 1_000;

/** Knows how long steps that are taken at once keep the event loop, by a clock of milliseconds. */
export class Turns {
  readonly #clock: () => number;
  #keptMs = 0;
  #slowUntil = -Infinity;

  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  /** Whether one more may be taken in this turn of the loop. */
  get mayGoOn(): boolean {
    return this.#keptMs < MAX_TURN_MS && this.#clock() >= this.#slowUntil;
  }

  /** What `now` returns or throws. */
  take(now: () => unknown): unknown {
    if (this.#keptMs === 0) setImmediate(() => (this.#keptMs = 0));
    const start = this.#clock();
    try {
      return now();
    } finally {
      const end = this.#clock();
      this.#keptMs += end - start;
      if (end - start > MAX_TURN_MS) this.#slowUntil = end + SLOW_MS;
    }
  }
}

const turns = new Turns();

/** The file systems of a machine's own disks and memory, as Linux's statfs(2) knows them: others may never answer. */
const ownFileSystems = new Set([
  0xef53, 0x58465342, 0x9123683e, 0x2fc12fc1, 0xf2f52010, 0xca451a4e, 0x52654973, 0x01021994, 0x858458f6,
  0x794c7630,
]);

/**
 * How steps below these directories are best taken: at once where the system has the answer at hand, which is as a rule on
 * a disk of this machine with nothing else mounted below them as yet. Web servers do the same.
 */
export async function stepsBelow(directories: readonly ByteString[], within = turns): Promise<TakeSteps> {
  const areOwn = await Promise.all(directories.map(isOwn));
  return areOwn.every(Boolean) ? (lookUp) => take(lookUp, within) : later;
}

async function isOwn(directory: ByteString): Promise<boolean> {
  if (process.platform !== 'linux') return false;
  const system = await statfs(toBuffer(directory)).catch(() => undefined);
  if (system === undefined || !ownFileSystems.has(system.type)) return false;
  const mounts = await later(textAt('/proc/self/mountinfo'));
  return mounts !== undefined && !hasMountBelow(directory, mounts);
}

/** Whether anything is mounted below a directory, by proc_pid_mountinfo(5). */
function hasMountBelow(directory: ByteString, mounts: ByteString): boolean {
  const below = directory === '/' ? directory : `${directory}/`;
  return mounts.split('\n').some((line) => {
    const point = line
      .split(' ')[4]
      ?.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    return point !== undefined && point !== directory && point.startsWith(below);
  });
}

async function take<T>(lookUp: LookUp<T>, within: Turns | undefined): Promise<T> {
  let at = lookUp.next();
  while (at.done !== true) {
    const { now, later } = at.value;
    let answer: unknown;
    try {
      answer = now !== undefined && within?.mayGoOn === true ? within.take(now) : await later();
    } catch (error) {
      // Whatever keeps us from a file keeps the request from it as well; nothing is run on a guess.
      if (systemCodeOf(error) === undefined) throw error;
    }
    at = lookUp.next(answer);
  }
  return at.value;
}
