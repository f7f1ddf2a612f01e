/** The life of a daemon process, from its configuration to its end. */

import { keepFromPrograms } from '../process/inherited-descriptors.js';
import type { Configuration } from './configuration.js';
import { Daemon } from './daemon.js';
import { Logs } from './logs.js';
import { holdPidFile } from './pid-file.js';
import { become, type Identity } from './privileges.js';
import { reload } from './reload.js';
import { onSignals, stopSignal } from './signals.js';
import { takeSystemdEnvironment } from './systemd/environment.js';
import { Notifier } from './systemd/notifier.js';
import { withPassedSockets } from './systemd/passed-sockets.js';
import type { UnixSocketOptions } from './socket-file.js';

export interface LifeOptions {
  /** Whom root becomes as soon as it has bound all sockets; its log files are that user's. */
  readonly identity: Identity | undefined;
  /** Called when every listener accepts; systemd is told so, too. */
  readonly onListening: () => void;
  /** Reads the configuration again, where it is in a file. @throws BridgeError */
  readonly reread?: (() => Configuration) | undefined;
}

/**
 * Serves until SIGTERM or SIGINT; a second one ends running requests at once. SIGHUP and SIGUSR1 open the logs anew, and
 * SIGHUP reads the configuration again.
 *
 * @throws BridgeError where it can't start; nothing is left behind then.
 */
export async function runDaemon(configuration: Configuration, options: LifeOptions): Promise<void> {
  const { identity, onListening, reread } = options;
  const systemd = takeSystemdEnvironment();
  const logs = new Logs(configuration, identity);
  const { log, accessLog } = logs;
  const descriptors = keepFromPrograms();
  if (descriptors.length > 0) {
    log.warn({ descriptors }, 'programs inherit what the daemon was started with: koffi is not installed');
  }
  const removePidFile =
    configuration.pidFile === undefined ? undefined : await holdPidFile(configuration.pidFile, identity);
  let daemon: Daemon | undefined;
  const notifier = new Notifier(systemd, {
    status: () => `serving; ${String(daemon?.running ?? 0)} requests run`,
    onProblem: (why) => {
      log.warn({}, why);
    },
  });
  let served = configuration;
  /** As it is served here: with the sockets that systemd has passed, and for the user who serves. */
  const here = (read: Configuration): Configuration => {
    const sites = withPassedSockets(read.sites, systemd.sockets, ({ name }) => {
      log.warn({}, `systemd's socket ${name} is listened on by nobody; say --listen systemd:${name}`);
    });
    return ownedBy(identity, { ...read, sites });
  };
  /** What is under way that changes the daemon: one thing after the other. */
  let change = Promise.resolve();
  let isStopping = false;
  const readAgain = async (): Promise<void> => {
    if (daemon === undefined || isStopping) return;
    notifier.reloading();
    logs.reopen();
    if (reread !== undefined) served = await reload(daemon, logs, served, () => here(reread()));
    notifier.ready();
  };
  const rotation = onSignals(['SIGHUP', 'SIGUSR1'], (signal) => {
    // What comes before it has started would tell systemd that it has.
    if (signal === 'SIGHUP' && daemon !== undefined) change = change.then(readAgain);
    else logs.reopen();
  });
  const stop = stopSignal(() => void daemon?.destroy());
  try {
    served = here(configuration);
    daemon = await Daemon.start(served, log, accessLog, () => {
      if (identity === undefined) return;
      become(identity);
      const { user, uid, gid } = identity;
      log.info({ uid, gid, groups: process.getgroups?.() }, `serving as user ${user}`);
    });
    // Paths were made absolute; a daemon must not keep a file system busy that somebody wants to unmount.
    process.chdir('/');
    for (const site of daemon.named) log.info(site, 'serving');
    log.info({ pid: process.pid, listen: daemon.addresses }, 'listening');
    onListening();
    notifier.ready();
    const signal = await stop.received;
    isStopping = true;
    await change;
    notifier.stopping();
    log.info({ signal }, 'stopping: running requests may end');
    await daemon.close();
    log.info({}, 'stopped');
    // The signals keep their meaning: one that comes while the process ends must not make a failure of it.
  } catch (error) {
    stop.dispose();
    // With a log file, nobody may ever see what the command printed.
    if (configuration.log.file !== undefined) logs.mistakes(error);
    throw error;
  } finally {
    rotation.dispose();
    await removePidFile?.();
  }
}

/** Sockets that are made by root belong to whoever serves, unless somebody else was named. */
function ownedBy(identity: Identity | undefined, configuration: Configuration): Configuration {
  if (identity === undefined) return configuration;
  const owned = <T extends { readonly socket: UnixSocketOptions }>(what: T): T => {
    const { owner = String(identity.uid), group = String(identity.gid) } = what.socket;
    return { ...what, socket: { ...what.socket, owner, group } };
  };
  const { sites, control } = configuration;
  return { ...configuration, sites: sites.map(owned), control: control && owned(control) };
}
