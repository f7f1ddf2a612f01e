/** The life of a daemon process, from its configuration to its end. */

import { linesOf, reasonOf } from '../errors.js';
import { openAccessLog } from '../observe/access-log.js';
import { openLog } from '../observe/log.js';
import { keepFromPrograms } from '../process/inherited-descriptors.js';
import type { Configuration } from './configuration.js';
import { Daemon } from './daemon.js';
import { holdPidFile } from './pid-file.js';
import { reopenSignals, stopSignal } from './signals.js';

/**
 * Serves until SIGTERM or SIGINT; a second one ends running requests at once. SIGHUP opens the logs anew. `onListening` is called when every
 * listener accepts.
 *
 * @throws BridgeError where it can't start; nothing is left behind then.
 */
export async function runDaemon(configuration: Configuration, onListening: () => void): Promise<void> {
  const log = openLog(configuration.log);
  const descriptors = keepFromPrograms();
  if (descriptors.length > 0) {
    log.warn({ descriptors }, 'programs inherit what the daemon was started with: koffi is not installed');
  }
  const accessLog = configuration.accessLog && openAccessLog(configuration.accessLog);
  const removePidFile =
    configuration.pidFile === undefined ? undefined : await holdPidFile(configuration.pidFile);
  let daemon: Daemon | undefined;
  const rotation = reopenSignals(() => {
    for (const each of [log, accessLog]) {
      try {
        each?.reopen();
      } catch (error) {
        log.error({ code: 'ERR_LOG_FILE' }, reasonOf(error));
        return;
      }
    }
    log.info({}, 'log opened again');
  });
  const stop = stopSignal(() => void daemon?.destroy());
  try {
    daemon = await Daemon.start(configuration, log, accessLog);
    // Paths were made absolute; a daemon must not keep a file system busy that somebody wants to unmount.
    process.chdir('/');
    for (const site of daemon.named) log.info(site, 'serving');
    log.info({ pid: process.pid, listen: daemon.addresses }, 'listening');
    onListening();
    const signal = await stop.received;
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
