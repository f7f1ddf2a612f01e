/** Knows the first lines of programs, where a script names its interpreter. */

import { constants } from 'node:fs';
import { access, open, stat } from 'node:fs/promises';

import { type ByteString, fromBuffer, toBuffer } from '../bytes.js';

/** Linux takes that much of a first line; what is longer has no meaning that all systems agree on. */
const MAX_FIRST_LINE_BYTES = 255;

/** Reads first lines, and remembers each until its file changes. */
export class FirstLines {
  readonly #maxRemembered: number;
  readonly #lines = new Map<
    ByteString,
    { readonly identity: string; readonly line: ByteString | undefined }
  >();

  constructor(maxRemembered: number) {
    this.#maxRemembered = maxRemembered;
  }

  /** That of a file that we may execute and read; undefined where there is none, or none so short. */
  async of(path: ByteString): Promise<ByteString | undefined> {
    const status = await stat(toBuffer(path), { bigint: true }).catch(() => undefined);
    if (status === undefined) return undefined;
    const identity = [status.dev, status.ino, status.mtimeNs, status.ctimeNs, status.size].join(' ');
    const known = this.#lines.get(path);
    if (known?.identity === identity) return known.line;
    const line = await firstLine(path);
    if (this.#lines.size >= this.#maxRemembered) this.#lines.clear();
    this.#lines.set(path, { identity, line });
    return line;
  }
}

async function firstLine(path: ByteString): Promise<ByteString | undefined> {
  try {
    await access(toBuffer(path), constants.X_OK);
    const file = await open(toBuffer(path));
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_FIRST_LINE_BYTES));
      const [line, ...rest] = fromBuffer(buffer.subarray(0, bytesRead)).split('\n');
      return rest.length > 0 ? line : undefined;
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}
