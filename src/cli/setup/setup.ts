/** `fcgi2cgi setup`: from nothing to a page that was fetched, and back. */

import { existsSync, readFileSync } from 'node:fs';

import { isRoot } from '../../daemon/process/privileges.js';
import { BridgeError, OptionError, reasonOf } from '../../base/errors.js';
import type { Run } from '../commands.js';
import { setupOptions } from '../options/command-options.js';
import { readOptions } from '../options/option.js';
import { accountOf, userFor } from '../rc/rc.js';
import { rcSystems, thisSystem } from '../rc/systems.js';
import { sectionsOf } from './block.js';
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
import { CONFIGURATION, serviceFiles, services, type ServiceSystem } from './service.js';
import { undo } from './undo.js';
import type { Wanted } from './wanted.js';
import {
  indexSocketOf,
  openbsdHttpd,
  socketOf,
  type WebServer,
  webServerNames,
  webServers,
  type WebSite,
} from './web-servers.js';

export const runSetup: Run = async (given) => {
  const options = readOptions(setupOptions, given);
  // Nobody who reads what it does may stop it halfway.
  process.stdout.on('error', () => undefined);
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

/** What the site itself needs, whatever serves it. */
function siteFiles(
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
