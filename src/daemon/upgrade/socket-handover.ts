/**
 * What a daemon leaves to the one that takes its place, and root to the user who serves: the sockets that it has bound, and
 * its pid file. The next process receives them, and tells the previous one how it is.
 */

import { closeSync } from 'node:fs';
import { Socket } from 'node:net';

import { BridgeError } from '../../base/errors.js';
import { type Address, formatAddress } from '../listening/address.js';
import { Listener, type ListenerOptions } from '../listening/listener.js';
import { SocketFile, type SocketHandover } from '../listening/socket-file.js';
import type { PidFile } from '../process/pid-file.js';
import type { PassedSocket } from '../process/systemd.js';
import { isConnectionMessage, type NextProcessMessage, tellListening } from './start-again.js';

/** The variable of the environment in which it stands, as JSON. */
const VARIABLE = 'FCGI2CGI_HANDOVER';

/** The first descriptor after those that every process has. */
const FIRST = 3;

interface Contents {
  /** With descriptors as the next one has them. */
  readonly sockets: readonly SocketHandover[];
  readonly pid: number;
  readonly pidFile: { readonly path: string; readonly descriptor: number | undefined } | undefined;
}

/** What the next one has to be started with to take over. */
export interface Handover {
  /** Ours that it gets. */
  readonly descriptors: readonly number[];
  readonly env: Readonly<Record<string, string>>;
}

/** Another process gets the descriptors from `FIRST` on, in this order; the next program of this one as they are. */
type Next = 'process' | 'program';

/** Puts together what there is to leave. @throws BridgeError `ERR_UPGRADE` where Node keeps the sockets to itself. */
export function handOver(listeners: readonly Listener[], pidFile: PidFile | undefined, next: Next): Handover {
  const descriptors: number[] = [];
  const left = (descriptor: number): number => {
    const count = descriptors.push(descriptor);
    return next === 'process' ? FIRST + count - 1 : descriptor;
  };
  const contents: Contents = {
    sockets: listeners.map((listener) => {
      const handover = listener.handover();
      return { ...handover, descriptor: left(handover.descriptor), waiting: handover.waiting.map(left) };
    }),
    pid: process.pid,
    pidFile: pidFile && {
      path: pidFile.path,
      descriptor: pidFile.descriptor === undefined ? undefined : left(pidFile.descriptor),
    },
  };
  return { descriptors, env: { [VARIABLE]: JSON.stringify(contents) } };
}

/** What was left to this process. */
export class ReceivedHandover {
  readonly #contents: Contents;
  readonly #taken = new Map<number, Listener>();
  #isRestClosed = false;

  private constructor(contents: Contents) {
    this.#contents = contents;
  }

  /** Takes it out of the environment, where anybody has left anything. */
  static find(): ReceivedHandover | undefined {
    const text = process.env[VARIABLE];
    // Not for whom we start ourselves.
    Reflect.deleteProperty(process.env, VARIABLE);
    if (text === undefined) return undefined;
    const found = new ReceivedHandover(JSON.parse(text) as Contents);
    return found.isOwn || process.connected ? found : undefined;
  }

  get pid(): number {
    return this.#contents.pid;
  }

  /** Whether that is this one, which has run as root before. */
  get isOwn(): boolean {
    return this.pid === process.pid;
  }

  get pidFile(): Contents['pidFile'] {
    return this.#contents.pidFile;
  }

  /** The same, for the next program of this process. */
  again(): Handover {
    const { sockets, pidFile } = this.#contents;
    const descriptors = sockets.flatMap(({ descriptor, waiting }) => [descriptor, ...waiting]);
    return {
      descriptors: [...descriptors, ...(pidFile?.descriptor === undefined ? [] : [pidFile.descriptor])],
      env: { [VARIABLE]: JSON.stringify(this.#contents) },
    };
  }

  /**
   * The listener at that address, if there is one; another process's is that one's still, until it accepts.
   *
   * @throws BridgeError `ERR_LISTEN` for a descriptor that was not left to us: ours have other numbers.
   */
  async take(address: Address, options: ListenerOptions): Promise<Listener | undefined> {
    const wanted = formatAddress(address);
    const { sockets } = this.#contents;
    const index = sockets.findIndex((each, at) => each.address === wanted && !this.#taken.has(at));
    const handover = sockets[index];
    const isBorrowed = !this.isOwn;
    const listener = handover && (await Listener.takeOver(address, handover, options, { isBorrowed }));
    if (listener !== undefined) this.#taken.set(index, listener);
    else if (address.kind === 'fd' && isBorrowed) {
      throw new BridgeError(
        'ERR_LISTEN',
        `${wanted}: an upgrade has no descriptors but those that were listened on`,
      );
    }
    return listener;
  }

  /** Those of the sockets that systemd has passed to a previous process. */
  get passedSockets(): readonly PassedSocket[] {
    return this.#contents.sockets.flatMap(({ address, descriptor }) => {
      const name = /^systemd:(.*)$/s.exec(address)?.[1];
      return name === undefined ? [] : [{ name, descriptor }];
    });
  }

  /** Who has taken the socket of that number, in the order in which they were left. */
  takerOf(index: number): Listener | undefined {
    return this.#taken.get(index);
  }

  get taken(): readonly number[] {
    return [...this.#taken.keys()];
  }

  /** Lets go of the sockets that nobody has taken, once: web servers that connect there would wait for ever. */
  async closeRest(): Promise<void> {
    if (this.#isRestClosed) return;
    this.#isRestClosed = true;
    for (const [index, { descriptor, waiting, file }] of this.#contents.sockets.entries()) {
      if (this.#taken.has(index)) continue;
      for (const each of [descriptor, ...waiting]) closeSync(each);
      if (this.isOwn && file !== undefined) await new SocketFile(file.path, file).remove(() => undefined);
    }
  }
}

export class PreviousProcess {
  readonly received: ReceivedHandover;
  readonly ended: Promise<void>;

  private constructor(received: ReceivedHandover) {
    this.received = received;
    this.ended = new Promise((resolve) => {
      process.once('disconnect', resolve);
    });
    process.on('message', (message, socket: unknown) => {
      if (isConnectionMessage(message) && socket instanceof Socket) this.#take(socket, message.listener);
    });
  }

  /** The process that has started this one to take its place, and left it that. */
  static of(received: ReceivedHandover): PreviousProcess | undefined {
    return !received.isOwn && process.connected ? new PreviousProcess(received) : undefined;
  }

  /** Tells it that we serve, so that it takes no new work. */
  async tellListening(): Promise<void> {
    await tellListening(this.received.taken);
  }

  reopenLogs(): void {
    this.#tell({ kind: 'reopen' });
  }

  /** Has it end, as SIGTERM would. */
  stop(): void {
    this.#tell({ kind: 'stop' });
  }

  #take(socket: Socket, index: number): void {
    // As our own listeners make them.
    socket.allowHalfOpen = true;
    const listener = this.received.takerOf(index);
    if (listener === undefined) socket.destroy();
    else listener.take(socket);
    this.#tell({ kind: 'taken' });
  }

  #tell(message: NextProcessMessage): void {
    if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
  }
}
