/** Look-ups in the file system, told in steps: questions that somebody else asks, at once or by another thread (`steps.ts`). */

import {
  accessSync,
  closeSync,
  constants,
  type Dir,
  type Dirent,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  type Stats,
} from 'node:fs';
import { access, lstat, open, opendir, readlink, realpath, stat } from 'node:fs/promises';

import { type ByteString, fromBuffer, toBuffer } from '../base/bytes.js';
import { systemCodeOf } from '../base/errors.js';

/** One question to the file system. Without `now` the answer has to be waited for. */
export interface Step {
  readonly now?: () => unknown;
  readonly later: () => Promise<unknown>;
}

/** Steps, and what they come to in the end. */
export type LookUp<T> = Generator<Step, T, unknown>;

/** What answers the steps of one look-up. */
export interface Answers {
  /** Takes steps at once, for as long as it may. */
  readonly turns?: { readonly mayTake: boolean; take<T>(now: () => T): T } | undefined;
  /** What it has seen: a file that is looked at twice in one look-up is asked for once. */
  readonly seen: Map<ByteString, Stats | undefined>;
}

let answers: Answers | undefined;

/** Has a look-up go on, with what its last step came to, until it needs an answer that can't be given at once. */
export function goOn<T>(lookUp: LookUp<T>, answer: unknown, by: Answers): IteratorResult<Step, T> {
  const others = answers;
  answers = by;
  try {
    return lookUp.next(answer);
  } finally {
    answers = others;
  }
}

/** What is there, or undefined where nothing is that can be reached. */
function* step<T>({ now, later }: { now?: () => T; later: () => Promise<T> }): LookUp<T | undefined> {
  const turns = answers?.turns;
  // Each yield would pass through all that this is part of, there and back: the half of a look-up's time.
  if (now === undefined || turns?.mayTake !== true)
    return (yield { ...(now && { now }), later }) as T | undefined;
  try {
    return turns.take(now);
  } catch (error) {
    unreachable(error);
    return undefined;
  }
}

/** Whatever keeps us from a file keeps the request from it as well; nothing is run on a guess. @throws any error but the system’s */
export function unreachable(error: unknown): void {
  if (systemCodeOf(error) === undefined) throw error;
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
export function* lstatAt(path: ByteString): LookUp<Stats | undefined> {
  const seen = answers?.seen;
  if (seen?.has(path) === true) return seen.get(path);
  const bytes = toBuffer(path);
  const found = yield* step<Stats | undefined>({
    now: () => lstatSync(bytes, { throwIfNoEntry: false }),
    later: () => lstat(bytes),
  });
  seen?.set(path, found);
  return found;
}

/** What `path` is, through symbolic links. */
export function* statAt(path: ByteString): LookUp<Stats | undefined> {
  const found = yield* lstatAt(path);
  return found?.isSymbolicLink() === true ? yield* step({ later: () => stat(toBuffer(path)) }) : found;
}

/** Whether this process may execute a file, or go through a directory. */
export function mayExecute(path: ByteString): LookUp<boolean> {
  return may(path, constants.X_OK);
}

/** Whether this process may read a file, or list a directory. */
export function mayRead(path: ByteString): LookUp<boolean> {
  return may(path, constants.R_OK);
}

/** Whether this process may write to a file, or make and remove files in a directory. */
export function mayWrite(path: ByteString): LookUp<boolean> {
  return may(path, constants.W_OK);
}

function* may(path: ByteString, mode: number): LookUp<boolean> {
  const bytes = toBuffer(path);
  const allowed = yield* step({
    now: () => {
      accessSync(bytes, mode);
      return true;
    },
    later: () => access(bytes, mode).then(() => true),
  });
  return allowed === true;
}

/** What a symbolic link says, as it stands there. */
export function* linkAt(path: ByteString): LookUp<ByteString | undefined> {
  const text = yield* step({ later: () => readlink(toBuffer(path), 'buffer') });
  return text && fromBuffer(text);
}

/** A directory that takes more says what it has in pieces: to read it in one go would keep the event loop. */
const MAX_DIRECTORY_BYTES = 65_536;
const ENTRIES_AT_ONCE = 1_000;
/** What of one directory is kept at most, by the pieces. */
export const MAX_ENTRIES = 250_000;

/** Anything but a plain file: it may lead further. */
export const isNoFile = (entry: Dirent<Buffer>): boolean => !entry.isFile();

/**
 * What is in a directory, of which `stats` are, and is to be kept; not all of it where that is more than `MAX_ENTRIES`.
 * Undefined where it can't be read.
 */
export function* entriesAt(
  path: ByteString,
  stats: Stats,
  isKept: (entry: Dirent<Buffer>) => boolean = () => true,
): LookUp<readonly Dirent<Buffer>[] | undefined> {
  const bytes = toBuffer(path);
  const isSmall = stats.size <= MAX_DIRECTORY_BYTES;
  // Its types know of no names that are bytes.
  const encoding = 'buffer' as BufferEncoding;
  const opened = yield* step<readonly Dirent<Buffer>[] | Dir>({
    ...(isSmall && { now: () => readdirSync(bytes, { withFileTypes: true, encoding: 'buffer' }) }),
    later: () => opendir(bytes, { encoding, bufferSize: ENTRIES_AT_ONCE }),
  });
  if (opened === undefined || !('close' in opened)) return opened?.filter(isKept);
  const kept: Dirent<Buffer>[] = [];
  try {
    // Others get the thread in between, and nobody reads on when nobody waits any more.
    for (let isMore = true; isMore;) {
      const piece = yield* step({ later: () => nextEntries(opened) });
      if (piece === undefined) return undefined;
      kept.push(...piece.filter(isKept));
      isMore = piece.length === ENTRIES_AT_ONCE && kept.length <= MAX_ENTRIES;
    }
  } finally {
    opened.close().catch(() => undefined);
  }
  return kept;
}

async function nextEntries(directory: Dir): Promise<readonly Dirent<Buffer>[]> {
  const entries: Dirent<Buffer>[] = [];
  while (entries.length < ENTRIES_AT_ONCE) {
    const entry = await directory.read();
    if (entry === null) break;
    entries.push(entry as unknown as Dirent<Buffer>);
  }
  return entries;
}

/** What of a file in a repository is read at most: what such files say is one path, or a few lines. */
export const MAX_TEXT_BYTES = 65_536;

/** Opens at once also what nobody writes to: a named pipe, or a terminal. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** The text of a regular file; undefined where that is another file, or one of more than `maxBytes`. */
export function* textAt(path: ByteString, maxBytes = MAX_TEXT_BYTES): LookUp<ByteString | undefined> {
  // To open a device may do something by itself.
  if (!isText(yield* statAt(path), maxBytes)) return undefined;
  const bytes = toBuffer(path);
  const text = yield* step<Buffer | undefined>({
    now: () => {
      const descriptor = openSync(bytes, FLAGS);
      try {
        // What was a file may be another by now.
        const buffer = bufferFor(fstatSync(descriptor), maxBytes);
        return buffer && whole(buffer, readSync(descriptor, buffer, 0, buffer.length, 0));
      } finally {
        closeSync(descriptor);
      }
    },
    later: async () => {
      const file = await open(bytes, FLAGS);
      try {
        const buffer = bufferFor(await file.stat(), maxBytes);
        return buffer && whole(buffer, (await file.read(buffer, 0, buffer.length, 0)).bytesRead);
      } finally {
        await file.close();
      }
    },
  });
  return text && fromBuffer(text);
}

/** Whether there is a regular file, which has no more than such files need. */
export function* isTextAt(path: ByteString): LookUp<boolean> {
  return isText(yield* statAt(path), MAX_TEXT_BYTES);
}

function isText(stats: Stats | undefined, maxBytes: number): boolean {
  return stats?.isFile() === true && stats.size <= maxBytes;
}

/** Has room for a byte more than there are. */
function bufferFor(stats: Stats, maxBytes: number): Buffer | undefined {
  return isText(stats, maxBytes) ? Buffer.allocUnsafe(stats.size + 1) : undefined;
}

/** A file that has grown meanwhile is being written: half of it says something else. */
function whole(buffer: Buffer, bytesRead: number): Buffer | undefined {
  return bytesRead < buffer.length ? buffer.subarray(0, bytesRead) : undefined;
}
