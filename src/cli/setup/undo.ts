/** `fcgi2cgi setup --undo`: takes a site back, and tells the daemon and the web server. */

import { existsSync, readFileSync } from 'node:fs';

import { BridgeError } from '../../base/errors.js';
import { sectionsOf } from './block.js';
import type { Journal } from './journal.js';
import { execute, faultIn, run, tell } from './machine.js';
import { CONFIGURATION, services, type ServiceSystem } from './service.js';
import { webServers } from './web-servers.js';

const isOfService = (path: string): boolean =>
  /^\/etc\/(?:init\.d|default|conf\.d|logrotate\.d|systemd)\/|^\/var\/log\//.test(path);

/** @throws BridgeError where what stays would have a fault */
export function undo(
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
  const told = Object.values(webServers).filter(({ service, program }) => {
    const isOfWebServer = (path: string): boolean =>
      path.startsWith(`/etc/${service}/`) && path.includes(`fcgi2cgi-${host}`);
    return existsSync(program) && journal.has(host, isOfWebServer);
  });
  // Stopping what does not run is no failure.
  if (isLast)
    for (const each of stop)
      if (isDry || execute(isRunning).status === 0 || each !== stop[0]) run(each, isDry);
  journal.undo(host, (path) => hasOthers && isOfService(path));
  const fault = isDry || isLast || !existsSync(CONFIGURATION) ? undefined : faultIn(CONFIGURATION);
  if (isLast) for (const each of gone) run(each, isDry);
  else if (fault === undefined && (isDry || execute(isRunning).status === 0)) run(reload, isDry);
  for (const { service, check } of told) {
    run(check, isDry);
    if (isDry || execute(other(service).isRunning).status === 0) run(other(service).reload, isDry);
  }
  if (fault !== undefined)
    throw new BridgeError('ERR_START', `setup: ${fault}; mend that: the daemon would not start`);
}
