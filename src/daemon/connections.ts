/** The connections of a site: no more than there may be at once, and one that idles makes room for the next. */

import type { Socket } from 'node:net';

import type { ConnectionOptions } from '../fastcgi/connection-options.js';
import { Connection } from '../fastcgi/connection.js';
import { type Log, RepeatedEvents } from '../observe/log.js';
import { ShortLived } from '../base/memory.js';
import { Timer } from '../base/timer.js';
import type { Listener } from './listening/listener.js';
import type { SiteListeners } from './listening/site-listeners.js';

/** Takes a connection on which nothing is under way, as if it had just been made. */
type ReceiveSocket = (socket: Socket) => void;

/** Who takes over the connections that have come to a listener; undefined where they end with what they carry. */
export type ReceiverOf = (listener: Listener) => ReceiveSocket | undefined;

interface Origin {
  readonly socket: Socket;
  readonly listener: Listener;
}

interface Begun extends Origin {
  readonly connection: Connection;
}

interface ConnectionsOptions {
  readonly max: number;
  readonly options: Omit<ConnectionOptions, 'refuse' | 'onRequest' | 'onProblem'>;
  readonly handler: {
    readonly handle: ConnectionOptions['onRequest'];
    readonly refuse: ConnectionOptions['refuse'];
    /** Called when a request has ended and its process is gone, too. */
    onEnded?: (() => void) | undefined;
  };
  readonly listeners: Pick<SiteListeners, 'hold' | 'resume'>;
  readonly log: Log;
}

/** How long a new connection has for its first request before it counts as one that idles. */
const UNUSED_MS = 1_000;

/** Owns them until `close` or `destroy` has resolved. */
export class Connections {
  /** How many there may be from now on, whatever was configured. */
  max: number;
  readonly #options: ConnectionsOptions;
  readonly #ofEach: ConnectionOptions;
  readonly #events: RepeatedEvents;
  readonly #all = new ShortLived<Begun>();
  /** Those whose turn comes when others have ended; nothing of them is read. */
  readonly #waiting: Origin[] = [];
  /** Who gets them, once the site takes no new work. */
  #receiverOf: ReceiverOf | undefined;
  /** Looks for one that idles, where nothing else happens. */
  readonly #look: Timer;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.max = options.max;
    this.#look = new Timer(UNUSED_MS, this.makeRoom);
    this.#events = new RepeatedEvents(options.log);
    const { handler } = options;
    handler.onEnded = this.makeRoom;
    this.#ofEach = {
      ...options.options,
      refuse: handler.refuse,
      onRequest: handler.handle,
      onProblem: ({ code, message }) => {
        this.#events.log(code, 'warn', () => ({ code }), `connection closed: ${message}`);
      },
    };
  }

  get count(): number {
    return this.#all.size;
  }

  /** Takes one, or lets it wait, and those after it in the system's queue; `isItsTurn`: it has waited, and is not to wait again. */
  readonly accept = (socket: Socket, listener: Listener, isItsTurn = false): void => {
    const receive = this.#receiverOf?.(listener);
    // Once it was read from, Node might read on while it waits to be sent, and nobody would hear what comes.
    if (receive !== undefined && socket.readableLength === 0) {
      receive(socket);
      return;
    }
    const mayWait = !isItsTurn && this.#receiverOf === undefined;
    if (mayWait && this.#all.size >= this.max && !this.#closeIdle()) {
      this.#wait({ socket, listener });
      return;
    }
    const connection = new Connection(socket, this.#ofEach);
    socket.resume();
    const begun = { socket, listener, connection };
    this.#all.add(begun);
    void connection.closed.then(() => {
      this.#all.delete(begun);
      this.makeRoom();
    });
    // One that somebody has inherited who has ended meanwhile, or of which something was read already.
    if (this.#receiverOf !== undefined) closeOrDetach(begun, this.#receiverOf);
  };

  #wait(origin: Origin): void {
    const { socket } = origin;
    // That its peer has left is noticed when its turn comes.
    socket.on('error', () => undefined);
    const isHeld = this.#options.listeners.hold();
    const message = `connection ${isHeld ? 'waits' : 'refused'}: --max-connections (${String(this.max)}) reached, and none is idle`;
    this.#events.log('max-connections', 'warn', () => ({}), message);
    if (isHeld) this.#waiting.push(origin);
    else socket.destroy();
    if (isHeld) this.#look.start();
  }

  /** To be called when something has ended: a connection may idle now. */
  readonly makeRoom = (): void => {
    if (this.#waiting.length === 0) return;
    this.#look.stop();
    while (this.#waiting.length > 0 && (this.#all.size < this.max || this.#closeIdle())) this.#acceptNext();
    if (this.#waiting.length > 0) this.#look.start();
    else this.#options.listeners.resume();
  };

  /** Lets requests end, however long that takes; a connection that has a receiver goes there as soon as none runs on it. */
  async close(receiverOf: ReceiverOf): Promise<void> {
    this.#receiverOf = receiverOf;
    for (const begun of this.#all) closeOrDetach(begun, receiverOf);
    while (this.#waiting.length > 0) this.#acceptNext();
    await this.ended();
  }

  destroy(): void {
    this.#look.stop();
    for (const { socket } of this.#waiting.splice(0)) socket.destroy();
    for (const { connection } of this.#all) connection.destroy();
  }

  async ended(): Promise<void> {
    await Promise.all([...this.#all].map(({ connection }) => connection.closed));
    this.#events.close();
  }

  /** Closes the one that has idled longest, unless a request is under way on it; says whether there was one. */
  #closeIdle(): boolean {
    const now = performance.now();
    const idle = [...this.#all].flatMap(({ connection }) => {
      const { idleSince, hasBegun } = connection;
      const isIdle = idleSince !== undefined && (hasBegun || now - idleSince >= UNUSED_MS);
      return isIdle ? [{ connection, idleSince }] : [];
    });
    idle.sort((one, other) => one.idleSince - other.idleSince);
    return idle.some(({ connection }) => connection.retire());
  }

  #acceptNext(): void {
    const next = this.#waiting.shift();
    if (next !== undefined) this.accept(next.socket, next.listener, true);
  }
}

function closeOrDetach({ connection, socket, listener }: Begun, receiverOf: ReceiverOf): void {
  const receive = receiverOf(listener);
  if (receive === undefined) {
    connection.close();
    return;
  }
  connection.detach(() => {
    receive(socket);
  });
}
