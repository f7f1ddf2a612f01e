/** One listening socket, whatever it is, and who may connect to it. */

import { lookup } from 'node:dns/promises';
import { fstatSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';

import { BridgeError, reasonOf } from '../errors.js';
import { type Address, formatAddress } from './address.js';
import type { AllowFrom } from './allow-from.js';
import { bindUnixSocket, type UnixSocketOptions } from './unix-socket.js';

export interface ListenerOptions {
  readonly socket: UnixSocketOptions;
  readonly allowFrom: AllowFrom;
  readonly onConnection: (socket: Socket) => void;
  /** Told of connections that are closed on whoever made them, and why. */
  readonly onRefused: (why: string) => void;
}

/** A socket that accepts connections until it is closed. */
export interface Listener {
  /** Where it listens, in the form of `--listen`, with the port that the system chose. */
  readonly address: string;
  /** Accepts no more and removes the socket's file; connections go on. */
  close(): Promise<void>;
}

/** A request's last records are small and must not wait for an acknowledgement; a host that crashed must be noticed. */
const socketOptions = { allowHalfOpen: true, noDelay: true, keepAlive: true };

/** Starts to listen. @throws BridgeError `ERR_LISTEN` */
export async function listen(address: Address, options: ListenerOptions): Promise<Listener> {
  let isTcp = address.kind !== 'unix';
  const server = createServer(socketOptions, (socket) => {
    // Who has reset the connection by now has no address any more, but what was sent could still be read.
    const { remoteAddress = '' } = socket;
    if (isTcp && !options.allowFrom.allows(remoteAddress)) {
      options.onRefused(
        `connection from ${remoteAddress || 'a host that has left'}, which --allow-from does not name`,
      );
      socket.destroy();
      return;
    }
    options.onConnection(socket);
  });
  const removeFile = await bind(server, address, options);
  server.on('error', (error) => {
    options.onRefused(`accept failed: ${error.message}`);
  });
  const bound = server.address();
  isTcp = bound !== null && typeof bound === 'object';
  return {
    address:
      address.kind === 'tcp' && bound !== null && typeof bound === 'object'
        ? formatAddress({ kind: 'tcp', host: bound.address, port: bound.port })
        : formatAddress(address),
    close: async () => {
      // The callback of close would wait for the connections; the listening itself ends now.
      server.close();
      await removeFile();
    },
  };
}

const nothingToRemove = (): Promise<void> => Promise.resolve();

async function bind(
  server: Server,
  address: Address,
  options: ListenerOptions,
): Promise<() => Promise<void>> {
  if (address.kind === 'unix') return bindUnixSocket(server, address.path, options.socket);
  try {
    if (address.kind === 'fd') {
      if (!fstatSync(address.fd).isSocket()) throw new Error('the descriptor is no socket');
      await listening(server, { fd: address.fd });
      // Only now is it known what it is.
      const bound = server.address();
      if (bound !== null && typeof bound === 'object') options.allowFrom.checkListening(bound.address);
    } else {
      const { address: host } = await lookup(address.host);
      options.allowFrom.checkListening(host);
      await listening(server, { host, port: address.port, ipv6Only: true });
    }
  } catch (error) {
    server.close();
    throw new BridgeError('ERR_LISTEN', `${formatAddress(address)}: can't listen: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  return nothingToRemove;
}

function listening(
  server: Server,
  where: { fd: number } | { host: string; port: number; ipv6Only: boolean },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
