/** One listening socket, whatever it is, and who may connect to it: bound first, read from only when all is ready. */

import { fstatSync } from 'node:fs';
import type { Socket } from 'node:net';

import { BridgeError, reasonOf } from '../../base/errors.js';
import { type Address, type AllowFrom, cantListen, formatAddress } from './address.js';
import { descriptorOf } from '../../posix/descriptors.js';
import { PausableServer, pausedSocket } from './pausable-server.js';
import { SocketFile, type SocketHandover, type UnixSocketOptions } from './socket-file.js';
import { bindUnixSocket } from './unix-socket.js';

export interface ListenerOptions {
  readonly socket: UnixSocketOptions;
  /** How many connections the system may keep until they are accepted; it has a limit of its own. */
  readonly backlog: number;
  readonly allowFrom: AllowFrom;
  /** Told of connections that are closed on their web server, and why; and of a file that could not be removed. */
  readonly onProblem: (why: string) => void;
  /** Told of each host that may not connect, and did. */
  readonly onStranger: (why: string) => void;
}

/** Takes a connection, which is paused, from the listener that it has come to. */
export type OnConnection = (socket: Socket, listener: Listener) => void;

/** As many as the system allows, for a socket that somebody else has made: it must not keep fewer than before. */
const LONGEST_BACKLOG = 0x7fff_ffff;

/** Connections that wait until we accept; further ones wait in the system's queue. */
const MAX_WAITING = 256;

/** A socket that is bound: web servers that connect wait, and nothing that they send is read, until `accept`. */
export class Listener {
  readonly #given: Address;
  readonly #server: PausableServer;
  #options: ListenerOptions;
  #file: SocketFile | undefined;
  /** The descriptor that it is to listen on, of one that was bound by somebody else. */
  #descriptor: number | undefined;
  /** Whether it is another process's: one that goes on with it if nothing comes of us, or that we have left it to. */
  #isBorrowed = false;
  #hasAccepted = false;
  /** Where a TCP socket listens. */
  #bound: { readonly address: string; readonly port: number } | undefined;
  readonly #waiting: Socket[] = [];
  #onConnection: OnConnection = (socket) => {
    // Nobody reads from it yet, but its peer may leave.
    socket.on('error', () => undefined);
    this.#waiting.push(socket);
    if (this.#waiting.length >= MAX_WAITING) this.#server.hold();
  };

  private constructor(given: Address, options: ListenerOptions) {
    this.#given = given;
    this.#options = options;
    this.#server = new PausableServer({
      backlog: () => this.#backlog,
      onConnection: this.take,
      onProblem: (why) => {
        this.#options.onProblem(why);
      },
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
   * Takes a socket which listens already; undefined if nobody reaches it any more, since its file is gone. One that is
   * `borrowed` stays another process's until `accept`, in which it can be changed back.
   *
   * @throws BridgeError `ERR_LISTEN`
   */
  static async takeOver(
    address: Address,
    { descriptor, waiting, file, socket }: SocketHandover,
    options: ListenerOptions,
    { isBorrowed }: { readonly isBorrowed: boolean },
  ): Promise<Listener | undefined> {
    const made = file && new SocketFile(file.path, file);
    if (made !== undefined && !(await made.isThere())) return undefined;
    const listener = new Listener(address, { ...options, socket });
    listener.#file = made;
    listener.#isBorrowed = isBorrowed;
    listener.#descriptor = descriptor;
    for (const fd of waiting) listener.#onConnection(pausedSocket(fd), listener);
    return listener;
  }

  /** What the next process has to know of it. @throws BridgeError `ERR_UPGRADE` where Node keeps it to itself. */
  handover(): SocketHandover {
    const { descriptor } = this.#server;
    if (descriptor === undefined) {
      const why = "this Node does not tell the socket's descriptor";
      throw new BridgeError('ERR_UPGRADE', `${this.address}: ${why}`);
    }
    const waiting = this.#waiting.flatMap((socket) => descriptorOf(socket) ?? []);
    const file = this.#file && { path: this.#file.path, dev: this.#file.dev, ino: this.#file.ino };
    return { address: formatAddress(this.#given), descriptor, waiting, file, socket: this.#options.socket };
  }

  /** Where it listens, in the form of `--listen`, with the port that the system chose. */
  get address(): string {
    const bound = this.#bound;
    return this.#given.kind === 'tcp' && bound !== undefined
      ? formatAddress({ kind: 'tcp', host: bound.address, port: bound.port })
      : formatAddress(this.#given);
  }

  isAt(address: Address): boolean {
    const wanted = formatAddress(address);
    return wanted === formatAddress(this.#given) || wanted === this.address;
  }

  /** Whether who connects to its address reaches it: a Unix socket's file may have been removed. */
  async isThere(): Promise<boolean> {
    return (await this.#file?.isThere()) ?? true;
  }

  /** Notes who may connect to a Unix socket; resolves to what brings that back, and never rejects. */
  async noteRights(): Promise<() => Promise<void>> {
    return (await this.#file?.noteRights()) ?? (() => Promise.resolve());
  }

  /**
   * Changes the socket's file to what other options say, with which `accept` can't fail then. Resolves to what undoes it.
   *
   * @throws BridgeError `ERR_LISTEN`
   */
  async change({ socket, allowFrom }: ListenerOptions): Promise<() => Promise<void>> {
    const restore = await this.noteRights();
    const undo = async (): Promise<void> => {
      await restore();
      if (this.#isBorrowed) this.release();
      else if (!this.#hasAccepted) await this.close();
    };
    try {
      if (this.#bound !== undefined) allowFrom.checkListening(this.#bound.address);
      await this.#file?.change(this.#options.socket, socket);
    } catch (error) {
      await undo();
      const why = (error as { stderr?: string }).stderr?.trim() || reasonOf(error);
      throw new BridgeError('ERR_LISTEN', `${this.address}: can't listen so: ${why}`, { cause: error });
    }
    return undo;
  }

  /** Listens, if it does not yet; what an inherited descriptor is only shows now. @throws BridgeError `ERR_LISTEN` */
  async ready(): Promise<void> {
    const fd = this.#descriptor;
    if (fd === undefined || this.#server.isListening) return;
    await this.#bindOrThrow(async () => {
      this.#bound = await this.#server.listen({ fd });
      if (this.#bound !== undefined) this.#options.allowFrom.checkListening(this.#bound.address);
      // What comes until it is ours is the other process's.
      if (this.#isBorrowed) this.#server.hold();
    });
  }

  /** Hands over connections from now on, those that wait and those that come, as these options say. */
  accept(onConnection: OnConnection, options = this.#options): void {
    this.#options = options;
    this.#server.setBacklog();
    this.#onConnection = onConnection;
    this.#isBorrowed = false;
    this.#hasAccepted = true;
    this.#server.resume();
    for (const socket of this.#waiting.splice(0)) onConnection(socket, this);
  }

  /** What lets who connects wait for a while. */
  get server(): Pick<PausableServer, 'hold' | 'resume'> {
    return this.#server;
  }

  /** Takes a connection, wherever it was accepted, if its peer may connect. */
  readonly take = (socket: Socket): void => {
    const { allowFrom, onStranger } = this.#options;
    // Who has reset the connection by now has no address any more, but what was sent could still be read.
    const { remoteAddress = '' } = socket;
    if (this.#bound === undefined || allowFrom.allows(remoteAddress)) {
      this.#onConnection(socket, this);
      return;
    }
    const host = remoteAddress || 'a host that has left';
    onStranger(`connection from ${host}, which --allow-from does not name`);
    socket.destroy();
  };

  /** Accepts no more, and leaves the socket's file to another process, which listens there. */
  release(): void {
    this.#isBorrowed = true;
    this.#end();
  }

  /** Accepts no more and removes the socket's file; connections go on. */
  async close(): Promise<void> {
    this.#end();
    if (this.#isBorrowed) return;
    await this.#file?.remove(this.#options.onProblem);
  }

  get #backlog(): number {
    return ['fd', 'systemd'].includes(this.#given.kind) ? LONGEST_BACKLOG : this.#options.backlog;
  }

  #end(): void {
    this.#server.close();
    for (const socket of this.#waiting.splice(0)) socket.destroy();
  }

  async #bind(): Promise<void> {
    const given = this.#given;
    const { allowFrom, socket } = this.#options;
    if (given.kind === 'unix') {
      const options = { ...socket, backlog: this.#backlog };
      this.#file = await bindUnixSocket(this.#server.server, given.path, options);
      this.#server.watch();
      return;
    }
    await this.#bindOrThrow(async () => {
      if (given.kind === 'fd') {
        if (!fstatSync(given.fd).isSocket()) throw new Error('the descriptor is no socket');
        this.#descriptor = given.fd;
        return;
      }
      if (given.kind === 'systemd') throw new Error('nobody has taken the sockets that systemd has passed');
      const host = await allowFrom.hostToBind(given.host);
      this.#bound = await this.#server.listen({ host, port: given.port, ipv6Only: true });
    });
  }

  async #bindOrThrow(listen: () => Promise<void>): Promise<void> {
    try {
      await listen();
    } catch (cause) {
      this.#server.close();
      throw cantListen(this.#given, cause);
    }
  }
}
