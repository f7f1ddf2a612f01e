/** The options of all commands that listen, as yargs takes them: the one place where their defaults stand. */

import type { Argv, InferredOptionTypes, Options } from 'yargs';

import { spawnWays } from '../process/start-process.js';

const text = { type: 'string', requiresArg: true } as const;
const list = { type: 'string', array: true, requiresArg: true } as const;

const listening = {
  listen: {
    ...list,
    defaultDescription: 'descriptor 0',
    description:
      'Address to listen on: unix:/path, /path, HOST:PORT, [v6]:PORT or fd:N (repeatable). Without it descriptor 0, if it is a listening socket',
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
  'stop-grace': { ...text, default: '30s', description: 'For running requests after SIGTERM to the daemon' },
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

const process = {
  daemon: {
    type: 'boolean',
    default: false,
    description: 'Run in the background; returns when all sockets listen. Needs --log-file',
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
export const commonOptions = { ...listening, ...limits, ...times, ...runner, ...environment, ...process };

/** Those of them that are of the whole daemon, however many sites it serves. */
export const daemonOptions = { 'stop-grace': times['stop-grace'], ...process };

/** Gives a command the common options, each under its heading of the help. */
export function withCommonOptions<T>(command: Argv<T>): Argv<Omit<T, keyof CommonOptions> & CommonOptions> {
  return command
    .options(commonOptions)
    .group(Object.keys(listening), 'Listening:')
    .group(Object.keys(limits), 'Limits:')
    .group(Object.keys(times), 'Times:')
    .group([...Object.keys(runner), ...Object.keys(environment)], 'Programs:')
    .group(Object.keys(process), 'Process:');
}

type CommonOptions = InferredOptionTypes<typeof commonOptions>;

/** What yargs makes of these options; those that take a value are all text until `configuration.ts` reads them. */
export type CommonArguments = Readonly<Record<string, unknown>>;

/** The options of `fcgi2cgi hg` besides. */
export const hgOptions = {
  repos: { ...text, demandOption: true, description: 'Directory of Mercurial repositories' },
  markers: {
    ...text,
    description:
      'Directory of empty NAME.hg files, each of which publishes repository NAME; index.fcgi the index',
    defaultDescription: 'all repositories',
  },
  'hgweb-config': { ...text, description: 'Mercurial configuration file with [web] settings of your own' },
  hg: { ...text, default: 'hg', description: 'Mercurial program' },
  'url-prefix': {
    ...text,
    default: '',
    description: 'Path that the web server serves the repositories under, as in /hg',
  },
} satisfies Record<string, Options>;

/** The options of `fcgi2cgi git` besides. */
export const gitOptions = {
  repos: { ...text, demandOption: true, description: 'Directory of git repositories' },
  markers: {
    ...text,
    description:
      'Directory of empty NAME.git files, each of which publishes repository NAME; index.fcgi the index',
    defaultDescription: 'git-daemon-export-ok in each repository',
  },
  'export-all': { type: 'boolean', default: false, description: 'Publish all repositories' },
  gitweb: { ...text, description: 'Path of gitweb.cgi', defaultDescription: 'where systems have it' },
  'gitweb-config': { ...text, description: 'Gitweb configuration file (Perl) with settings of your own' },
  git: { ...text, default: 'git', description: 'Git program' },
  'url-prefix': {
    ...text,
    default: '',
    description: 'Path that the web server serves the repositories under, as in /git',
  },
} satisfies Record<string, Options>;

/** The options of `fcgi2cgi dir` besides. */
export const dirOptions = {
  root: { ...text, demandOption: true, description: 'Directory outside which nothing runs' },
} satisfies Record<string, Options>;

/** The options of `fcgi2cgi worker` besides. */
export const workerOptions = {
  workers: { ...text, default: '4', description: 'Processes of the application that have a request at once' },
  'max-crashes': {
    ...text,
    default: '5',
    description: 'Failures in a row after which it gives up, or with --listen answers 503; 0 for never',
  },
  'max-requests': {
    ...text,
    default: '0',
    description: 'Requests after which a worker is replaced, with --listen; 0 for any number',
  },
} satisfies Record<string, Options>;

/** What `fcgi2cgi script` takes besides, which are its arguments. */
export const scriptArguments = {
  file: { type: 'string', demandOption: true, description: 'The script' },
  argument: {
    type: 'string',
    array: true,
    description: 'Its arguments; those that begin with a dash come after --',
  },
} satisfies Record<string, Options>;

/** The options of `fcgi2cgi serve`. */
export const serveOptions = {
  config: { ...text, demandOption: true, description: 'Configuration file' },
  check: {
    type: 'boolean',
    default: false,
    description: 'Say what is wrong with the file and with what it names, and start nothing',
  },
} satisfies Record<string, Options>;

/** Those of the whole daemon, for `fcgi2cgi serve`: without defaults, which would win over the file. */
export const overridingOptions: Readonly<Record<string, Options>> = Object.fromEntries(
  Object.entries<Options>(daemonOptions).map(([name, option]) => {
    return [name, Object.fromEntries(Object.entries(option).filter(([property]) => property !== 'default'))];
  }),
);

/** What `fcgi2cgi worker` takes after the dashes; a key of a configuration file. */
export const workerArguments = {
  command: { ...list, demandOption: true, description: 'The FastCGI application, and its arguments' },
} satisfies Record<string, Options>;

/** Of the commands that describe a request: `get` and `explain`. */
const request = {
  method: { ...text, description: 'REQUEST_METHOD', defaultDescription: 'GET, with --data POST' },
  header: { ...list, description: 'Header field of the request, as in "Accept: text/html" (repeatable)' },
  param: {
    ...list,
    description:
      'NAME=VALUE that wins over what a web server would send; NAME alone is not sent (repeatable)',
  },
} satisfies Record<string, Options>;

/** The arguments of `fcgi2cgi get`. */
export const getArguments = {
  address: {
    type: 'string',
    demandOption: true,
    description: 'Where the application listens: unix:/path, /path, HOST:PORT or [v6]:PORT',
  },
  path: { type: 'string', demandOption: true, description: 'Path of the URI, and its query' },
} satisfies Record<string, Options>;

/** The options of `fcgi2cgi get`. */
export const getOptions = {
  ...request,
  data: { ...text, description: 'File whose content is the body of the request; - is standard input' },
  include: { type: 'boolean', default: false, description: 'Print the header of the answer as well' },
  keep: {
    type: 'boolean',
    default: false,
    description: 'Ask for the connection to be kept, and send all requests on it',
  },
  repeat: { ...text, default: '1', description: 'Send the request so often, one after the other' },
  timings: { type: 'boolean', default: false, description: 'Print how long it took, on standard error' },
  timeout: { ...text, default: '1m', description: 'Longest wait for the next octet' },
} satisfies Record<string, Options>;

/** The options of `fcgi2cgi explain`; those of a site's command besides, if it names one. */
export const explainOptions = {
  config: { ...text, description: 'Configuration file that has the site' },
  site: { ...text, description: 'Name of the site in the file', defaultDescription: 'the only one' },
  ...request,
  json: { type: 'boolean', default: false, description: 'Print the explanation as JSON' },
} satisfies Record<string, Options>;
