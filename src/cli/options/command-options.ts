/** The options of the whole daemon, keys before the first site of a file; and those that single commands have of their own. */

import type { ControlConfiguration } from '../../daemon/configuration.js';
import { type Address, parseAddress } from '../../daemon/listening/address.js';
import { rcSystemNames } from '../rc/systems.js';
import { webServerNames } from '../setup/web-servers.js';
import { argument, flag, list, optional, type Parser, required, value } from './option.js';
import { count, durationMs, known, oneOf, path, text, umask, wrong } from './parsers.js';

/** Where a FastCGI application listens. */
export type ApplicationAddress = Extract<Address, { kind: 'unix' | 'tcp' }>;

const applicationAddress: Parser<ApplicationAddress> = (given, place) => {
  const address = parseAddress(given, place.directory, place);
  if (address.kind === 'unix' || address.kind === 'tcp') return address;
  const why =
    'a descriptor of this process leads to no application; expected unix:/path, /path, HOST:PORT or [v6]:PORT';
  throw wrong(place, given, why);
};

const controlAddress: Parser<ApplicationAddress> = (given, place) => {
  const address = parseAddress(given, place.directory, place);
  if (address.kind === 'unix') return address;
  throw wrong(place, given, 'a control socket is a Unix socket; expected unix:/path or /path');
};

/** What `get`, `explain` and `verify` are told of a request. */
// oxfmt-ignore
const request = {
  method: optional('', 'method', text, 'REQUEST_METHOD', 'GET, with --data POST'),
  headers: list('', 'header', text, 'Header field of the request, as in "Accept: text/html" (repeatable)'),
  params: list('', 'param', text,
    'NAME=VALUE that wins over what a web server would send; NAME alone is not sent (repeatable)'),
};

const timeout = {
  timeoutMs: value('', 'timeout', durationMs, '1m', 'Longest wait for the next byte'),
};

// oxfmt-ignore
export const getOptions = {
  address: argument(required('', 'address', applicationAddress,
      'Where the application listens: unix:/path, /path, HOST:PORT or [v6]:PORT')),
  target: argument(required('', 'path', text, 'Path of the URI, and its query')),
  ...request,
  data: optional('', 'data', text, 'File whose content is the body of the request; - is standard input'),
  include: flag('', 'include', 'Print the header of the answer as well'),
  keep: flag('', 'keep', 'Ask for the connection to be kept, and send all requests on it'),
  repeat: value('', 'repeat', count(1), '1', 'Send the request this many times, one after the other'),
  timings: flag('', 'timings', 'Print how long it took, on standard error'),
  ...timeout,
};

/** Of the commands that look at a site; they take the site's own options, too. */
const site = {
  config: optional('', 'config', text, 'Configuration file that has the site'),
  site: optional('', 'site', text, 'Name of the site in the file', 'the only one'),
};

export const explainOptions = {
  ...site,
  ...request,
  json: flag('', 'json', 'Print the explanation as JSON'),
};

// oxfmt-ignore
export const verifyOptions = {
  ...site,
  ...request,
  data: optional('', 'data', text, 'File whose content is the body of each request; needs --method'),
  requests: optional('', 'requests', text,
    'File of further requests: a path a line, or an access log; - is standard input'),
  repeat: value('', 'repeat', count(1), '1', 'Run each request warm this many times at least'),
  json: flag('', 'json', 'Print a line of JSON for each request'),
};

// oxfmt-ignore
export const statusOptions = {
  address: argument(required('', 'address', controlAddress,
      'The control socket of the daemon (its --control): unix:/path or /path')),
  json: flag('', 'json', 'Print the status as JSON'),
  prometheus: flag('', 'prometheus', 'Print the metrics in Prometheus’ text format'),
  cancel: optional('', 'cancel', text, 'End the request of that id, and say what became of it'),
  ...timeout,
};

export const shells = ['bash', 'zsh', 'fish'] as const;

export const completionOptions = {
  shell: argument(required('', 'shell', oneOf(...shells), 'The shell')),
};

export const serveOptions = {
  config: required('', 'config', text, 'Configuration file'),
  check: flag('', 'check', 'Say what is wrong with the file and with what it names, and start nothing'),
};

export const rcOptions = {
  system: argument(
    optional('', 'system', oneOf(...rcSystemNames), 'What starts daemons there', 'this machine’s'),
  ),
  user: optional('', 'user', text, 'Who serves, and owns what is pushed', 'that of the web server'),
};

export const upgradeOptions = {
  pidFile: argument(required('', 'pid-file', path, 'What the daemon was given as --pid-file')),
};

// oxfmt-ignore
export const setupOptions = {
  kind: argument(required('', 'kind', oneOf('hg', 'git'), 'What the site serves')),
  host: required('', 'host', text, 'Host name of the site'),
  repos: optional('', 'repos', path, 'Directory of the repositories', '/srv/KIND'),
  markers: optional('', 'markers', path, 'hg: directory of empty NAME.hg files, each of which publishes repository NAME', '/var/www/HOST'),
  exportAll: flag('', 'export-all', 'git: publish all repositories, not only those with git-daemon-export-ok'),
  webServer: optional('', 'web-server', oneOf(...webServerNames), 'The web server', 'the one that is installed'),
  port: value('', 'port', count(1, 65535), '80', 'Port of the web server'),
  passwordFile: optional('', 'password-file', path, 'Let pushes in with a password of this file, which htpasswd(1) writes', 'no pushes'),
  isPrivate: flag('', 'private', 'Reading needs a password, too'),
  user: optional('', 'user', text, 'Who serves, and owns what is pushed', 'that of the web server'),
  system: optional('', 'system', oneOf('systemd', 'sysv', 'openrc'), 'What starts daemons here', 'that of this machine'),
  dryRun: flag('', 'dry-run', 'Print what would be done, and do nothing'),
  undo: flag('', 'undo', 'Remove what setup has written for the site, if nobody has changed it'),
};

const [LIMITS, TIMES, STATUS, PROCESS] = ['Limits', 'Times', 'Status', 'Process'];

/** The control socket belongs to its owner alone, who is the user who serves. */
const control: Parser<ControlConfiguration> = (given, place) => {
  const address = parseAddress(given, place.directory, { option: 'control' });
  if (address.kind === 'unix')
    return { address, socket: { mode: 0o600, owner: undefined, group: undefined } };
  const why = 'only a Unix socket can be kept from others; expected unix:/path or /path';
  throw wrong(place, given, why);
};

// oxfmt-ignore
export const daemonOptions = {
  maxProcessesTotal: optional(LIMITS, 'max-processes-total', count(1),
    'Processes of all sites that run at once', '16 for each core, and at least 32'),
  drainDelayMs: value(TIMES, 'drain-delay', durationMs, '0',
    'Between SIGTERM, from when --health-path is 503, and the end of listening'),
  upgradeTimeoutMs: value(TIMES, 'upgrade-timeout', durationMs, '1m',
    'For the new process of an upgrade to listen; then the old one goes on'),
  stopGraceMs: value(TIMES, 'stop-grace', durationMs, '30s', 'For running requests when the daemon stops'),
  control: optional(STATUS, 'control', control, 'Unix socket for fcgi2cgi status; for nobody but its owner'),
  background: flag(PROCESS, 'daemon',
    'Run in the background; returns when all sockets listen. Needs --log-file'),
  user: optional(PROCESS, 'user', known('user'),
    'User to serve as, once all sockets are bound; root has to name one', 'the user that starts it'),
  group: optional(PROCESS, 'group', known('group'), 'Group to serve as', 'that of the user'),
  chdir: optional(PROCESS, 'chdir', path,
    'Directory that the daemon and FastCGI applications run in; a CGI script runs in its own', '/'),
  umask: optional(PROCESS, 'umask', umask,
    'Permissions that files don’t get, in octal: of the daemon, and of programs', 'that of the process that starts it'),
  pidFile: optional(PROCESS, 'pid-file', path, 'File that holds the process id while the daemon runs'),
  log: {
    file: optional(PROCESS, 'log-file', path, 'File that the log is appended to', 'standard error'),
    level: value(PROCESS, 'log-level', oneOf('error', 'warn', 'info', 'debug'), 'info', 'Least level to log'),
    format: value(PROCESS, 'log-format', oneOf('text', 'json'), 'text', 'Form of the logs'),
  },
  accessLog: optional(PROCESS, 'access-log', path,
    'File that a line is appended to for each request that has ended'),
};
