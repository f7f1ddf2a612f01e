/** A listening socket that can be left alone for a while, so that a web server that connects waits instead of being cut off. */

import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { type AddressInfo, createServer, type ListenOptions, type Server, Socket } from 'node:net';

import { loadLibC } from '../../posix/libc.js';
import { descriptorOf, isScarce } from '../../posix/descriptors.js';

/** Of Linux, which Node does not name. */
const F_DUPFD_CLOEXEC = 1_030;
const POLL_MS = 100;

/**
 * A request's last records are small and must not wait for an acknowledgement; a host that crashed must be noticed.
 * Node reads from a connection as soon as it has accepted it, unless it is told not to.
 */
const socketOptions = { allowHalfOpen: true, noDelay: true, keepAlive: true, pauseOnConnect: true };

export interface PausableServerOptions {
  /** How many the system may keep until they are accepted; asked whenever it begins to listen. */
  readonly backlog: () => number;
  readonly onConnection: (socket: Socket) => void;
  /** Told why nobody is accepted for a while, and when that is over; and why one could not be. */
  readonly onProblem: (why: string) => void;
}

/**
 * Accepts connections while there are descriptors for what they bring. Where there are none, libuv would accept all who
 * wait and close them, again and again, at full speed. Owns the socket until `close`.
 */
export class PausableServer {
  readonly #options: PausableServerOptions;
  #server: Server;
  #paused: { readonly descriptor: number } | undefined;
  /** What looks for descriptors, while there are few. */
  #shortage: NodeJS.Timeout | undefined;
  #isHeld = false;

  constructor(options: PausableServerOptions) {
    this.#options = options;
    this.#server = this.#make();
  }

  /** What is to be bound; another one after each pause. */
  get server(): Server {
    return this.#server;
  }

  get isListening(): boolean {
    return this.#server.listening || this.#paused !== undefined;
  }

  /** Undefined where Node keeps it to itself. */
  get descriptor(): number | undefined {
    return this.#paused?.descriptor ?? descriptorOf(this.#server);
  }

  /** Resolves to where a TCP socket listens; rejects with the system's error. */
  async listen(where: ListenOptions | { readonly fd: number }): Promise<AddressInfo | undefined> {
    const server = this.#server;
    // For a descriptor, Node takes it from here only.
    server.listen(where, this.#options.backlog());
    await once(server, 'listening');
    this.watch();
    const bound = server.address();
    return bound !== null && typeof bound === 'object' ? bound : undefined;
  }

  /** Takes note of what goes wrong, once it listens. */
  watch(): void {
    this.#server.on('error', (error) => {
      if (!this.#runShort()) this.#options.onProblem(`accept failed: ${error.message}`);
    });
  }

  /** Has the system keep as many as `backlog` says now; without koffi that begins with the next process. */
  setBacklog(): void {
    const { descriptor } = this;
    const loaded = loadLibC();
    if (descriptor === undefined || loaded.kind === 'missing') return;
    loaded.libc.listen(descriptor, this.#options.backlog());
  }

  /** Lets who connects wait until `resume`, and says whether that can be done: not without koffi. */
  hold(): boolean {
    this.#isHeld = this.#pause();
    return this.#isHeld;
  }

  /** Accepts again, once there are descriptors. */
  resume(): void {
    this.#isHeld = false;
    this.#goOn();
  }

  /** Accepts no more; connections go on. */
  close(): void {
    clearInterval(this.#shortage);
    if (this.#paused !== undefined) {
      closeSync(this.#paused.descriptor);
      this.#paused = undefined;
    }
    // The callback of close would wait for the connections; the listening itself ends now.
    this.#server.close();
  }

  #make(): Server {
    return createServer(socketOptions, (socket) => {
      if (isScarce(descriptorOf(socket) ?? 0)) this.#runShort();
      this.#options.onConnection(socket);
    });
  }

  /** Says whether nobody is accepted now: without koffi the socket would be lost. */
  #pause(): boolean {
    if (this.#paused !== undefined) return true;
    const descriptor = descriptorOf(this.#server);
    const libc = loadLibC();
    if (descriptor === undefined || libc.kind === 'missing') return false;
    const kept = libc.libc.fcntl(descriptor, F_DUPFD_CLOEXEC, 'int', 0);
    if (kept < 0) return false;
    this.#server.close();
    this.#paused = { descriptor: kept };
    return true;
  }

  #runShort(): boolean {
    if (!this.#pause()) return false;
    if (this.#shortage !== undefined) return true;
    this.#shortage = setInterval(() => {
      if (!isThereRoom()) return;
      clearInterval(this.#shortage);
      this.#shortage = undefined;
      this.#options.onProblem('there are descriptors again: who connects is served');
      this.#goOn();
    }, POLL_MS);
    this.#options.onProblem(
      'who connects waits, since few descriptors are left: raise ulimit -n, or lower --max-connections or --max-processes',
    );
    return true;
  }

  #goOn(): void {
    if (this.#paused === undefined || this.#isHeld || this.#shortage !== undefined) return;
    const { descriptor: fd } = this.#paused;
    this.#paused = undefined;
    this.#server = this.#make();
    void this.listen({ fd }).catch((error: unknown) => {
      this.#options.onProblem(`can't listen any more: ${String(error)}`);
    });
  }
}

/** Whether more than what is kept for emergencies is free. */
function isThereRoom(): boolean {
  try {
    const next = openSync('/dev/null', 'r');
    closeSync(next);
    return !isScarce(next, 2);
  } catch {
    return false;
  }
}

/** A connection that was accepted by the program before, as the server would have made it. */
export function pausedSocket(fd: number): Socket {
  const { allowHalfOpen } = socketOptions;
  // As a server that is told `pauseOnConnect` has it; Node's types lack it.
  const paused = { fd, allowHalfOpen, readable: true, writable: true, pauseOnCreate: true };
  return new Socket(paused).setNoDelay(true).setKeepAlive(true);
}
