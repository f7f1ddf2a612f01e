/** The options that each site of a daemon has of its own, whatever its kind: keys of a site, or defaults for all sites. */

import { type ByteString, fromText } from '../../base/bytes.js';
import { isLegalName } from '../../cgi/invocation.js';
import { AllowFrom, parseAddress } from '../../daemon/listening/address.js';
import { spawnMethods } from '../../process/start-process.js';
import { list, optional, type Parser, value } from './option.js';
import {
  changed,
  count,
  durationMs,
  fileMode,
  known,
  oneOf,
  sizeBytes,
  text,
  uriPath,
  wrong,
} from './parsers.js';

const [LISTENING, LIMITS, TIMES, PROGRAMS, STATUS] = ['Listening', 'Limits', 'Times', 'Programs', 'Status'];

/** The system has no more. */
const MAX_NICENESS = 19;

/** An error in it is one of usage, to be told before anything is opened. */
const allowedAddress: Parser<string> = (entry) => {
  new AllowFrom([entry]);
  return entry;
};

const variable: Parser<[name: ByteString, value: ByteString]> = (entry, place) => {
  const [name = '', ...given] = entry.split('=');
  if (given.length === 0 || !isLegalName(name)) throw wrong(place, entry, 'expected NAME=VALUE');
  return [fromText(name), fromText(given.join('='))];
};

// oxfmt-ignore
export const siteOptions = {
  listen: list(LISTENING, 'listen', (given, { directory }) => parseAddress(given, directory),
    'Address to listen on: unix:/path, /path, HOST:PORT, [v6]:PORT, fd:N, systemd or systemd:NAME (repeatable). Without it descriptor 0, if it is a listening socket',
    'descriptor 0'),
  socket: {
    mode: value(LISTENING, 'socket-mode', fileMode, '0660', 'Permissions of Unix sockets'),
    owner: optional(LISTENING, 'socket-owner', known('user'), 'Owner of Unix sockets'),
    group: optional(LISTENING, 'socket-group', known('group'), 'Group of Unix sockets, as a rule that of the web server'),
  },
  backlog: value(LISTENING, 'backlog', count(1), '4096',
    'Connections that the system keeps for each socket until they are accepted'),
  allowFrom: list(LISTENING, 'allow-from', allowedAddress,
    'IP address or ADDRESS/BITS that may connect over TCP (repeatable)', 'loopback'),
  maxConnections: optional(LIMITS, 'max-connections', count(1),
    'Connections from web servers; one that idles is closed for the next',
    '128 more than requests that run or wait'),
  maxRequestsPerConnection: value(LIMITS, 'max-requests-per-connection', count(1), '64',
    'Active requests on one connection'),
  maxParamsBytes: value(LIMITS, 'max-params-size', sizeBytes, '256kb', 'Params of one request'),
  maxParamsTotalBytes: value(LIMITS, 'max-params-total', sizeBytes, '32mb',
    'Params of all requests that have not ended, each counted as 4 kb more, and each param as 128 bytes'),
  maxHeaderBytes: value(LIMITS, 'max-header-size', sizeBytes, '64kb', 'Header of a response'),
  maxProcesses: value(LIMITS, 'max-processes', count(1), '32', 'Processes that run at once'),
  limits: {
    memoryBytes: optional(LIMITS, 'max-memory', sizeBytes,
      'Memory (address space) of each process of a program', 'none'),
    // The system counts whole seconds.
    cpuSeconds: value(LIMITS, 'max-cpu', changed(durationMs, (ms) => Math.ceil(ms / 1_000) || undefined), '0',
      'Processor time of each process of a program'),
    niceness: value(LIMITS, 'nice', changed(count(0, MAX_NICENESS), (niceness) => niceness || undefined), '5',
      'Added to the niceness of each process of a program, 0 to 19'),
  },
  maxQueue: value(LIMITS, 'max-queue', count(0), '3072', 'Requests that wait for a process'),
  stdinBufferBytes: value(LIMITS, 'stdin-buffer', sizeBytes, '64kb',
    'Request body kept in memory for a program that reads slowly'),
  holdDuringUploadBytes: value(LIMITS, 'hold-during-upload', sizeBytes, '1mb',
    'Response held back while the request body still arrives'),
  holdUntilExitBytes: optional(LIMITS, 'hold-until-exit', sizeBytes,
    'Size up to which a response is held back until its program has ended', 'none'),
  maxSpoolBytes: value(LIMITS, 'max-spool-size', sizeBytes, '1gb',
    'Request body kept in a temporary file for a program that does not read on or needs its length'),
  maxSpoolTotalBytes: value(LIMITS, 'max-spool-total', sizeBytes, '4gb',
    'Request bodies in temporary files, all together'),
  queueTimeoutMs: value(TIMES, 'queue-timeout', durationMs, '30s', 'Longest wait for a process'),
  lookUpTimeoutMs: value(TIMES, 'look-up-timeout', durationMs, '30s',
    'For a file system to say what a request asks for'),
  startTimeoutMs: value(TIMES, 'start-timeout', durationMs, '5m',
    'From the end of the request body to the end of the header'),
  idleTimeoutMs: value(TIMES, 'idle-timeout', durationMs, '5m',
    'Without a byte of the request body or of the response'),
  maxTimeMs: value(TIMES, 'max-time', durationMs, '0', 'From a program’s start to its end'),
  killGraceMs: value(TIMES, 'kill-grace', durationMs, '5s', 'Between SIGTERM and SIGKILL'),
  runner: {
    kind: value(PROGRAMS, 'runner', oneOf('spawn', 'warm'), 'spawn',
      'How processes are made: each started by itself, or (Python and Perl) forked from one that has the script loaded'),
    maxForkServers: value(PROGRAMS, 'max-fork-servers', count(1), '16', 'Fork servers of --runner warm'),
    idleTimeoutMs: value(PROGRAMS, 'fork-server-idle', durationMs, '10m',
      'Time without a request after which a script’s fork servers end'),
  },
  spawnMethod: value(PROGRAMS, 'spawn-method', oneOf(...spawnMethods), 'auto',
    'How programs are started: by posix_spawn(3), by Node, or by the first where it can be had'),
  env: list(PROGRAMS, 'env', variable, 'NAME=VALUE for every program; wins over the web server (repeatable)'),
  passEnv: list(PROGRAMS, 'pass-env', text, 'Variable of the daemon’s own that programs get (repeatable)'),
  statusPath: optional(STATUS, 'status-path', uriPath,
    'Path where a site says what the daemon is doing; keep it from strangers'),
  healthPath: optional(STATUS, 'health-path', uriPath,
    'Path where a site says whether the daemon takes new work: 200, or 503'),
};
