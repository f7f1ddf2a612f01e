/** The options of all commands that listen, as yargs takes them, with their defaults. */

import type { Argv, InferredOptionTypes, Options } from 'yargs';

import { spawnWays } from '../../process/start-process.js';
import { list, text } from './values.js';

const listening = {
  listen: {
    ...list,
    defaultDescription: 'descriptor 0',
    description:
      'Address to listen on: unix:/path, /path, HOST:PORT, [v6]:PORT, fd:N, systemd or systemd:NAME (repeatable). Without it descriptor 0, if it is a listening socket',
  },
  'socket-mode': { ...text, default: '0660', description: 'Permissions of Unix sockets' },
  'socket-owner': { ...text, description: 'Owner of Unix sockets' },
  'socket-group': { ...text, description: 'Group of Unix sockets, as a rule that of the web server' },
  'allow-from': {
    ...list,
    description: 'IP address or ADDRESS/BITS that may connect over TCP (repeatable)',
    defaultDescription: 'loopback',
  },
} satisfies Record<string, Options>;

const limits = {
  'max-connections': { ...text, default: '512', description: 'Connections from web servers' },
  'max-requests-per-connection': { ...text, default: '64', description: 'Active requests on one connection' },
  'max-params-size': { ...text, default: '256kb', description: 'Params of one request' },
  'max-header-size': { ...text, default: '64kb', description: 'Header of a response' },
  'max-processes': { ...text, default: '32', description: 'Processes that run at once' },
  'max-memory': {
    ...text,
    description: 'Memory (address space) of each process of a program',
    defaultDescription: 'none',
  },
  'max-cpu': { ...text, default: '0', description: 'Processor time of each process of a program' },
  nice: {
    ...text,
    default: '0',
    description: 'How much nicer than the daemon each process of a program is, 0 to 19',
  },
  'max-queue': { ...text, default: '512', description: 'Requests that wait for a process' },
  'stdin-buffer': {
    ...text,
    default: '64kb',
    description: 'Request body kept in memory for a program that reads slowly',
  },
  'hold-size': {
    ...text,
    default: '1mb',
    description: 'Response held back while the request body still arrives',
  },
  'hold-answer': {
    ...text,
    description: 'Size up to which a response is held back until its program has ended',
    defaultDescription: 'none',
  },
  'max-spool-size': {
    ...text,
    default: '1gb',
    description:
      'Request body kept in a temporary file for a program that does not read on or needs its length',
  },
} satisfies Record<string, Options>;

const times = {
  'queue-timeout': { ...text, default: '30s', description: 'Longest wait for a process' },
  'start-timeout': {
    ...text,
    default: '5m',
    description: 'From the end of the request body to the end of the header',
  },
  'idle-timeout': { ...text, default: '5m', description: 'Without an octet in either direction' },
  'max-time': { ...text, default: '0', description: 'From a program’s start to its end' },
  'kill-grace': { ...text, default: '5s', description: 'Between SIGTERM and SIGKILL' },
  'drain-delay': {
    ...text,
    default: '0',
    description: 'Between SIGTERM, from when --health-path is 503, and the end of listening',
  },
  'upgrade-timeout': {
    ...text,
    default: '1m',
    description: 'For the new process of an upgrade to listen; then the old one goes on',
  },
  'stop-grace': { ...text, default: '30s', description: 'For running requests when the daemon stops' },
} satisfies Record<string, Options>;

const runner = {
  runner: {
    choices: ['spawn', 'warm'],
    default: 'spawn',
    description:
      'How processes are made: started anew, or (Python and Perl) forked from one that has the script loaded',
  },
  'max-fork-servers': { ...text, default: '16', description: 'Fork servers of --runner warm' },
  'fork-server-idle': {
    ...text,
    default: '10m',
    description: 'After so long without a request a script’s fork servers end',
  },
} satisfies Record<string, Options>;

const environment = {
  spawn: {
    choices: spawnWays,
    default: 'auto',
    description: 'How programs are started: by posix_spawn(3), by Node, or by the first where it can be had',
  },
  env: { ...list, description: 'NAME=VALUE for every program; wins over the web server (repeatable)' },
  'pass-env': { ...list, description: 'Variable of the daemon’s own that programs get (repeatable)' },
} satisfies Record<string, Options>;

const status = {
  'status-path': {
    ...text,
    description: 'Path where a site says what the daemon is doing; keep it from strangers',
  },
  'health-path': {
    ...text,
    description: 'Path where a site says whether the daemon takes new work: 200, or 503',
  },
  control: { ...text, description: 'Unix socket for fcgi2cgi status; for nobody but its owner' },
} satisfies Record<string, Options>;

const process = {
  daemon: {
    type: 'boolean',
    default: false,
    description: 'Run in the background; returns when all sockets listen. Needs --log-file',
  },
  user: {
    ...text,
    description: 'User to serve as, once all sockets are bound; root has to name one',
    defaultDescription: 'whoever starts it',
  },
  group: { ...text, description: 'Group to serve as', defaultDescription: 'that of the user' },
  chdir: {
    ...text,
    description: 'Directory that the daemon and FastCGI applications run in; a CGI script runs in its own',
    defaultDescription: '/',
  },
  umask: {
    ...text,
    description: 'Permissions that files don’t get, in octal: of the daemon, and of programs',
    defaultDescription: 'that of whoever starts it',
  },
  'pid-file': { ...text, description: 'File that holds the process id while the daemon runs' },
  'log-file': {
    ...text,
    description: 'File that the log is appended to',
    defaultDescription: 'standard error',
  },
  'log-level': {
    choices: ['error', 'warn', 'info', 'debug'],
    default: 'info',
    description: 'Least level to log',
  },
  'log-format': { choices: ['text', 'json'], default: 'text', description: 'Form of the logs' },
  'access-log': { ...text, description: 'File that a line is appended to for each request that has ended' },
} satisfies Record<string, Options>;

/** The options of every command that listens, by name. */
export const commonOptions = {
  ...listening,
  ...limits,
  ...times,
  ...runner,
  ...environment,
  ...status,
  ...process,
};

/** Those of them that are of the whole daemon, however many sites it serves. */
export const daemonOptions = {
  'drain-delay': times['drain-delay'],
  'stop-grace': times['stop-grace'],
  'upgrade-timeout': times['upgrade-timeout'],
  control: status.control,
  ...process,
};

/** Gives a command the common options, each under its heading of the help. */
export function withCommonOptions<T>(command: Argv<T>): Argv<Omit<T, keyof CommonOptions> & CommonOptions> {
  return command
    .options(commonOptions)
    .group(Object.keys(listening), 'Listening:')
    .group(Object.keys(limits), 'Limits:')
    .group(Object.keys(times), 'Times:')
    .group([...Object.keys(runner), ...Object.keys(environment)], 'Programs:')
    .group(Object.keys(status), 'Status:')
    .group(Object.keys(process), 'Process:');
}

type CommonOptions = InferredOptionTypes<typeof commonOptions>;

/** What yargs makes of these options; those that take a value are all text until `configuration.ts` reads them. */
export type CommonArguments = Readonly<Record<string, unknown>>;
