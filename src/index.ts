/** What a program may import: a bridge of its own making, without the command line. */

export { Daemon } from './daemon/daemon.js';
export { defaultConfiguration } from './cli/configuration.js';
export type { Configuration, ServedSiteConfiguration, SiteConfiguration } from './daemon/configuration.js';
export { BridgeError, type ErrorCode } from './base/errors.js';
export {
  type Access,
  type AccessLog,
  type AccessLogOptions,
  openAccessLog,
  type OpenAccessLog,
} from './observe/access-log.js';
export type { ResultWord } from './base/results.js';
export { openLog, type Log, type LogOptions, type OpenLog } from './observe/log.js';
