/** Makes the one frozen configuration from what the options say. */

import { type ByteString, fromText } from '../bytes.js';
import { isLegalName } from '../cgi/meta-variables.js';
import { parseAddress } from '../daemon/address.js';
import { AllowFrom } from '../daemon/allow-from.js';
import type {
  Configuration,
  ControlConfiguration,
  RunnerConfiguration,
  ServedSiteConfiguration,
  SiteConfiguration,
} from '../daemon/configuration.js';
import { requireKnown } from '../daemon/privileges.js';
import { OptionError } from '../errors.js';
import type { LogLevel } from '../observe/log.js';
import type { SpawnWay } from '../process/start-process.js';
import { OptionReader } from './option-reader.js';
import type { CommonArguments } from './options/common.js';
import { umask } from './units.js';

const STDERR_TAIL_BYTES = 4_096;
/** The system has no more. */
const MAX_NICENESS = 19;

/**
 * The configuration of a command that serves one site; yargs has checked that each option is one of its own and has
 * put the defaults in.
 *
 * @throws BridgeError `ERR_USAGE`
 */
export function readConfiguration(site: SiteConfiguration, given: CommonArguments): Configuration {
  const reader = new OptionReader(given);
  const served = readServedSite(reader, { name: undefined, site });
  return wholeConfiguration([served], readDaemonWide(reader));
}

/** The configuration of a daemon with these sites; FastCGI applications run in its directory, if it was told one. */
export function wholeConfiguration(
  sites: readonly ServedSiteConfiguration[],
  daemonWide: Omit<Configuration, 'sites'>,
): Configuration {
  const { chdir } = daemonWide;
  const placed = sites.map((served): ServedSiteConfiguration =>
    served.site.kind === 'worker' && chdir !== undefined
      ? { ...served, site: { ...served.site, directory: fromText(chdir) } }
      : served,
  );
  return Object.freeze({ sites: placed, ...daemonWide });
}

/** Reads what each site has of its own. */
export function readServedSite(
  reader: OptionReader,
  what: Pick<ServedSiteConfiguration, 'name' | 'site' | 'locate'>,
): ServedSiteConfiguration {
  return {
    ...what,
    ...readOwnPages(reader),
    listen: reader.each('listen', (text, directory) => parseAddress(text, directory)),
    socket: {
      mode: reader.fileMode('socket-mode'),
      owner: reader.text('socket-owner'),
      group: reader.text('socket-group'),
    },
    allowFrom: [...reader.each('allow-from', allowedAddress), ...webServerAddresses()],
    maxConnections: reader.count('max-connections', 1),
    maxRequestsPerConnection: reader.count('max-requests-per-connection', 1),
    maxParamsBytes: reader.sizeBytes('max-params-size'),
    stdinBufferBytes: reader.sizeBytes('stdin-buffer'),
    maxSpoolBytes: reader.sizeBytes('max-spool-size'),
    runner: readRunner(reader),
    run: {
      startTimeoutMs: reader.durationMs('start-timeout'),
      idleTimeoutMs: reader.durationMs('idle-timeout'),
      maxTimeMs: reader.durationMs('max-time'),
      killGraceMs: reader.durationMs('kill-grace'),
      maxHeaderBytes: reader.sizeBytes('max-header-size'),
      stderrTailBytes: STDERR_TAIL_BYTES,
      holdBytes: reader.sizeBytes('hold-size'),
      holdAnswerBytes: reader.text('hold-answer') === undefined ? 0 : reader.sizeBytes('hold-answer'),
    },
    limits: {
      memoryBytes: reader.text('max-memory') === undefined ? undefined : reader.sizeBytes('max-memory'),
      // The system counts whole seconds.
      cpuSeconds: Math.ceil(reader.durationMs('max-cpu') / 1_000) || undefined,
      niceness: reader.count('nice', 0, MAX_NICENESS) || undefined,
    },
    spawn: reader.required('spawn') as SpawnWay,
    admission: {
      maxProcesses: reader.count('max-processes', 1),
      maxQueue: reader.count('max-queue', 0),
      queueTimeoutMs: reader.durationMs('queue-timeout'),
    },
    env: new Map(reader.each('env', variable)),
    passEnv: reader.texts('pass-env'),
  };
}

/** Where the bridge answers by itself. */
function readOwnPages(reader: OptionReader): Pick<ServedSiteConfiguration, 'statusPath' | 'healthPath'> {
  const [statusPath, healthPath] = ['status-path', 'health-path'].map((option) =>
    reader.read(undefined, () => {
      const value = reader.text(option);
      if (value === undefined || /^\/[^?#]*$/.test(value)) return value && fromText(value);
      const why = 'expected a path that begins with a slash, as in /status, without a query';
      throw new OptionError('ERR_USAGE', { option, value, why });
    }),
  );
  if (statusPath !== undefined && statusPath === healthPath) {
    reader.read(undefined, () => {
      const why = 'is --status-path as well; expected a path of its own';
      throw new OptionError('ERR_USAGE', {
        option: 'health-path',
        value: reader.required('health-path'),
        why,
      });
    });
  }
  return { statusPath, healthPath };
}

/** All of it is read, so that a mistake is told whichever runner it is. */
function readRunner(reader: OptionReader): RunnerConfiguration {
  const maxForkServers = reader.count('max-fork-servers', 1);
  const idleTimeoutMs = reader.durationMs('fork-server-idle');
  return reader.required('runner') === 'warm'
    ? { kind: 'warm', maxForkServers, idleTimeoutMs }
    : { kind: 'spawn' };
}

/** Reads what all sites of a daemon have in common. */
export function readDaemonWide(reader: OptionReader): Omit<Configuration, 'sites'> {
  const format = reader.required('log-format') as 'text' | 'json';
  const logFile = reader.path('log-file');
  const accessLog = reader.path('access-log');
  const background = reader.flag('daemon');
  if (background && logFile === undefined) reader.read(undefined, refuseUnseenLog);
  return {
    drainDelayMs: reader.durationMs('drain-delay'),
    stopGraceMs: reader.durationMs('stop-grace'),
    upgradeTimeoutMs: reader.durationMs('upgrade-timeout'),
    user: known(reader, 'user'),
    group: known(reader, 'group'),
    chdir: reader.path('chdir'),
    umask: reader.one('umask', (text) => umask('umask', text)),
    control: reader.one('control', controlConfiguration),
    pidFile: reader.path('pid-file'),
    background,
    log: { level: reader.required('log-level') as LogLevel, format, file: logFile },
    accessLog: accessLog === undefined ? undefined : { file: accessLog, format },
  };
}

/** A name that the system knows: told with all other mistakes, wherever it was given. */
function known(reader: OptionReader, option: 'user' | 'group'): string | undefined {
  const name = reader.text(option);
  if (name === undefined) return undefined;
  return reader.read(undefined, () => {
    requireKnown(option, name);
    return name;
  });
}

/** The control socket is its owner's alone, who is whoever serves. */
function controlConfiguration(text: string, directory: string): ControlConfiguration {
  const address = parseAddress(text, directory, { option: 'control' });
  if (address.kind === 'unix')
    return { address, socket: { mode: 0o600, owner: undefined, group: undefined } };
  const why = 'only a Unix socket can be kept from others; expected unix:/path or /path';
  throw new OptionError('ERR_USAGE', { option: 'control', value: text, why });
}

function refuseUnseenLog(): never {
  const example = '--log-file /var/log/fcgi2cgi.log';
  const why = `needs a file for its log, since nobody reads its standard error: add for example ${example}`;
  throw new OptionError('ERR_USAGE', { option: 'daemon', why });
}

/** An error in it is one of usage, to be told before anything is opened. */
function allowedAddress(entry: string): string {
  new AllowFrom([entry]);
  return entry;
}

/** Addresses that the one who started us allows besides (FastCGI 1.0 §3.2); a comma-separated list. */
function webServerAddresses(): readonly string[] {
  const entries = (process.env['FCGI_WEB_SERVER_ADDRS'] ?? '')
    .split(',')
    .flatMap((entry) => entry.trim() || []);
  new AllowFrom(entries, 'FCGI_WEB_SERVER_ADDRS');
  return entries;
}

function variable(entry: string): [name: ByteString, value: ByteString] {
  const [name = '', ...value] = entry.split('=');
  if (value.length === 0 || !isLegalName(name)) {
    throw new OptionError('ERR_USAGE', { option: 'env', value: entry, why: 'expected NAME=VALUE' });
  }
  return [fromText(name), fromText(value.join('='))];
}
