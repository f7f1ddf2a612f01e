/** What `fcgi2cgi setup` writes for the daemon's site, and for this machine to start the daemon. */

import { existsSync, readFileSync } from 'node:fs';

import { shippedFile } from '../../daemon/package.js';
import { fillScript, unusualNode } from '../rc/rc.js';
import { type RcSystem, rcSystems } from '../rc/systems.js';
import type { User } from './machine.js';
import { sectionsOf, type Wanted } from './wanted.js';
import { indexSocketOf, socketOf, type WebSite } from './web-servers.js';

export const CONFIGURATION = '/etc/fcgi2cgi.toml';

export type ServiceSystem = 'systemd' | 'sysv' | 'openrc';

/** The words of commands, one after the other. */
type Commands = readonly (readonly string[])[];

export interface Service {
  readonly files: (script: string, user: string, group: string | undefined) => readonly Wanted[];
  /** Its logs' file, where the system keeps none. */
  readonly log?: string;
  readonly enable: Commands;
  readonly isRunning: readonly string[];
  readonly start: readonly string[];
  readonly reload: readonly string[];
  readonly restart: readonly string[];
  readonly stop: Commands;
  /** What is to be said once its files have gone. */
  readonly gone: Commands;
  /** What the service has said last, where the system keeps it. */
  readonly said?: readonly string[];
  /** The same for any other service: reload it, or else start it. */
  readonly other: (name: string) => Pick<Service, 'isRunning' | 'start' | 'reload' | 'restart' | 'said'>;
}

const LOG = '/var/log/fcgi2cgi.log';
const settings = (path: string): Wanted => ({
  kind: 'file',
  path,
  text: `# By fcgi2cgi setup.\nconfig=${CONFIGURATION}\n`,
  mode: 0o644,
});
const initScript = (text: string): Wanted => ({
  kind: 'file',
  path: '/etc/init.d/fcgi2cgi',
  text,
  mode: 0o755,
});
const byName = (command: string, first = ''): Service['other'] => {
  const say = (name: string, verb: string): string[] =>
    first === '' ? [command, name, verb] : [command, verb, name];
  return (name) => ({
    isRunning: say(name, first === '' ? 'status' : first),
    start: say(name, 'start'),
    reload: say(name, 'reload'),
    restart: say(name, 'restart'),
  });
};
const systemctl: Service['other'] = (name) => ({
  ...byName('systemctl', 'is-active')(name),
  said: ['journalctl', '--quiet', '--no-pager', '--output=cat', '--lines=5', `--unit=${name}`],
});

/** The unit of the Debian package serves already; all that may be missing is its user. */
function unitFiles(script: string, user: string, group: string | undefined): readonly Wanted[] {
  const unit = ['/usr/lib', '/lib'].map((top) => `${top}/systemd/system/fcgi2cgi.service`).find(existsSync);
  // Who is not root gives sockets only to a group of his own.
  const groups = group === undefined ? '' : `SupplementaryGroups=${group}\n`;
  if (unit === undefined) {
    const text = servingFile(script).replace(/^User=.*\n/m, (line) => line + groups);
    return [{ kind: 'file', path: rcSystems.systemd.target, text, mode: 0o644 }];
  }
  if (rcSystems.systemd.user.exec(readFileSync(unit, 'utf8'))?.[0] === user) return [];
  const text = `# By fcgi2cgi setup.\n[Service]\nUser=${user}\n${groups}`;
  return [{ kind: 'file', path: `${rcSystems.systemd.target}.d/setup.conf`, text, mode: 0o644 }];
}

export const services: Record<ServiceSystem, Service> = {
  systemd: {
    files: unitFiles,
    enable: [
      ['systemctl', 'daemon-reload'],
      ['systemctl', 'enable', 'fcgi2cgi'],
    ],
    ...systemctl('fcgi2cgi'),
    stop: [['systemctl', 'disable', '--now', 'fcgi2cgi']],
    gone: [['systemctl', 'daemon-reload']],
    other: systemctl,
  },
  sysv: {
    files: (script) => [initScript(script), settings('/etc/default/fcgi2cgi')],
    log: LOG,
    enable: [['update-rc.d', 'fcgi2cgi', 'defaults']],
    ...byName('service')('fcgi2cgi'),
    stop: [['service', 'fcgi2cgi', 'stop']],
    gone: [['update-rc.d', 'fcgi2cgi', 'remove']],
    other: byName('service'),
  },
  openrc: {
    files: (script) => [initScript(script), settings('/etc/conf.d/fcgi2cgi')],
    log: LOG,
    enable: [['rc-update', 'add', 'fcgi2cgi']],
    ...byName('rc-service')('fcgi2cgi'),
    stop: [
      ['rc-service', 'fcgi2cgi', 'stop'],
      ['rc-update', 'delete', 'fcgi2cgi'],
    ],
    gone: [],
    other: byName('rc-service'),
  },
};

function servingFile(unit: string): string {
  // A reload of a file with a fault succeeds without that.
  const serving = unit.replace(
    /^ExecStart=(.*?) hg --repos .*$/m,
    `ExecReload=$1 serve --config ${CONFIGURATION} --check\nExecStart=$1 serve --config ${CONFIGURATION}`,
  );
  if (serving === unit) throw new Error('the unit has no command that serves hg');
  return serving;
}

/** The files of the service, as `user` would run it for a web server of `group`, and what rotates its log. */
export function serviceFiles(
  name: ServiceSystem,
  user: string,
  group: string | undefined,
): readonly Wanted[] {
  const system: RcSystem = rcSystems[name];
  const [, command = ''] = process.argv;
  const text = readFileSync(Buffer.from(shippedFile(`rc.d/${system.file}`), 'latin1'), 'utf8');
  const script = fillScript(text, system, { command, node: unusualNode(system.path), user });
  const { files, log, reload } = services[name];
  if (log === undefined) return files(script, user, group);
  const rotation = `# By fcgi2cgi setup.\n${log} {\n\tweekly\n\trotate 8\n\tcompress\n\tdelaycompress\n\tmissingok\n\tnotifempty\n\tcreate\n\tpostrotate\n\t\t${reload.join(' ')} >/dev/null || true\n\tendscript\n}\n`;
  return [
    ...files(script, user, group),
    { kind: 'log', path: log },
    // The Debian package has one.
    { kind: 'file', path: '/etc/logrotate.d/fcgi2cgi', text: rotation, mode: 0o644, isForOthers: true },
  ];
}

/** What the site itself needs, whatever serves it. */
export function siteFiles(
  site: WebSite,
  {
    repos,
    exportAll,
    server,
    group,
  }: { repos: string; exportAll: boolean; server: User; group: string | undefined },
): readonly Wanted[] {
  const { kind, host, markers, passwordFile, isPrivate, owner } = site;
  const listen = kind === 'hg' ? [socketOf(host), indexSocketOf(host)] : [socketOf(host)];
  const text = [
    `[site.${JSON.stringify(host)}]`,
    `kind = "${kind}"`,
    `repos = ${JSON.stringify(repos)}`,
    ...(kind === 'hg' ? [`markers = ${JSON.stringify(markers)}`] : []),
    ...(exportAll ? ['export-all = true'] : []),
    `listen = ${JSON.stringify(listen.map((path) => `unix:${path}`))}`,
    ...(group === undefined ? [] : [`socket-group = ${JSON.stringify(group)}`]),
    ...(passwordFile === undefined ? [] : ['trust-remote-user = true']),
  ];
  return [
    { kind: 'directory', path: repos, mode: isPrivate ? 0o750 : 0o755, owner: server },
    ...(kind === 'git'
      ? []
      : [
          { kind: 'directory', path: markers, mode: 0o755 } as const,
          { kind: 'file', path: `${markers}/index.fcgi`, text: '', mode: 0o644, isForOthers: true } as const,
        ]),
    ...(passwordFile === undefined
      ? []
      : [
          {
            kind: 'file',
            path: passwordFile,
            text: '',
            mode: 0o640,
            owner: { uid: 0, gid: owner.gid },
            isForOthers: true,
          } as const,
        ]),
    {
      kind: 'block',
      path: CONFIGURATION,
      text: `\n# By fcgi2cgi setup, served as ${server.user}\n${text.join('\n')}\n`,
      taken: (others) =>
        sectionsOf(CONFIGURATION, others).some(({ name }) => name[0] === 'site' && name[1] === host)
          ? `has a site ${host} that setup has not written`
          : undefined,
    },
  ];
}
