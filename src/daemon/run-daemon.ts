/** The life of a daemon process, from its configuration to its end. */

import { linesOf, reasonOf } from '../errors.js';
import { openAccessLog } from '../observe/access-log.js';
import { openLog } from '../observe/log.js';
import { keepFromPrograms } from '../process/inherited-descriptors.js';
import type { Configuration } from './configuration.js';
import { Daemon } from './daemon.js';
import { holdPidFile } from './pid-file.js';
import { as, become, type Identity, makeFor } from './privileges.js';
import { reopenSignals, stopSignal } from './signals.js';
import { takeSystemdEnvironment } from './systemd/environment.js';
import { Notifier } from './systemd/notifier.js';
import { withPassedSockets } from './systemd/passed-sockets.js';
import type { UnixSocketOptions } from './unix-socket.js';

/**
 * Serves until SIGTERM or SIGINT; a second one ends running requests at once. SIGHUP opens the logs anew. `onListening` is called when every
 * listener accepts, and systemd is told so. Root becomes `identity` as soon as it has bound all sockets; its log files are that user's.
 *
 * @throws BridgeError where it can't start; nothing is left behind then.
 */
export async function runDaemon(
  configuration: Configuration,
  identity: Identity | undefined,
  onListening: () => void,
): Promise<void> {
  const systemd = takeSystemdEnvironment();
  for (const file of [configuration.log.file, configuration.accessLog?.file]) {
    if (file !== undefined) makeFor(identity, file);
  }
  const log = as(identity, () => openLog(configuration.log));
  const descriptors = keepFromPrograms();
  if (descriptors.length > 0) {
    log.warn({ descriptors }, 'programs inherit what the daemon was started with: koffi is not installed');
  }
  const { accessLog: access } = configuration;
  const accessLog = access && as(identity, () => openAccessLog(access));
  const removePidFile =
    configuration.pidFile === undefined ? undefined : await holdPidFile(configuration.pidFile, identity);
  let daemon: Daemon | undefined;
  const notifier = new Notifier(systemd, {
    status: () => `serving; ${String(daemon?.running ?? 0)} requests run`,
    onProblem: (why) => {
      log.warn({}, why);
    },
  });
  const rotation = reopenSignals(() => {
    if (daemon !== undefined) notifier.reloading();
    let isOpen = true;
    for (const each of [log, accessLog]) {
      try {
        each?.reopen();
      } catch (error) {
        isOpen = false;
        log.error({ code: 'ERR_LOG_FILE' }, `${reasonOf(error)}; it goes on in the file that it had`);
      }
    }
    if (isOpen) log.info({}, 'log opened again');
    // What comes before it has started would tell systemd that it has.
    if (daemon !== undefined) notifier.ready();
  });
  const stop = stopSignal(() => void daemon?.destroy());
  try {
    const sites = withPassedSockets(configuration.sites, systemd.sockets, ({ name }) => {
      log.warn({}, `systemd's socket ${name} is listened on by nobody; say --listen systemd:${name}`);
    });
    daemon = await Daemon.start(ownedBy(identity, { ...configuration, sites }), log, accessLog, () => {
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
    notifier.stopping();
    log.info({ signal }, 'stopping: running requests may end');
    await daemon.close();
    log.info({}, 'stopped');
    // The signals keep their meaning: one that comes while the process ends must not make a failure of it.
  } catch (error) {
    stop.dispose();
    // With a log file, nobody may ever see what the command printed.
    if (configuration.log.file !== undefined) for (const line of linesOf(error)) log.error({}, line);
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
