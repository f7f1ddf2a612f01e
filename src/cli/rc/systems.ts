/** The systems that rc.d/ has a script for: where each keeps it, and how a path is written in it. */

import { existsSync } from 'node:fs';

import { OptionError } from '../../base/errors.js';

/** A place of a script where a path is written. */
interface Spot {
  /** What stands there in rc.d/. */
  readonly text: string;
  /** What stands there instead for `path`. */
  readonly filled: (path: string) => string;
  /** What no path may contain that is written there. */
  readonly refused: RegExp;
}

/** How one system wants its script. */
export interface RcSystem {
  /** Node's name of the operating system that it belongs to. */
  readonly platform: string;
  readonly file: string;
  readonly target: string;
  /** What makes the system run it, as commands for the shell. */
  readonly next: readonly string[];
  /** Where its scripts look for programs. */
  readonly path: readonly string[];
  /** Where the script names the program. */
  readonly command: Spot;
  /** Where it names node, or PATH, once `node` is none that a search of `path` would find. */
  readonly node: Spot;
  readonly user: RegExp;
}

/** What the shell, rc.subr or systemd would read as something else between quotes; U+FFFD is what can't be decoded. */
const inQuotes = /[\p{Cc}'"\\$`%{}\uFFFD]/u;
/** And what they would without quotes, or divide at. */
const unquoted = /[^\p{L}\p{M}\p{N}/._+@,-]/u;
/** PATH is divided at colons. */
const inPath = /[\p{Cc}'"\\$`%{}:\uFFFD]/u;

const linux = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const directoryOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));
const quotedWith =
  (quote: string) =>
  (path: string): string =>
    unquoted.test(path) ? `${quote}${path}${quote}` : path;
const quoted = quotedWith("'");

/** FreeBSD and NetBSD, whose rc.subr have the same ancestor and divide everything at blanks. */
function bsd(platform: string, prefix: string, target: string, enable: string): RcSystem {
  return {
    platform,
    file: platform,
    target,
    next: [`chmod 555 ${target}`, enable, 'service fcgi2cgi start'],
    path: ['/sbin', '/bin', '/usr/sbin', '/usr/bin', `${prefix}/bin`],
    command: { text: `${prefix}/bin/fcgi2cgi`, filled: (path) => path, refused: unquoted },
    node: {
      text: `export PATH="$PATH:${prefix}/bin"`,
      filled: (node) => `export PATH="${directoryOf(node)}:$PATH:${prefix}/bin"`,
      refused: unquoted,
    },
    user: /(?<="\$\{fcgi2cgi_user:=)[^}]+/,
  };
}

/** By the names that `fcgi2cgi rc` takes. */
export const rcSystems = {
  systemd: {
    platform: 'linux',
    file: 'fcgi2cgi.service',
    target: '/etc/systemd/system/fcgi2cgi.service',
    next: ['systemctl daemon-reload', 'systemctl enable --now fcgi2cgi'],
    path: linux,
    command: { text: '/usr/local/bin/fcgi2cgi', filled: quotedWith('"'), refused: inQuotes },
    node: {
      text: 'Environment=options=',
      filled: (node) => `Environment=options=\nEnvironment="PATH=${[directoryOf(node), ...linux].join(':')}"`,
      refused: inPath,
    },
    user: /(?<=^User=).*/m,
  },
  openrc: {
    platform: 'linux',
    file: 'openrc',
    target: '/etc/init.d/fcgi2cgi',
    next: ['chmod 755 /etc/init.d/fcgi2cgi', 'rc-update add fcgi2cgi', 'rc-service fcgi2cgi start'],
    path: linux,
    command: { text: '/usr/local/bin/fcgi2cgi', filled: (path) => path, refused: inQuotes },
    // OpenRC's own script divides it at blanks.
    node: { text: 'command=$(command -v node)', filled: (node) => `command=${node}`, refused: unquoted },
    user: /(?<="\$\{command_user:=)[^}]+/,
  },
  sysv: {
    platform: 'linux',
    file: 'sysv',
    target: '/etc/init.d/fcgi2cgi',
    next: ['chmod 755 /etc/init.d/fcgi2cgi', 'update-rc.d fcgi2cgi defaults', 'service fcgi2cgi start'],
    path: linux,
    command: { text: '/usr/local/bin/fcgi2cgi', filled: quoted, refused: inQuotes },
    node: {
      text: 'PATH=$PATH:/usr/local/bin:',
      filled: (node) => `PATH=${quoted(directoryOf(node))}:$PATH:/usr/local/bin:`,
      refused: inPath,
    },
    user: /(?<=^user=)\S+/m,
  },
  openbsd: {
    platform: 'openbsd',
    file: 'openbsd',
    target: '/etc/rc.d/fcgi2cgi',
    next: ['chmod 555 /etc/rc.d/fcgi2cgi', 'rcctl enable fcgi2cgi', 'rcctl start fcgi2cgi'],
    path: ['/sbin', '/usr/sbin', '/bin', '/usr/bin', '/usr/X11R6/bin', '/usr/local/sbin', '/usr/local/bin'],
    command: { text: '/usr/local/bin/fcgi2cgi', filled: quoted, refused: inQuotes },
    // The script's pexp, by which its process is found, has it end at the first blank.
    node: { text: 'daemon="', filled: (node) => `daemon="${node} `, refused: unquoted },
    user: /(?<=^daemon_user=)\S+/m,
  },
  freebsd: bsd('freebsd', '/usr/local', '/usr/local/etc/rc.d/fcgi2cgi', 'sysrc fcgi2cgi_enable=YES'),
  netbsd: bsd('netbsd', '/usr/pkg', '/etc/rc.d/fcgi2cgi', 'echo fcgi2cgi=YES >> /etc/rc.conf'),
} as const satisfies Record<string, RcSystem>;

export type RcSystemName = keyof typeof rcSystems;

export const rcSystemNames = Object.keys(rcSystems) as RcSystemName[];

/** The system of this machine. @throws OptionError `ERR_USAGE` where it can't be told. */
export function thisSystem(
  platform: string = process.platform,
  exists: (path: string) => boolean = existsSync,
): RcSystemName {
  if (platform === 'openbsd' || platform === 'freebsd' || platform === 'netbsd') return platform;
  if (platform === 'linux') {
    // What has started the machine, as each says one can tell: sd_booted(3), and what openrc-run looks for.
    if (exists('/run/systemd/system')) return 'systemd';
    if (exists('/run/openrc/softlevel')) return 'openrc';
    // What is installed at least: Debian has the first of these whatever starts it.
    if (exists('/lib/lsb/init-functions')) return 'sysv';
    if (exists('/sbin/openrc-run')) return 'openrc';
  }
  const why = `is missing, and what starts daemons on this machine (${platform}) is not known; expected one of ${rcSystemNames.join(', ')}`;
  throw new OptionError('ERR_USAGE', { option: 'system', shown: 'SYSTEM', why });
}
