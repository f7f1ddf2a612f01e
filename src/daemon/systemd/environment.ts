/** What systemd tells a service in its environment, taken out of it: none of it is for the programs that we start. */

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
  /** sd_watchdog_enabled(3): after so long without a sign of life we are ended. */
  readonly watchdogMs: number | undefined;
}

/** SD_LISTEN_FDS_START: passed sockets begin behind the standard descriptors. */
const FIRST = 3;

/** Reads what is meant for this process, and removes it from the environment. */
export function takeSystemdEnvironment(): SystemdEnvironment {
  const taken = {
    listenPid: process.env['LISTEN_PID'],
    count: process.env['LISTEN_FDS'],
    names: process.env['LISTEN_FDNAMES'],
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
  // Somebody between systemd and us may have been meant.
  const ours = String(process.pid);
  const count = taken.listenPid === ours && /^\d{1,4}$/.test(taken.count ?? '') ? Number(taken.count) : 0;
  const names = taken.names?.split(':') ?? [];
  const isWatched = taken.watchdogPid === undefined || taken.watchdogPid === ours;
  const watchdogMs = Number(taken.watchdogUsec ?? 0) / 1_000;
  return {
    // A socket without a name is called so by sd_listen_fds_with_names(3).
    sockets: Array.from({ length: count }, (_, index) => ({
      descriptor: FIRST + index,
      name: names[index] || 'unknown',
    })),
    notifySocket: taken.notifySocket || undefined,
    watchdogMs: isWatched && watchdogMs > 0 ? watchdogMs : undefined,
  };
}
