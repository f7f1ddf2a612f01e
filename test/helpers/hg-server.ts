/** A Mercurial that runs one command after the other: to load its modules takes longer than what most commands do. */

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { after } from 'node:test';

import type { Ended } from './command.js';

/** https://wiki.mercurial-scm.org/CommandServer: a letter, a length, and that many bytes. */
const HEADER_BYTES = 5;

const started: HgServer[] = [];
after(async () => {
  await Promise.all(started.map((server) => server.stop()));
});

/** `hg serve --cmdserver pipe`; it ends with the tests of the file. */
export class HgServer {
  /** Whether a command runs; there can be only one. */
  isBusy = false;
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #exited: Promise<unknown>;
  readonly #chunks: AsyncIterator<Buffer, undefined>;
  #received = Buffer.alloc(0);
  #greeted: Promise<unknown> | undefined;

  constructor(env: NodeJS.ProcessEnv) {
    const args = ['serve', '--cmdserver', 'pipe', '--cwd', '/'];
    this.#process = spawn('hg', args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#exited = once(this.#process, 'exit');
    this.#process.stderr.resume();
    // One that has ended is told so by its output.
    this.#process.stdin.on('error', () => undefined);
    this.#chunks = this.#process.stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
    started.push(this);
  }

  /** Runs a command to its end; its output is read as Latin-1, octet by octet. */
  async run(args: readonly string[], cwd = '/'): Promise<Ended> {
    this.isBusy = true;
    await (this.#greeted ??= this.#next());
    const given = Buffer.from(['--cwd', cwd, ...args].join('\0'));
    this.#process.stdin.write('runcommand\n');
    this.#process.stdin.write(length(given.length));
    this.#process.stdin.write(given);
    const said = { o: '', e: '' };
    for (;;) {
      const { channel, data } = await this.#next();
      if (channel === 'r') {
        this.isBusy = false;
        return { status: data.readInt32BE(), stdout: said.o, stderr: said.e };
      }
      if (channel === 'o' || channel === 'e') said[channel] += data.toString('latin1');
      // It asks for input, and there is none.
      else this.#process.stdin.write(length(0));
    }
  }

  async #next(): Promise<{ readonly channel: string; readonly data: Buffer }> {
    const channel = String.fromCharCode((await this.#peek(HEADER_BYTES))[0] ?? 0);
    // Of a channel for input the length is what it would take.
    const size = HEADER_BYTES + ('IL'.includes(channel) ? 0 : this.#received.readUInt32BE(1));
    const data = (await this.#peek(size)).subarray(HEADER_BYTES, size);
    this.#received = this.#received.subarray(size);
    return { channel, data };
  }

  async #peek(bytes: number): Promise<Buffer> {
    while (this.#received.length < bytes) {
      const { value, done } = await this.#chunks.next();
      if (done === true) throw new Error('the command server of hg has ended');
      this.#received = Buffer.concat([this.#received, value]);
    }
    return this.#received;
  }

  async stop(): Promise<void> {
    this.#process.stdin.end();
    await this.#exited;
  }
}

function length(bytes: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(bytes);
  return buffer;
}
