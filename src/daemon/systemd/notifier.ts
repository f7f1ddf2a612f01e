/** Tells systemd how the daemon is: sd_notify(3), by a datagram, which Node can't send to a Unix socket. */

import { closeSync } from 'node:fs';
import { stat } from 'node:fs/promises';

import { reasonOf } from '../../errors.js';
import { type LibC, loadLibC } from '../../process/posix/libc.js';
import { systemError } from '../../process/posix/system-error.js';
import type { SystemdEnvironment } from './environment.js';

/** Of Linux, where alone there is systemd. */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2_000_000;
const MSG_DONTWAIT = 0x40;

export interface NotifierOptions {
  /** What people are told of the daemon, in one line. */
  readonly status: () => string;
  /** Told why systemd could not be. */
  readonly onProblem: (why: string) => void;
}

/** Says nothing where nobody has asked for it; owns a timer from `ready` until `stopping`. */
export class Notifier {
  readonly #environment: SystemdEnvironment;
  readonly #options: NotifierOptions;
  #watchdog: NodeJS.Timeout | undefined;

  constructor(environment: SystemdEnvironment, options: NotifierOptions) {
    this.#environment = environment;
    this.#options = options;
  }

  /** The daemon serves, for the first time or again: from now on it shows that it lives. */
  ready(): void {
    this.#send({ READY: '1', STATUS: this.#options.status() });
    const { watchdogMs } = this.#environment;
    if (watchdogMs === undefined || this.#watchdog !== undefined) return;
    this.#watchdog = setInterval(() => void this.#showLife(), watchdogMs / 2);
    this.#watchdog.unref();
  }

  /** The daemon reads its configuration anew; `ready` follows. */
  reloading(): void {
    // CLOCK_MONOTONIC in microseconds, by which systemd tells this reload from the one before.
    const now = process.hrtime.bigint() / 1_000n;
    this.#send({ RELOADING: '1', MONOTONIC_USEC: String(now), STATUS: 'reading its configuration' });
  }

  /** The daemon ends, when running requests have; how long that may take is the unit's to say. */
  stopping(): void {
    clearInterval(this.#watchdog);
    this.#send({ STOPPING: '1', STATUS: 'stopping: running requests may end' });
  }

  /** Another process is the service's main one from now on, and shows that it lives. */
  replacedBy(pid: number): void {
    clearInterval(this.#watchdog);
    this.#send({ MAINPID: String(pid) });
  }

  /** What another process has to have in its environment to do the same. */
  get environment(): Readonly<Record<string, string>> {
    const { notifySocket, watchdogMs } = this.#environment;
    return {
      ...(notifySocket !== undefined && { NOTIFY_SOCKET: notifySocket }),
      ...(watchdogMs !== undefined && { WATCHDOG_USEC: String(1_000 * watchdogMs) }),
    };
  }

  /** That this runs shows that the event loop turns; requests also need the threads that look at files. */
  async #showLife(): Promise<void> {
    await stat('/');
    this.#send({ WATCHDOG: '1', STATUS: this.#options.status() }, MSG_DONTWAIT);
  }

  #send(message: Readonly<Record<string, string>>, flags = 0): void {
    const { notifySocket } = this.#environment;
    if (notifySocket === undefined) return;
    const lines = Object.entries(message).map(([name, value]) => `${name}=${value}\n`);
    try {
      const loaded = loadLibC();
      if (loaded.kind === 'missing') throw new Error(`${loaded.reason}; use Type=exec in the unit`);
      sendDatagram(loaded.libc, notifySocket, Buffer.from(lines.join('')), flags);
    } catch (error) {
      this.#options.onProblem(`systemd can't be told ${Object.keys(message)[0] ?? ''}: ${reasonOf(error)}`);
    }
  }
}

/** Sends a datagram to a Unix socket. @throws Error of the system, with its `code` */
function sendDatagram(libc: LibC, path: string, octets: Buffer, flags: number): void {
  const descriptor = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) throw systemError('socket', libc.errno());
  try {
    const address = socketAddress(path);
    if (libc.sendto(descriptor, octets, octets.length, flags, address, address.length) < 0) {
      throw systemError('sendto', libc.errno());
    }
  } finally {
    closeSync(descriptor);
  }
}

/** A `sockaddr_un`, see unix(7): an abstract name begins with a NUL octet and has none at its end. */
function socketAddress(path: string): Buffer {
  const family = Buffer.from(new Uint16Array([AF_UNIX]).buffer);
  const isAbstract = path.startsWith('@');
  return Buffer.concat([family, Buffer.from(isAbstract ? `\0${path.slice(1)}` : `${path}\0`)]);
}
