/** The logs of a daemon: opened, opened again and changed together. */

import { closeSync, constants, fchownSync, openSync, type Stats } from 'node:fs';

import { BridgeError, linesOf, reasonOf } from '../../base/errors.js';
import { type AccessLogOptions, openAccessLog, type OpenAccessLog } from '../../observe/access-log.js';
import { type OpenLog, openLog } from '../../observe/log.js';
import type { Configuration } from '../configuration.js';
import type { Identity } from './privileges.js';
import { rootsDirectoryOf } from './files.js';

type LogConfiguration = Pick<Configuration, 'log' | 'accessLog'>;

export class Logs {
  readonly log: OpenLog;
  readonly accessLog: OpenAccessLog;
  #configuration: LogConfiguration;

  /** Opens both. @throws BridgeError `ERR_LOG_FILE` */
  constructor(configuration: LogConfiguration) {
    this.log = openLog(configuration.log);
    this.accessLog = openAccessLog(accessLogOf(configuration), (why) => {
      this.log.error({ code: 'ERR_LOG_FILE' }, why);
    });
    this.#configuration = configuration;
  }

  /** Opens the files again, once an administrator has moved them away; the log says how that went. */
  reopen(): void {
    let isOpen = true;
    for (const each of [this.log, this.accessLog]) {
      try {
        each.reopen();
      } catch (error) {
        isOpen = false;
        this.log.error({ code: 'ERR_LOG_FILE' }, `${reasonOf(error)}; it goes on in the file that it had`);
      }
    }
    if (isOpen) this.log.info({}, 'log opened again');
  }

  /** Goes on as another configuration says. @throws BridgeError `ERR_LOG_FILE`; both then go on as they were. */
  change(configuration: LogConfiguration): void {
    const before = this.#configuration;
    this.log.reopen(configuration.log);
    try {
      this.accessLog.reopen(accessLogOf(configuration));
    } catch (error) {
      this.log.reopen(before.log);
      throw error;
    }
    this.#configuration = configuration;
  }

  /** Logs an error, a line for each of several mistakes. */
  report(error: unknown): void {
    for (const line of linesOf(error)) {
      this.log.error(error instanceof BridgeError ? { code: error.code } : {}, line);
    }
  }
}

function accessLogOf({ accessLog: file, log: { format } }: LogConfiguration): AccessLogOptions | null {
  return file === undefined ? null : { file, format };
}

/**
 * Opens the log file as the standard error of a process in the background, where even a crash of Node's leaves its trace;
 * /dev/null without one. The caller closes it.
 *
 * @throws BridgeError `ERR_LOG_FILE`
 */
export function openLogFile(path = '/dev/null'): number {
  try {
    return openSync(path, 'a', 0o640);
  } catch (error) {
    throw new BridgeError('ERR_LOG_FILE', `--log-file ${path} can't be opened: ${reasonOf(error)}`);
  }
}

/**
 * Makes an empty file that belongs to that user, where it is missing and the user may not make it. The user's process,
 * which opens it later, says why that fails.
 */
export function makeLogFile(identity: Identity, path: string): void {
  const directory = rootsDirectoryOf(path);
  if (directory === undefined || mayWrite(identity, directory.stats)) return;
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  try {
    const descriptor = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o640);
    fchownSync(descriptor, identity.uid, identity.gid);
    closeSync(descriptor);
  } catch {
    // The user's turn.
  }
}

function mayWrite({ uid, groups }: Identity, directory: Stats): boolean {
  const { mode } = directory;
  if (directory.uid === uid) return (mode & 0o200) !== 0;
  return (mode & (groups.includes(directory.gid) ? 0o020 : 0o002)) !== 0;
}
