/** Makes the one frozen configuration from what the command line says. */

import { resolve } from 'node:path';

import { type ByteString, fromText } from '../bytes.js';
import { isLegalName } from '../cgi/meta-variables.js';
import { parseAddress } from '../daemon/address.js';
import { AllowFrom } from '../daemon/allow-from.js';
import type { Configuration, ServedSiteConfiguration, SiteConfiguration } from '../daemon/configuration.js';
import { BridgeError } from '../errors.js';
import type { LogLevel } from '../observe/log.js';
import type { CommonArguments } from './options.js';
import { count, durationMs, fileMode, sizeBytes } from './units.js';

const STDERR_TAIL_BYTES = 4_096;

/**
 * Reads the common options; yargs has checked that each is one of its own and has put the defaults in.
 *
 * @throws BridgeError `ERR_USAGE`
 */
export function readConfiguration(site: SiteConfiguration, given: CommonArguments): Configuration {
  const text = (option: string): string | undefined => given[option] as string | undefined;
  const texts = (option: string): readonly string[] => (given[option] as string[] | undefined) ?? [];
  const required = (option: string): string => text(option) ?? '';
  const path = (option: string): string | undefined => {
    const value = text(option);
    return value === undefined ? undefined : resolve(value);
  };
  const duration = (option: string): number => durationMs(option, required(option));
  const size = (option: string): number => sizeBytes(option, required(option));
  const number = (option: string, least: number): number => count(option, required(option), least);

  const logFormat = required('log-format') as 'text' | 'json';
  const accessLog = path('access-log');

  const warm = {
    kind: 'warm',
    maxForkServers: number('max-fork-servers', 1),
    idleTimeoutMs: duration('fork-server-idle'),
  } as const;
  const served: ServedSiteConfiguration = {
    name: undefined,
    site,
    listen: texts('listen').map(parseAddress),
    socket: {
      mode: fileMode('socket-mode', required('socket-mode')),
      owner: text('socket-owner'),
      group: text('socket-group'),
    },
    allowFrom: [...texts('allow-from'), ...webServerAddresses()],
    maxConnections: number('max-connections', 1),
    maxRequestsPerConnection: number('max-requests-per-connection', 1),
    maxParamsBytes: size('max-params-size'),
    stdinBufferBytes: size('stdin-buffer'),
    runner: text('runner') === 'warm' ? warm : { kind: 'spawn' },
    run: {
      startTimeoutMs: duration('start-timeout'),
      idleTimeoutMs: duration('idle-timeout'),
      maxTimeMs: duration('max-time'),
      killGraceMs: duration('kill-grace'),
      maxHeaderBytes: size('max-header-size'),
      stderrTailBytes: STDERR_TAIL_BYTES,
      holdBytes: size('hold-size'),
      maxSpoolBytes: size('max-spool-size'),
    },
    admission: {
      maxProcesses: number('max-processes', 1),
      maxQueue: number('max-queue', 0),
      queueTimeoutMs: duration('queue-timeout'),
    },
    env: readEnvironment(texts('env')),
    passEnv: texts('pass-env'),
  };
  // Its errors are usage errors, to be told before anything is opened.
  new AllowFrom(served.allowFrom);
  const configuration: Configuration = {
    sites: [served],
    stopGraceMs: duration('stop-grace'),
    pidFile: path('pid-file'),
    background: given['daemon'] === true,
    log: {
      level: required('log-level') as LogLevel,
      format: logFormat,
      file: path('log-file'),
    },
    accessLog: accessLog === undefined ? undefined : { file: accessLog, format: logFormat },
  };
  if (configuration.background && configuration.log.file === undefined) {
    const example = '--log-file /var/log/fcgi2cgi.log';
    throw new BridgeError(
      'ERR_USAGE',
      `--daemon needs a file for its log, since nobody reads its standard error: add for example ${example}`,
    );
  }
  return Object.freeze(configuration);
}

/** Addresses that the one who started us allows besides (FastCGI 1.0 §3.2); a comma-separated list. */
function webServerAddresses(): readonly string[] {
  const entries = (process.env['FCGI_WEB_SERVER_ADDRS'] ?? '')
    .split(',')
    .flatMap((entry) => entry.trim() || []);
  new AllowFrom(entries, 'FCGI_WEB_SERVER_ADDRS');
  return entries;
}

function readEnvironment(entries: readonly string[]): ReadonlyMap<ByteString, ByteString> {
  return new Map(
    entries.map((entry) => {
      const [name = '', ...value] = entry.split('=');
      if (value.length === 0 || !isLegalName(name)) {
        throw new BridgeError('ERR_USAGE', `--env ${entry}: expected NAME=VALUE`);
      }
      return [fromText(name), fromText(value.join('='))];
    }),
  );
}
