/** The version of a git program, which gitweb would ask in each request by a shell and git. */

import { execFile } from 'node:child_process';
import { open, stat } from 'node:fs/promises';
import { promisify } from 'node:util';

import { type ByteString, fromText, toBuffer } from '../../base/bytes.js';

const run = promisify(execFile);
const TIMEOUT_MS = 20_000;
/** How long what is known is good for, before the program is looked at again. */
const LOOK_AGAIN_MS = 10_000;
/** A file that has changed so short a time before may change again and have the same times, which are in seconds. */
const RACY_MS = 2_000;

/** Remembers the version; a process that is given it compares the file once more. */
export class GitVersion {
  readonly #git: ByteString;
  #known: { readonly file: string; readonly version: string | undefined } | undefined;
  readonly #now: () => number;
  #lookedAt = -Infinity;
  /** Settles, and never rejects, when what `known` has begun is done. */
  looked: Promise<void> = Promise.resolve();

  /** The clock's milliseconds are those of the file system's times. */
  constructor(git: ByteString, now = Date.now) {
    this.#git = git;
    this.#now = now;
  }

  /**
   * `DEV:INODE:SIZE:MTIME:CTIME VERSION`, times in seconds; undefined as long as it is not known. It is not of a script,
   * which may run another git.
   */
  known(): ByteString | undefined {
    const now = this.#now();
    if (now - this.#lookedAt >= LOOK_AGAIN_MS) {
      this.#lookedAt = now;
      this.looked = this.#look().catch(() => {
        this.#known = undefined;
      });
    }
    return this.#known?.version === undefined
      ? undefined
      : fromText(`${this.#known.file} ${this.#known.version}`);
  }

  async #look(): Promise<void> {
    const path = toBuffer(this.#git);
    const since = this.#now();
    const file = await identityOf(path, since);
    if (file === undefined || file === this.#known?.file) return;
    const version = (await isScript(path)) ? undefined : await ask(path);
    if ((await identityOf(path, since)) === file) this.#known = { file, version };
  }
}

/** Two are the same only if nobody has changed the file between them; undefined if that can't be told yet. */
async function identityOf(path: Buffer, now: number): Promise<string | undefined> {
  const status = await stat(path, { bigint: true });
  const { dev, ino, size, mtimeMs, ctimeMs } = status;
  if (!status.isFile() || now - Number(ctimeMs) < RACY_MS) return undefined;
  return [dev, ino, size, mtimeMs / 1_000n, ctimeMs / 1_000n].join(':');
}

async function isScript(path: Buffer): Promise<boolean> {
  const file = await open(path);
  try {
    const { buffer } = await file.read(Buffer.alloc(2), 0, 2, 0);
    return buffer.toString('latin1') === '#!';
  } finally {
    await file.close();
  }
}

async function ask(path: Buffer): Promise<string | undefined> {
  const { stdout } = await run(path.toString(), ['--version'], { cwd: '/', timeout: TIMEOUT_MS });
  return /^git version (.*)$/m.exec(stdout)?.[1];
}
