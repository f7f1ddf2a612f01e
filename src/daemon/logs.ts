/** The logs of a daemon: opened, begun anew and changed together. */

import { BridgeError, linesOf, reasonOf } from '../errors.js';
import { openAccessLog, type OpenAccessLog } from '../observe/access-log.js';
import { type OpenLog, openLog } from '../observe/log.js';
import type { Configuration } from './configuration.js';
import { as, type Identity, makeFor } from './privileges.js';

type LogConfiguration = Pick<Configuration, 'log' | 'accessLog'>;

export class Logs {
  readonly log: OpenLog;
  readonly accessLog: OpenAccessLog;
  #configuration: LogConfiguration;

  /** Opens both; the files are those of `identity`, if we are to become that. @throws BridgeError `ERR_LOG_FILE` */
  constructor(configuration: LogConfiguration, identity: Identity | undefined) {
    const { log, accessLog } = configuration;
    for (const file of [log.file, accessLog?.file]) if (file !== undefined) makeFor(identity, file);
    this.log = as(identity, () => openLog(log));
    this.accessLog = as(identity, () => openAccessLog(accessLog ?? null));
    this.#configuration = configuration;
  }

  /** Begins the files anew, once somebody has moved them away; the log says how that went. */
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
      this.accessLog.reopen(configuration.accessLog ?? null);
    } catch (error) {
      this.log.reopen(before.log);
      throw error;
    }
    this.#configuration = configuration;
  }

  /** Writes each thing that is wrong. */
  mistakes(error: unknown): void {
    for (const line of linesOf(error)) {
      this.log.error(error instanceof BridgeError ? { code: error.code } : {}, line);
    }
  }
}
