/** Gives the sockets that systemd has passed to the sites that are to listen on them. */

import { BridgeError } from '../../errors.js';
import { type Address, formatAddress } from '../address.js';
import type { ServedSiteConfiguration } from '../configuration.js';
import { located } from '../make-site.js';
import type { PassedSocket } from './environment.js';

type SystemdAddress = Extract<Address, { kind: 'systemd' }>;

/**
 * The sites with descriptors in place of `systemd` and `systemd:NAME`: of every passed socket, or of all that have the
 * name, as a unit may have several. Tells `onUnused` of a socket that nobody listens on, where whoever connects would
 * wait for ever.
 *
 * @throws BridgeError `ERR_LISTEN` where there is no such socket, or another site has it.
 */
export function withPassedSockets(
  sites: readonly ServedSiteConfiguration[],
  sockets: readonly PassedSocket[],
  onUnused: (socket: PassedSocket) => void,
): readonly ServedSiteConfiguration[] {
  const unused = new Set(sockets);
  const take = (address: SystemdAddress): readonly Address[] => {
    const { name } = address;
    const meant = sockets.filter((socket) => name === undefined || socket.name === name);
    if (meant.length === 0) throw missing(address, sockets);
    return meant.map((socket) => {
      if (!unused.delete(socket)) throw taken(address, socket);
      return { kind: 'fd', fd: socket.descriptor, passedAs: socket.name };
    });
  };
  const found = sites.map((site) => {
    try {
      const listen = site.listen.flatMap((address) =>
        address.kind === 'systemd' ? take(address) : [address],
      );
      return { ...site, listen };
    } catch (error) {
      throw located(site, error);
    }
  });
  for (const socket of unused) onUnused(socket);
  return found;
}

function missing(address: SystemdAddress, sockets: readonly PassedSocket[]): BridgeError {
  const names = [...new Set(sockets.map(({ name }) => name))].join(', ');
  const why =
    sockets.length === 0
      ? 'systemd has passed no socket to this process; a .socket unit does, and systemd-socket-activate'
      : `systemd has passed no socket of that name, but ${names}; see FileDescriptorName= in the .socket unit`;
  return new BridgeError('ERR_LISTEN', `${formatAddress(address)}: ${why}`);
}

function taken(address: SystemdAddress, { name }: PassedSocket): BridgeError {
  const why = `systemd's socket ${name} has been named before; each is listened on once`;
  return new BridgeError('ERR_LISTEN', `${formatAddress(address)}: ${why}`);
}
