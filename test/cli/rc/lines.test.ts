/** The lines of the rc scripts and units that show only at a boot, on another system, or where nothing has been set. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { rcDirectory } from '../../helpers/rc.js';

/** By their reasons, as they begin, with one space for all that is between two words. */
const lines: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'is started once what it needs is there and before web servers, and is stopped with the machine': {
    freebsd: ['# PROVIDE: fcgi2cgi', '# REQUIRE: LOGIN', '# KEYWORD: shutdown'],
    netbsd: ['# PROVIDE: fcgi2cgi', '# REQUIRE: DAEMON', '# KEYWORD: shutdown'],
    openrc: ['need localmount', 'before lighttpd nginx apache2'],
    sysv: [
      ...['# Provides: fcgi2cgi', '# Required-Start: $remote_fs', '# Required-Stop: $remote_fs'],
      ...['# X-Start-Before: lighttpd nginx apache2', '# X-Stop-After: lighttpd nginx apache2'],
      ...['# Default-Start: 2 3 4 5', '# Default-Stop: 0 1 6'],
    ],
  },
  'finds node and hg, where the PATH of a boot ends before them': {
    freebsd: ['export PATH="$PATH:/usr/local/bin"'],
    netbsd: ['export PATH="$PATH:/usr/pkg/bin"'],
    sysv: ['PATH=$PATH:/usr/local/bin:/usr/sbin:/sbin'],
  },
  'keeps no memory for each thread': {
    'fcgi2cgi.service': ['Environment=MALLOC_ARENA_MAX=2'],
    openrc: ['export MALLOC_ARENA_MAX=2'],
    sysv: ['export MALLOC_ARENA_MAX=2'],
  },
  'serves hg as a user without rights, at the sockets of the documents, and only once it is enabled': {
    'fcgi2cgi.service': [
      'Environment=repos=/srv/hg markers=/var/www/hg.example.org',
      ...['Environment=socket=/run/fcgi2cgi/hg.sock', 'Environment=dirsocket=/run/fcgi2cgi/hg-index.sock'],
      ...['Environment=options=', 'EnvironmentFile=-/etc/default/fcgi2cgi'],
    ],
    'fcgi2cgi.socket': [
      ...['ListenStream=/run/fcgi2cgi/hg.sock', 'ListenStream=/run/fcgi2cgi/hg-index.sock'],
    ],
    freebsd: [
      ...[': "${fcgi2cgi_enable:=NO}"', ...bsdDefaults('/usr/local/www/hg.example.org')],
      'rcvar=fcgi2cgi_enable',
    ],
    netbsd: [': "${fcgi2cgi:=NO}"', ...bsdDefaults('/var/www/hg.example.org'), 'rcvar=fcgi2cgi'],
    openbsd: [
      ...['site=hg # or git', 'repos=/var/hg # directory', 'markers=/var/www/htdocs/hg.example.org #'],
      ...['socket=/var/www/run/fcgi2cgi/hg.sock #', 'dirsocket=/var/www/run/fcgi2cgi/hg-index.sock #'],
      ...['daemon_user=www #', 'pid_file=/var/run/fcgi2cgi/fcgi2cgi.pid', 'log_file=/var/log/fcgi2cgi.log'],
      ...['config= #', 'options= #', 'daemon_logger=daemon.info'],
    ],
    openrc: [
      ...[': "${fcgi2cgi:=/usr/local/bin/fcgi2cgi}"', ': "${site:=hg}"', ': "${repos:=/srv/hg}"'],
      ...[': "${markers=/var/www/hg.example.org}"', ': "${socket:=/run/fcgi2cgi/hg.sock}"'],
      ...[': "${dirsocket=/run/fcgi2cgi/hg-index.sock}"', ': "${command_user:=lighttpd}"'],
      ': "${pidfile:=/run/$RC_SVCNAME/$RC_SVCNAME.pid}"',
      ...[': "${log_file:=/var/log/$RC_SVCNAME.log}"', ': "${config:=}"', ': "${options:=}"'],
      '[ "$user" = "$command_user" ] || command_args="$command_args --group \'${command_user#*:}\'"',
      'unset command_user',
      '[ -z "$markers" ] || command_args="$command_args --markers \'$markers\'"',
      '[ -z "$dirsocket" ] || command_args="$command_args --listen \'unix:$dirsocket\'"',
    ],
    sysv: [
      ...['command=/usr/local/bin/fcgi2cgi', 'site=hg #', 'repos=/srv/hg #'],
      ...['markers=/var/www/hg.example.org #', 'socket=/run/fcgi2cgi/hg.sock #'],
      ...['dirsocket=/run/fcgi2cgi/hg-index.sock #', 'user=www-data #'],
      ...['pid_file=/run/fcgi2cgi/fcgi2cgi.pid', 'log_file=/var/log/fcgi2cgi.log', 'config= #'],
      '[ ! -e "${FCGI2CGI_DEFAULTS:=/etc/default/fcgi2cgi}" ] || . "$FCGI2CGI_DEFAULTS"',
    ],
  },
  'starts nothing that lacks what it would serve, or for which nothing can be made': {
    freebsd: bsdNeeds(),
    netbsd: bsdNeeds(),
    openbsd: ['[ -e "$log_file" ] || install -o "$daemon_user" -m 640 /dev/null "$log_file"'],
    sysv: [
      'prepare && start-stop-daemon --start',
      'if prepare && check; then stop && start;',
      'force-reload) reload ;;',
    ],
  },
};

function bsdDefaults(markers: string): readonly string[] {
  return [
    ...[': "${fcgi2cgi_site:=hg}"', ': "${fcgi2cgi_repos:=/var/hg}"', `: "\${fcgi2cgi_markers=${markers}}"`],
    ': "${fcgi2cgi_socket:=/var/run/fcgi2cgi/hg.sock}"',
    ': "${fcgi2cgi_dirsocket=/var/run/fcgi2cgi/hg-index.sock}"',
    ...[': "${fcgi2cgi_user:=www}"', ': "${fcgi2cgi_pid_file:=/var/run/fcgi2cgi/fcgi2cgi.pid}"'],
    ...[': "${fcgi2cgi_log_file:=/var/log/fcgi2cgi.log}"', ': "${fcgi2cgi_config:=}"'],
    ': "${fcgi2cgi_flags:=}"',
  ];
}

function bsdNeeds(): readonly string[] {
  return [
    "required_files=$fcgi2cgi_config fcgi2cgi_socket='' fcgi2cgi_dirsocket=''",
    'required_dirs="$fcgi2cgi_repos $fcgi2cgi_markers"',
    'procname=$(readlink -f "$(command -v node)")',
    '[ -e "$fcgi2cgi_log_file" ] || install -o "$fcgi2cgi_user" -m 640 /dev/null "$fcgi2cgi_log_file" || return',
    'extra_commands="reload upgrade"',
    'start_precmd=fcgi2cgi_prestart',
  ];
}

describe('A script or a unit', () => {
  for (const [reason, files] of Object.entries(lines)) {
    it(reason, () => {
      for (const [name, expected] of Object.entries(files)) {
        const found = readFileSync(join(rcDirectory, name), 'utf8')
          .split('\n')
          .map((line) => line.trim().replaceAll(/\s+/g, ' '));
        for (const line of expected)
          assert.ok(
            found.some((each) => each.startsWith(line)),
            `${name}: ${line}`,
          );
      }
    });
  }
});
