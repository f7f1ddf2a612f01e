/** One listening socket, whatever it is, and who may connect to it: bound first, read from only when all is ready. */

import { lookup } from 'node:dns/promises';
import { fstatSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';

import { BridgeError, reasonOf } from '../errors.js';
import { type Address, formatAddress } from './address.js';
import type { AllowFrom } from './allow-from.js';
import { SocketFile, type UnixSocketOptions } from './socket-file.js';
import { bindUnixSocket } from './unix-socket.js';

export interface ListenerOptions {
  readonly socket: UnixSocketOptions;
  readonly allowFrom: AllowFrom;
  /** Told of connections that are closed on whoever made them, and why; and of a file that could not be removed. */
  readonly onProblem: (why: string) => void;
}

/** A socket on its way from one process to the next. */
export interface Legacy {
  /** Where it was told to listen, in the form of `--listen`. */
  readonly address: string;
  readonly descriptor: number;
  /** The file of a Unix socket, and whose it was made. */
  readonly file: Pick<SocketFile, 'path' | 'dev' | 'ino'> | undefined;
  readonly socket: UnixSocketOptions;
}

/** Takes a connection, which is paused. */
type OnConnection = (socket: Socket) => void;

/**
 * A request's last records are small and must not wait for an acknowledgement; a host that crashed must be noticed.
 * Node reads from a connection as soon as it has accepted it, unless it is told not to.
 */
const socketOptions = { allowHalfOpen: true, noDelay: true, keepAlive: true, pauseOnConnect: true };

/** Connections that wait until we accept; further ones are closed. */
const MAX_WAITING = 256;

/** A socket that is bound: whoever connects waits, and nothing of what it sends is read, until `accept`. */
export class Listener {
  readonly #given: Address;
  readonly #server: Server;
  #options: ListenerOptions;
  #file: SocketFile | undefined;
  /** The descriptor that it is to listen on, of one that was bound by somebody else. */
  #descriptor: number | undefined;
  /** Whether it is another process's: one that goes on with it if nothing comes of us, or that we have left it to. */
  #isBorrowed = false;
  /** Where a TCP socket listens. */
  #bound: { readonly address: string; readonly port: number } | undefined;
  readonly #waiting: Socket[] = [];
  #onConnection: OnConnection = (socket) => {
    // Nobody reads from it yet, but its peer may leave.
    socket.on('error', () => undefined);
    if (this.#waiting.length >= MAX_WAITING) socket.destroy();
    else this.#waiting.push(socket);
  };

  private constructor(given: Address, options: ListenerOptions) {
    this.#given = given;
    this.#options = options;
    this.#server = createServer(socketOptions, (socket) => {
      this.take(socket);
    });
  }

  /**
   * Binds a socket. An inherited one, which somebody else may accept on as well, is left alone until `ready`.
   *
   * @throws BridgeError `ERR_LISTEN`
   */
  static async bind(address: Address, options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(address, options);
    await listener.#bind();
    return listener;
  }

  /**
   * Takes a socket of another process's, which listens already; undefined if nobody reaches it any more, since its file
   * is gone. It stays that process's until `accept`, in which it can be changed back.
   *
   * @throws BridgeError `ERR_LISTEN`
   */
  static async inherit(
    address: Address,
    { descriptor, file, socket }: Legacy,
    options: ListenerOptions,
  ): Promise<Listener | undefined> {
    const listener = new Listener(address, { ...options, socket });
    listener.#isBorrowed = true;
    listener.#descriptor = descriptor;
    listener.#file = file && new SocketFile(file.path, file);
    return file !== undefined && !(await listener.#file?.isThere()) ? undefined : listener;
  }

  /** What the next process has to know of it. @throws BridgeError `ERR_UPGRADE` where Node keeps it to itself. */
  legacy(): Legacy {
    // Node has no other way to the descriptor of a listening socket.
    const { _handle: handle } = this.#server as unknown as { _handle?: { fd?: number } | null };
    const descriptor = handle?.fd;
    if (descriptor === undefined || descriptor < 0) {
      throw new BridgeError(
        'ERR_UPGRADE',
        `${this.address}: this Node does not tell the socket's descriptor`,
      );
    }
    const file = this.#file && { path: this.#file.path, dev: this.#file.dev, ino: this.#file.ino };
    return { address: formatAddress(this.#given), descriptor, file, socket: this.#options.socket };
  }

  /** Where it listens, in the form of `--listen`, with the port that the system chose. */
  get address(): string {
    const bound = this.#bound;
    return this.#given.kind === 'tcp' && bound !== undefined
      ? formatAddress({ kind: 'tcp', host: bound.address, port: bound.port })
      : formatAddress(this.#given);
  }

  /** Whether it is where that address is. */
  isAt(address: Address): boolean {
    const wanted = formatAddress(address);
    return wanted === formatAddress(this.#given) || wanted === this.address;
  }

  /**
   * Changes the socket's file to what other options say, with which `accept` can't fail then. Resolves to what undoes it.
   *
   * @throws BridgeError `ERR_LISTEN`
   */
  async change({ socket, allowFrom }: ListenerOptions): Promise<() => Promise<void>> {
    const { socket: before } = this.#options;
    const undo = async (): Promise<void> => {
      await this.#file?.change(socket, before).catch(() => undefined);
      if (this.#isBorrowed) this.leave();
    };
    try {
      if (this.#bound !== undefined) allowFrom.checkListening(this.#bound.address);
      await this.#file?.change(before, socket);
    } catch (error) {
      await undo();
      const { stderr } = error as { stderr?: string };
      const why = stderr?.trim() || reasonOf(error);
      throw new BridgeError('ERR_LISTEN', `${this.address}: can't listen so: ${why}`, { cause: error });
    }
    return undo;
  }

  /** Listens, if it does not yet; what an inherited descriptor is only shows now. @throws BridgeError `ERR_LISTEN` */
  async ready(): Promise<void> {
    const fd = this.#descriptor;
    if (fd === undefined || this.#server.listening) return;
    await this.#orNot(async () => {
      await this.#listen({ fd });
      if (this.#bound !== undefined) this.#options.allowFrom.checkListening(this.#bound.address);
    });
  }

  /** Hands over connections from now on, those that wait and those that come, as these options say. */
  accept(onConnection: OnConnection, options = this.#options): void {
    this.#options = options;
    this.#onConnection = onConnection;
    this.#isBorrowed = false;
    for (const socket of this.#waiting.splice(0)) onConnection(socket);
  }

  /** Takes a connection, wherever it was accepted, if its peer may connect. */
  take(socket: Socket): void {
    const { allowFrom, onProblem } = this.#options;
    // Who has reset the connection by now has no address any more, but what was sent could still be read.
    const { remoteAddress = '' } = socket;
    if (this.#bound === undefined || allowFrom.allows(remoteAddress)) {
      this.#onConnection(socket);
      return;
    }
    onProblem(`connection from ${remoteAddress || 'a host that has left'}, which --allow-from does not name`);
    socket.destroy();
  }

  /** Accepts no more, and leaves the socket's file to another process, which listens there. */
  leave(): void {
    this.#isBorrowed = true;
    this.#end();
  }

  /** Accepts no more and removes the socket's file; connections go on. */
  async close(): Promise<void> {
    this.#end();
    if (this.#isBorrowed) return;
    await this.#file?.remove(this.#options.onProblem);
  }

  #end(): void {
    // The callback of close would wait for the connections; the listening itself ends now.
    this.#server.close();
    for (const socket of this.#waiting.splice(0)) socket.destroy();
  }

  async #bind(): Promise<void> {
    const given = this.#given;
    const { allowFrom, socket } = this.#options;
    if (given.kind === 'unix') {
      this.#file = await bindUnixSocket(this.#server, given.path, socket);
      this.#watch();
      return;
    }
    await this.#orNot(async () => {
      if (given.kind === 'fd') {
        if (!fstatSync(given.fd).isSocket()) throw new Error('the descriptor is no socket');
        this.#descriptor = given.fd;
        return;
      }
      if (given.kind === 'systemd') throw new Error('nobody has taken the sockets that systemd has passed');
      const { address: host } = await lookup(given.host);
      allowFrom.checkListening(host);
      await this.#listen({ host, port: given.port, ipv6Only: true });
    });
  }

  async #orNot(listen: () => Promise<void>): Promise<void> {
    try {
      await listen();
    } catch (cause) {
      this.#server.close();
      const message = `${formatAddress(this.#given)}: can't listen: ${reasonOf(cause)}`;
      throw new BridgeError('ERR_LISTEN', message, { cause });
    }
  }

  async #listen(where: { fd: number } | { host: string; port: number; ipv6Only: boolean }): Promise<void> {
    const server = this.#server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(where, () => {
        server.off('error', reject);
        resolve();
      });
    });
    const bound = server.address();
    this.#bound = bound !== null && typeof bound === 'object' ? bound : undefined;
    this.#watch();
  }

  #watch(): void {
    this.#server.on('error', (error) => {
      this.#options.onProblem(`accept failed: ${error.message}`);
    });
  }
}
