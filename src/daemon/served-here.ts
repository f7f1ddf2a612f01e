/** A configuration as this process serves it: with the sockets that it was passed, and for the user who serves. */

import type { Log } from '../observe/log.js';
import type { Configuration } from './configuration.js';
import type { Identity } from './privileges.js';
import type { UnixSocketOptions } from './socket-file.js';
import type { PassedSocket } from './systemd/environment.js';
import { withPassedSockets } from './systemd/passed-sockets.js';

/**
 * Sockets that systemd has `passed` and that no site listens on are only warned of. `identity` is whom root becomes.
 *
 * @throws BridgeError as `withPassedSockets`
 */
export function servedHere(
  read: Configuration,
  passed: readonly PassedSocket[],
  identity: Identity | undefined,
  log: Log,
): Configuration {
  const sites = withPassedSockets(read.sites, passed, ({ name }) => {
    const what = `systemd's socket ${name} is listened on by nobody; say --listen systemd:${name}`;
    log.warn({}, what);
  });
  return ownedBy(identity, { ...read, sites });
}

/** Sockets that are made by root belong to whoever serves, unless somebody else was named. */
function ownedBy(identity: Identity | undefined, configuration: Configuration): Configuration {
  if (identity === undefined) return configuration;
  const owned = <T extends { readonly socket: UnixSocketOptions }>(what: T): T => {
    const { owner = String(identity.uid), group = String(identity.gid) } = what.socket;
    return { ...what, socket: { ...what.socket, owner, group } };
  };
  const { sites, control } = configuration;
  return { ...configuration, sites: sites.map(owned), control: control && owned(control) };
}
