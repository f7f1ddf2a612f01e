/** The systems that rc.d/ has a script for, each made to run here as it would run there. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { fixture, main } from './bridge.js';
import { type Ended, runToEnd } from './command.js';
import { readableTop } from './package-copy.js';
import { temporaryDirectory } from './temporary.js';

export const rcDirectory = join(readableTop(), 'rc.d');

/** Where one daemon has its files. Only `repos` and `markers` exist: the rest is for the script to make. */
export interface Place {
  readonly directory: string;
  readonly repos: string;
  readonly markers: string;
  readonly socket: string;
  readonly dirsocket: string;
  readonly pidFile: string;
  readonly logFile: string;
}

/** Runs a script with an action, as in `script start`. */
export type Script = (action: string) => Promise<Ended>;

export interface System {
  readonly name: string;
  /** Whether its conventions allow blanks in paths. */
  readonly blanks: boolean;
  /** Whether it really changes the user here. */
  readonly switchesUser: boolean;
  /** The action that says whether the daemon runs, and its exit status when it does not. */
  readonly ask: string;
  readonly notRunning: number;
  /** The exit status of a start when the daemon runs already. */
  readonly startAgain: number;
  /**
   * Makes its script serve `place` as `user`, with `site` or `config` where these are set, by `program` where that is one
   * of another PATH.
   */
  install(
    place: Place,
    user: string,
    more?: Readonly<Record<string, string>>,
    program?: string,
  ): Promise<Script>;
}

/** A process of `place`'s daemon. */
export interface DaemonProcess {
  readonly pid: number;
  readonly args: readonly string[];
}

export const self = userInfo().username;
const isRoot = userInfo().uid === 0;

/** What the daemon has to be told where a stub leaves it root. */
export const staysRoot = isRoot ? '--user root' : '';

const places: Place[] = [];
const keepers: ChildProcess[] = [];

after(async () => {
  for (const keeper of keepers) keeper.kill();
  for (const place of places) {
    for (const { pid } of await daemonProcesses(place)) process.kill(pid, 'SIGKILL');
  }
});

export async function makePlace({ blanks }: { readonly blanks: boolean }): Promise<Place> {
  const directory = await temporaryDirectory();
  const blank = blanks ? ' ' : '-';
  const place = {
    directory,
    repos: join(directory, `the${blank}repositories`),
    markers: join(directory, `the${blank}markers`),
    socket: join(directory, `the${blank}sockets`, 'sock'),
    dirsocket: join(directory, `the${blank}sockets`, 'dirsock'),
    pidFile: join(directory, 'run', 'fcgi2cgi.pid'),
    logFile: join(directory, `the${blank}log`),
  };
  // Another user has to get in.
  await chmod(directory, 0o755);
  await mkdir(place.repos);
  await mkdir(place.markers);
  places.push(place);
  return place;
}

/** The processes that run now for `place`; one that has ended and waits to be reaped has no arguments any more. */
export async function daemonProcesses(place: Place): Promise<DaemonProcess[]> {
  const found: DaemonProcess[] = [];
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const args = argumentsOf(name);
    const isOurs = args.some((arg) => basename(arg) === basename(main));
    if (isOurs && args.includes(place.pidFile)) found.push({ pid, args });
  }
  return found;
}

/** Read at once, as there may be many processes. */
function argumentsOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}

/** Kills the daemon as a crash would; resolves when not even its process id is left. */
export async function crash({ pid }: DaemonProcess): Promise<void> {
  process.kill(pid, 'SIGKILL');
  while (existsSync(`/proc/${String(pid)}`)) await delay(10);
}

/** A user that is not root, as far as we can be another one and he can read the program. */
export async function ordinaryUser(program: string = main): Promise<string> {
  if (!isRoot) return self;
  const { status } = await runToEnd('setpriv', [...becoming('nobody'), 'test', '-r', program]);
  return status === 0 ? 'nobody' : self;
}

/** The arguments of setpriv that make it run a program as `user`. */
export function becoming(user: string): string[] {
  return user === self ? [] : [`--reuid=${user}`, '--regid=nogroup', '--clear-groups'];
}

/** What a stub of rc.subr has written down. */
export function trace(place: Place): Promise<string> {
  return readFile(join(place.directory, 'trace'), 'utf8');
}

/** The administrator's file that the script of FreeBSD, NetBSD or OpenBSD reads. */
export function rcConf(place: Place): string {
  return join(place.directory, 'rc.conf');
}

/** Copies a file of rc.d/ with changes, each of which has to find what it changes. */
export async function installCopy(
  name: string,
  target: string,
  changes: Readonly<Record<string, string>>,
): Promise<void> {
  let text = await readFile(join(rcDirectory, name), 'utf8');
  for (const [pattern, replacement] of Object.entries(changes)) {
    const changed = text.replace(new RegExp(pattern, 'm'), () => replacement);
    if (changed === text) throw new Error(`rc.d/${name} has nothing that matches ${pattern}`);
    text = changed;
  }
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, text);
  await chmod(target, (await stat(join(rcDirectory, name))).mode);
}

/**
 * Makes namespaces in which `run` is /run and the files of `etc` are in /etc, whatever the machine has there; what it
 * resolves to runs a program in them. Without being root, that program is root of a user namespace.
 */
export async function enclose(
  run: string,
  etc: string,
): Promise<(command: readonly string[]) => Promise<Ended>> {
  const mounts = [
    'mount --no-mtab --bind "$0" /run',
    'mount --no-mtab -t overlay -o "lowerdir=$1:/etc" overlay /etc',
  ];
  // All programs have to share them: a process of another user namespace may not be looked at.
  const keeper = [...mounts, 'echo ready', 'exec cat'].join(' && ');
  const make = isRoot ? ['--mount'] : ['--mount', '--map-root-user'];
  const process = spawn('unshare', [...make, 'sh', '-c', keeper, run, etc], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  keepers.push(process);
  const [ready] = (await Promise.race([once(process.stdout, 'data'), once(process, 'exit')])) as unknown[];
  if (!Buffer.isBuffer(ready)) throw new Error('unshare and mount could not make namespaces');
  const enter = isRoot ? ['--mount'] : ['--mount', '--user', '--preserve-credentials'];
  return (command) => runToEnd('nsenter', [`--target=${String(process.pid)}`, ...enter, ...command]);
}

function settings(variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .map(([name, value]) => `${name}='${value}'\n`)
    .join('');
}

const sysv: System = {
  name: 'sysv',
  blanks: true,
  switchesUser: true,
  ask: 'status',
  notRunning: 3,
  startAgain: 0,
  async install(place, user, more = {}, program = main) {
    const defaults = join(place.directory, 'defaults');
    const { repos, markers, socket, dirsocket, pidFile: pid_file, logFile: log_file } = place;
    await writeFile(
      defaults,
      settings({ command: program, repos, markers, socket, dirsocket, user, pid_file, log_file, ...more }),
    );
    const env = { ...process.env, FCGI2CGI_DEFAULTS: defaults };
    return (action) => runToEnd(join(rcDirectory, 'sysv'), [action], { env });
  },
};

/** The state that OpenRC keeps below /run when it has booted the machine. */
const openrcState = [
  ...['daemons', 'exclusive', 'failed', 'hotplugged', 'inactive', 'options'],
  ...['scheduled', 'started', 'starting', 'stopping', 'tmp', 'wasinactive'],
];

const openrc: System = {
  name: 'openrc',
  blanks: true,
  switchesUser: isRoot,
  ask: 'status',
  notRunning: 3,
  startAgain: 0,
  async install(place, user, more = {}, program = main) {
    const etc = join(place.directory, 'etc');
    const { repos, markers, socket, dirsocket, pidFile: pidfile, logFile: log_file } = place;
    await installCopy('openrc', join(etc, 'init.d', 'fcgi2cgi'), {});
    await mkdir(join(etc, 'conf.d'));
    await writeFile(
      join(etc, 'conf.d', 'fcgi2cgi'),
      settings({
        fcgi2cgi: program,
        repos,
        markers,
        socket,
        dirsocket,
        // In the user namespace that stands in for it, we are root.
        command_user: isRoot ? user : 'root',
        pidfile,
        log_file,
        ...more,
      }),
    );
    // It is needed, and the one of a machine that OpenRC boots would mount its file systems.
    const localmount = '#!/sbin/openrc-run\nstart() { :; }\nstop() { :; }\n';
    await writeFile(join(etc, 'init.d', 'localmount'), localmount, { mode: 0o755 });
    const run = join(place.directory, 'run-of-openrc');
    for (const name of openrcState) await mkdir(join(run, 'openrc', name), { recursive: true });
    await writeFile(join(run, 'openrc', 'softlevel'), '');
    const runInside = await enclose(run, etc);
    return (action) => runInside(['rc-service', 'fcgi2cgi', action]);
  },
};

/** FreeBSD and NetBSD, whose rc.subr have the same ancestor. */
function freebsdOrNetbsd(name: string, rcvar: string): System {
  return {
    name,
    blanks: false,
    switchesUser: false,
    ask: 'status',
    notRunning: 1,
    startAgain: 1,
    async install(place, user, more = {}, program = main) {
      const script = join(place.directory, 'fcgi2cgi');
      await installCopy(name, script, {
        '^\\. /etc/rc\\.subr$': `. '${fixture('rc-subr/freebsd-netbsd')}'`,
        '^command=.*/bin/fcgi2cgi$': `command='${program}'`,
      });
      await writeFile(
        rcConf(place),
        settings({
          [rcvar]: 'YES',
          fcgi2cgi_repos: place.repos,
          fcgi2cgi_markers: place.markers,
          fcgi2cgi_socket: place.socket,
          fcgi2cgi_dirsocket: place.dirsocket,
          fcgi2cgi_user: user,
          fcgi2cgi_pid_file: place.pidFile,
          fcgi2cgi_log_file: place.logFile,
          fcgi2cgi_flags: staysRoot,
          ...Object.fromEntries(Object.entries(more).map(([key, value]) => [`fcgi2cgi_${key}`, value])),
        }),
      );
      const env = { ...process.env, RC_CONF: rcConf(place), RC_TRACE: join(place.directory, 'trace') };
      return (action) => runToEnd('sh', [script, action], { env });
    },
  };
}

const openbsd: System = {
  name: 'openbsd',
  blanks: true,
  switchesUser: false,
  ask: 'check',
  notRunning: 1,
  startAgain: 0,
  async install(place, user, more = {}, program = main) {
    const script = join(place.directory, 'fcgi2cgi');
    await installCopy('openbsd', script, {
      // No machine but OpenBSD's has a ksh of its own.
      '^#!/bin/ksh$': '#!/bin/sh',
      '^\\. /etc/rc\\.d/rc\\.subr$': `. '${fixture('rc-subr/openbsd')}'`,
      '/usr/local/bin/fcgi2cgi': program,
      '^repos=\\S+': `repos='${place.repos}'`,
      '^markers=\\S+': `markers='${place.markers}'`,
      '^socket=\\S+': `socket='${place.socket}'`,
      '^dirsocket=\\S+': `dirsocket='${place.dirsocket}'`,
      '^daemon_user=\\S+': `daemon_user='${user}'`,
      '^pid_file=\\S+': `pid_file='${place.pidFile}'`,
      '^log_file=\\S+': `log_file='${place.logFile}'`,
      '^options=': `options='${staysRoot}'`,
      ...Object.fromEntries(
        Object.entries(more).map(([key, value]) => [`^${key}=\\S*`, `${key}='${value}'`]),
      ),
    });
    await writeFile(rcConf(place), '');
    const env = { ...process.env, RC_CONF: rcConf(place), RC_TRACE: join(place.directory, 'trace') };
    return (action) => runToEnd(script, [action], { env });
  },
};

export const systems = {
  sysv,
  openrc,
  openbsd,
  freebsd: freebsdOrNetbsd('freebsd', 'fcgi2cgi_enable'),
  netbsd: freebsdOrNetbsd('netbsd', 'fcgi2cgi'),
} satisfies Record<string, System>;
