/** `fcgi2cgi setup`: from nothing to a page that was fetched, and back. */

import { existsSync, readFileSync, rmdirSync } from 'node:fs';

import { isRoot } from '../../daemon/process/privileges.js';
import { BridgeError, OptionError, reasonOf } from '../../base/errors.js';
import type { Run } from '../commands.js';
import { setupOptions } from '../options/command-options.js';
import { readOptions } from '../options/option.js';
import { accountOf, userFor } from '../rc/rc.js';
import { rcSystems, thisSystem } from '../rc/systems.js';
import { Journal } from './journal.js';
import {
  execute,
  faultIn,
  provePages,
  reloadOrStart,
  requireReadable,
  run,
  tell,
  type User,
} from './machine.js';
import { CONFIGURATION, serviceFiles, services, type ServiceSystem, siteFiles } from './service.js';
import { sectionsOf } from './wanted.js';
import {
  openbsdHttpd,
  SOCKETS,
  type WebServer,
  webServerNames,
  webServers,
  type WebSite,
} from './web-servers.js';

export const runSetup: Run = async (given) => {
  const options = readOptions(setupOptions, given);
  const { kind, host, port, passwordFile, isPrivate, dryRun: isDry } = options;
  refuseOdd(
    'host',
    host,
    /^(?=.{1,64}$)[a-z0-9]+(-+[a-z0-9]+)*(\.[a-z0-9]+(-+[a-z0-9]+)*)*$/,
    'lower-case letters and digits, with dots or dashes between them',
  );
  const { repos = `/srv/${kind}`, markers = `/var/www/${host}` } = options;
  for (const [option, path] of Object.entries({ repos, markers, 'password-file': passwordFile ?? '/' })) {
    refuseOdd(option, path, /^\/[\p{L}\p{N}/._+@,-]*$/u, 'a path of letters, digits and / . _ + @ , -');
  }
  if (isPrivate && passwordFile === undefined) {
    throw new OptionError('ERR_USAGE', {
      option: 'private',
      why: 'needs --password-file: who may read is in it',
    });
  }
  if (!isRoot() && !isDry) {
    throw new BridgeError(
      'ERR_START',
      'setup: only root may write to /etc; run it with sudo, or with --dry-run',
    );
  }
  const system = options.system ?? systemHere();
  if (options.undo) {
    undo(new Journal('/', isDry, tell), { host, system, isDry });
    return undefined;
  }
  const name =
    options.webServer ??
    webServerNames.find((each) => each !== 'openbsd-httpd' && existsSync(webServers[each].program));
  if (name === undefined) {
    const why = `is missing, and none is installed; install one of ${Object.keys(webServers).join(', ')}`;
    throw new OptionError('ERR_USAGE', { option: 'web-server', why });
  }
  if (name !== 'openbsd-httpd' && !existsSync(webServers[name].program)) {
    const why = `there is no ${webServers[name].program}; install it first`;
    throw new OptionError('ERR_USAGE', { option: 'web-server', value: name, why });
  }
  const owner = await ownerOf(name === 'caddy' ? 'caddy' : undefined, system);
  const server = options.user === undefined ? owner : await ownerOf(options.user, system);
  const { user } = server;
  // Only root gives its sockets to the web server's group, when it starts the daemon.
  const group = user === owner.user ? undefined : execute(['id', '-gn', '--', owner.user]).stdout.trim();
  const site: WebSite = { kind, host, port, markers, passwordFile, isPrivate, owner };
  if (name === 'openbsd-httpd') {
    tell(openbsdHttpd(site));
    return undefined;
  }
  const webServer: WebServer = webServers[name];
  const journal = new Journal('/', isDry, tell);
  const exportAll = options.exportAll && kind === 'git';
  refuseOtherUser(user);
  const before = webServersOf(journal, host).find(({ service }) => service !== webServer.service);
  if (before !== undefined) {
    const cure = `take that back first, with fcgi2cgi setup ${kind} --host ${host} --undo`;
    const why = `setup has written ${host} for ${before.service}; ${cure}`;
    throw new OptionError('ERR_USAGE', { option: 'web-server', value: name, why });
  }
  const wanted = [
    ...siteFiles(site, { repos, exportAll, server, group }),
    ...serviceFiles(system, user, group),
  ];
  const isNew = !journal.has(host);
  let advice = `mend that and run this command again, or take back what it wrote with fcgi2cgi setup ${kind} --host ${host} --undo`;
  try {
    for (const each of [...wanted, ...webServer.files(site)]) journal.add(host, each);
    try {
      run(webServer.check, isDry);
      if (name !== 'caddy' && passwordFile !== undefined && !isDry) requireReadable(passwordFile, owner);
    } catch (error) {
      // At its next start, the web server would serve nothing at all.
      if (isNew) {
        journal.undo(host);
        advice = 'mend that and run this command again; what it wrote is gone';
      }
      throw error;
    }
    try {
      const service = services[system];
      for (const each of service.enable) run(each, isDry);
      reloadOrStart(group === undefined ? service : { ...service, reload: service.restart }, isDry);
      reloadOrStart(service.other(webServer.service), isDry);
      if (!isDry) await provePages(site);
    } catch (error) {
      throw new Error(faultIn(CONFIGURATION) ?? reasonOf(error), { cause: error });
    }
  } catch (error) {
    throw new BridgeError('ERR_START', `setup: ${reasonOf(error)}; ${advice}`, { cause: error });
  }
  tell(
    kind === 'hg'
      ? `To publish a repository: hg init ${repos}/NAME && chown -R ${user}: ${repos}/NAME && touch ${markers}/NAME.hg`
      : `To publish a repository: git init --bare ${repos}/NAME.git && touch ${repos}/NAME.git/git-daemon-export-ok && chown -R ${user}: ${repos}/NAME.git`,
  );
  if (passwordFile !== undefined) {
    const again = name === 'caddy' ? ', then run this command again' : '';
    const allowed = `; then "allow-push = NAME", and for plain HTTP "push_ssl = no", in [web] of the repository's .hg/hgrc`;
    const hash = name === 'caddy' ? '-B ' : '';
    tell(`To let somebody push: htpasswd ${hash}${passwordFile} NAME${again}${kind === 'hg' ? allowed : ''}`);
  }
  return undefined;
};

function refuseOdd(option: string, value: string, allowed: RegExp, expected: string): void {
  if (!allowed.test(value))
    throw new OptionError('ERR_USAGE', { option, value, why: `expected ${expected}` });
}

function systemHere(): ServiceSystem {
  const system = thisSystem();
  if (system in services) return system as ServiceSystem;
  throw new BridgeError('ERR_START', `setup: ${system} is not set up by itself; use what fcgi2cgi rc prints`);
}

async function ownerOf(given: string | undefined, system: ServiceSystem): Promise<User> {
  const { user: pattern } = rcSystems[system];
  const user = await userFor(
    rcSystems[system],
    given,
    pattern.source.includes('command_user') ? '"${command_user:=lighttpd}' : 'User=www-data\nuser=www-data',
  );
  if (user === undefined) {
    throw new OptionError('ERR_USAGE', {
      option: 'user',
      why: 'is missing, and no web server’s user is known here',
    });
  }
  const { uid, gids } = await accountOf(user);
  return { user, uid, gid: gids[0] ?? uid, gids };
}

/** One daemon serves all sites, and has one user. */
function refuseOtherUser(user: string): void {
  if (!existsSync(CONFIGURATION)) return;
  const written = readFileSync(CONFIGURATION, 'utf8').matchAll(/^# By fcgi2cgi setup, served as (\S+)$/gm);
  const other = [...written].map(([, each = '']) => each).find((each) => each !== user);
  if (other === undefined) return;
  const why = `${CONFIGURATION} has sites that are served as ${other}; name that user, or --undo those sites`;
  throw new OptionError('ERR_USAGE', { option: 'user', value: user, why });
}

/** Those that setup has written a host for. */
function webServersOf(journal: Journal, host: string): readonly WebServer[] {
  return Object.values<WebServer>(webServers).filter(({ service }) =>
    journal.has(host, (path) => path.startsWith(`/etc/${service}/`) && path.includes(`fcgi2cgi-${host}`)),
  );
}

const isOfService = (path: string): boolean =>
  /^\/etc\/(?:init\.d|default|conf\.d|logrotate\.d|systemd)\/|^\/var\/log\//.test(path);

/** What an init script has made, unless other daemons have their sockets there. */
function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    return;
  }
  tell(`removes ${directory}`);
}

/** Takes a site back, and tells the daemon and the web server. @throws BridgeError where what stays would have a fault */
function undo(
  journal: Journal,
  { host, system, isDry }: { host: string; system: ServiceSystem; isDry: boolean },
): void {
  if (!journal.has(host)) {
    tell(`setup has written nothing for ${host}`);
    return;
  }
  journal.requireUnchanged(host);
  const { stop, gone, isRunning, reload, other } = services[system];
  // Of sites that setup has not written, only the file knows; what starts the daemon stays for them.
  const text = existsSync(CONFIGURATION) ? readFileSync(CONFIGURATION, 'utf8') : '';
  const hasOthers = sectionsOf(CONFIGURATION, text).some(
    ({ name: [table, name] }) => table === 'site' && name !== host,
  );
  const isLast = journal.isLast(host) && !hasOthers;
  const told = webServersOf(journal, host).filter(({ program }) => existsSync(program));
  // Stopping what does not run is no failure.
  if (isLast)
    for (const each of stop)
      if (isDry || execute(isRunning).status === 0 || each !== stop[0]) run(each, isDry);
  journal.undo(host, (path) => hasOthers && isOfService(path));
  const fault = isDry || isLast || !existsSync(CONFIGURATION) ? undefined : faultIn(CONFIGURATION);
  if (isLast) {
    for (const each of gone) run(each, isDry);
    if (!isDry) removeIfEmpty(SOCKETS);
  } else if (fault === undefined && (isDry || execute(isRunning).status === 0)) run(reload, isDry);
  for (const { service, check } of told) {
    run(check, isDry);
    if (isDry || execute(other(service).isRunning).status === 0) run(other(service).reload, isDry);
  }
  if (fault !== undefined)
    throw new BridgeError('ERR_START', `setup: ${fault}; mend that: the daemon would not start`);
}
