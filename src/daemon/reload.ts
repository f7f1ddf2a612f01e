/** SIGHUP: the configuration is read again, and what has changed in it is served. */

import { isDeepStrictEqual } from 'node:util';

import type { Configuration } from './configuration.js';
import type { Daemon } from './daemon.js';
import type { Logs } from './logs.js';

/** What only a new process can change. */
const fixed = ['pidFile', 'background', 'user', 'group', 'chdir', 'umask', 'control'] as const;

/**
 * Has `daemon` serve what `read` returns in place of `running`; where that can't be, all stays as it is, and the log has
 * every mistake. Resolves to what is served then; never rejects.
 */
export async function reload(
  daemon: Daemon,
  logs: Logs,
  running: Configuration,
  read: () => Configuration,
): Promise<Configuration> {
  const { log } = logs;
  try {
    const next = read();
    const changes = await daemon.reconfigure(next, () => {
      logs.change(next);
    });
    const waiting = fixed.filter((name) => !isDeepStrictEqual(next[name], running[name]));
    if (waiting.length > 0) log.warn({ options: waiting }, 'these wait for the next start');
    log.info(changes, 'configuration read again');
    return { ...next, ...only(running, fixed) };
  } catch (error) {
    logs.mistakes(error);
    log.error({}, 'the configuration stays as it was');
    return running;
  }
}

function only<T extends object, Name extends keyof T>(from: T, names: readonly Name[]): Pick<T, Name> {
  return Object.fromEntries(names.map((name) => [name, from[name]])) as Pick<T, Name>;
}
