/**
 * The service as systemd has it: what its environment says, taken out of it, since none of it is for programs that this one
 * starts; the sockets that it passes, given to the sites that are to listen on them; and how the daemon is, told by
 * sd_notify(3).
 */

import { closeSync } from 'node:fs';
import { stat } from 'node:fs/promises';

import { BridgeError, reasonOf } from '../../base/errors.js';
import type { Log } from '../../observe/log.js';
import { type LibC, loadLibC, MSG_DONTWAIT, O_CLOEXEC, systemError } from '../../posix/libc.js';
import { type Configuration, located } from '../configuration.js';
import { type Address, formatAddress } from '../listening/address.js';

/** A listening socket that systemd holds, and has passed to us. */
export interface PassedSocket {
  readonly descriptor: number;
  /** Its `FileDescriptorName=`, as a rule the socket unit's name. */
  readonly name: string;
}

export interface SystemdEnvironment {
  /** sd_listen_fds(3). */
  readonly sockets: readonly PassedSocket[];
  /** Where sd_notify(3) sends to: a path, or an abstract name that begins with `@`. */
  readonly notifySocket: string | undefined;
  /** sd_watchdog_enabled(3): without a sign of life for that time this process is ended. */
  readonly watchdogMs: number | undefined;
}

/** SD_LISTEN_FDS_START: passed sockets begin behind the standard descriptors. */
const FIRST = 3;

/** The sockets that are meant for this process. */
export function passedSockets(env: NodeJS.ProcessEnv): readonly PassedSocket[] {
  const { LISTEN_PID: pid, LISTEN_FDS: fds = '', LISTEN_FDNAMES: names = '' } = env;
  // Somebody between systemd and us may have been meant.
  const count = pid === String(process.pid) && /^\d{1,4}$/.test(fds) ? Number(fds) : 0;
  // A socket without a name is called so by sd_listen_fds_with_names(3).
  const nameOf = (index: number): string => names.split(':')[index] || 'unknown';
  return Array.from({ length: count }, (_, index) => ({ descriptor: FIRST + index, name: nameOf(index) }));
}

/** Reads what is meant for this process, and removes it from the environment. */
export function takeEnvironment(): SystemdEnvironment {
  const taken = {
    sockets: passedSockets(process.env),
    notifySocket: process.env['NOTIFY_SOCKET'],
    watchdogPid: process.env['WATCHDOG_PID'],
    watchdogUsec: process.env['WATCHDOG_USEC'],
  };
  delete process.env['LISTEN_PID'];
  delete process.env['LISTEN_FDS'];
  delete process.env['LISTEN_FDNAMES'];
  delete process.env['NOTIFY_SOCKET'];
  delete process.env['WATCHDOG_PID'];
  delete process.env['WATCHDOG_USEC'];
  const isWatched = taken.watchdogPid === undefined || taken.watchdogPid === String(process.pid);
  const watchdogMs = Number(taken.watchdogUsec ?? 0) / 1_000;
  return {
    sockets: taken.sockets,
    notifySocket: taken.notifySocket || undefined,
    watchdogMs: isWatched && watchdogMs > 0 ? watchdogMs : undefined,
  };
}

type SystemdAddress = Extract<Address, { kind: 'systemd' }>;

/**
 * The configuration with descriptors in place of `systemd` and `systemd:NAME`: of every passed socket, or of all that
 * have the name, as a unit may have several. The log names each socket that no site listens on, where connections
 * would wait for ever.
 *
 * @throws BridgeError `ERR_LISTEN` where there is no such socket, or another site has it.
 */
export function withPassedSockets(
  read: Configuration,
  sockets: readonly PassedSocket[],
  log: Log,
): Configuration {
  const unused = new Set(sockets);
  const take = (address: SystemdAddress): readonly Address[] => {
    const { name } = address;
    const meant = sockets.filter((socket) => name === undefined || socket.name === name);
    if (meant.length === 0) throw missing(address, sockets);
    return meant.map((socket) => {
      if (!unused.delete(socket)) throw taken(address, socket);
      return { kind: 'fd', fd: socket.descriptor, passedAs: socket.name };
    });
  };
  const sites = read.sites.map((site) => {
    try {
      const listen = site.listen.flatMap((address) =>
        address.kind === 'systemd' ? take(address) : [address],
      );
      return { ...site, listen };
    } catch (error) {
      throw located(site, error);
    }
  });
  for (const { name } of unused) {
    log.warn({}, `systemd's socket ${name} is listened on by nobody; say --listen systemd:${name}`);
  }
  return { ...read, sites };
}

function missing(address: SystemdAddress, sockets: readonly PassedSocket[]): BridgeError {
  const names = [...new Set(sockets.map(({ name }) => name))].join(', ');
  const why =
    sockets.length === 0
      ? 'systemd has passed no socket to this process; a .socket unit does, and systemd-socket-activate'
      : `systemd has passed no socket of that name, but ${names}; see FileDescriptorName= in the .socket unit`;
  return new BridgeError('ERR_LISTEN', `${formatAddress(address)}: ${why}`);
}

function taken(address: SystemdAddress, { name }: PassedSocket): BridgeError {
  const why = `systemd's socket ${name} has been named before; each is listened on once`;
  return new BridgeError('ERR_LISTEN', `${formatAddress(address)}: ${why}`);
}

/** Of Linux, where alone there is systemd. */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;

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

  /** The daemon reads its configuration again; `ready` follows. */
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
    // systemd has not listened to that process before, and counts from the last sign of life that it has heard.
    const life = this.#environment.watchdogMs === undefined ? {} : { WATCHDOG: '1' };
    this.#send({ MAINPID: String(pid), ...life });
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
function sendDatagram(libc: LibC, path: string, bytes: Buffer, flags: number): void {
  const descriptor = libc.socket(AF_UNIX, SOCK_DGRAM | O_CLOEXEC, 0);
  if (descriptor < 0) throw systemError('socket', libc.errno());
  try {
    const address = socketAddress(path);
    if (libc.sendto(descriptor, bytes, bytes.length, flags, address, address.length) < 0) {
      throw systemError('sendto', libc.errno());
    }
  } finally {
    closeSync(descriptor);
  }
}

/** A `sockaddr_un`, see unix(7): an abstract name begins with a NUL byte and has none at its end. */
function socketAddress(path: string): Buffer {
  const family = Buffer.from(new Uint16Array([AF_UNIX]).buffer);
  const isAbstract = path.startsWith('@');
  return Buffer.concat([family, Buffer.from(isAbstract ? `\0${path.slice(1)}` : `${path}\0`)]);
}
