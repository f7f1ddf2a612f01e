/** One listening socket, whatever it is, and who may connect to it: bound first, read from only when all is ready. */

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
  /** Told of connections that are closed on whoever made them, and why; and of a file that could not be removed. */
  readonly onProblem: (why: string) => void;
}

/** A socket that is bound: whoever connects waits, and nothing of what it sends is read, until `accept`. */
export interface Listener {
  /** Where it listens, in the form of `--listen`, with the port that the system chose. */
  readonly address: string;
  /**
   * Hands over connections, those that wait and those that come. They are paused.
   *
   * @throws BridgeError `ERR_LISTEN` where an inherited descriptor can't be listened on.
   */
  accept(onConnection: (socket: Socket) => void): Promise<void>;
  /** Accepts no more and removes the socket's file; connections go on. */
  close(): Promise<void>;
}

/**
 * A request's last records are small and must not wait for an acknowledgement; a host that crashed must be noticed.
 * Node reads from a connection as soon as it has accepted it, unless it is told not to.
 */
const socketOptions = { allowHalfOpen: true, noDelay: true, keepAlive: true, pauseOnConnect: true };

/** Connections that wait until we accept; further ones are closed. */
const MAX_WAITING = 256;

/**
 * Binds a socket. An inherited one, which somebody else may accept on as well, is left alone until `accept`.
 *
 * @throws BridgeError `ERR_LISTEN`
 */
export async function bind(address: Address, options: ListenerOptions): Promise<Listener> {
  const waiting: Socket[] = [];
  let isTcp = address.kind !== 'unix';
  let take = (socket: Socket): void => {
    // Nobody reads from it yet, but its peer may leave.
    socket.on('error', () => undefined);
    if (waiting.length >= MAX_WAITING) socket.destroy();
    else waiting.push(socket);
  };
  const server = createServer(socketOptions, (socket) => {
    // Who has reset the connection by now has no address any more, but what was sent could still be read.
    const { remoteAddress = '' } = socket;
    if (isTcp && !options.allowFrom.allows(remoteAddress)) {
      options.onProblem(
        `connection from ${remoteAddress || 'a host that has left'}, which --allow-from does not name`,
      );
      socket.destroy();
      return;
    }
    take(socket);
  });
  const removeFile = await bindServer(server, address, options);
  const onError = (error: Error): void => {
    options.onProblem(`accept failed: ${error.message}`);
  };
  if (address.kind !== 'fd') server.on('error', onError);
  const bound = server.address();
  return {
    address:
      address.kind === 'tcp' && bound !== null && typeof bound === 'object'
        ? formatAddress({ kind: 'tcp', host: bound.address, port: bound.port })
        : formatAddress(address),
    accept: async (onConnection) => {
      take = onConnection;
      if (address.kind === 'fd') {
        isTcp = await listenOn(server, address, options);
        server.on('error', onError);
      }
      for (const socket of waiting.splice(0)) onConnection(socket);
    },
    close: async () => {
      // The callback of close would wait for the connections; the listening itself ends now.
      server.close();
      for (const socket of waiting.splice(0)) socket.destroy();
      await removeFile();
    },
  };
}

const nothingToRemove = (): Promise<void> => Promise.resolve();

async function bindServer(
  server: Server,
  address: Address,
  options: ListenerOptions,
): Promise<() => Promise<void>> {
  if (address.kind === 'unix') return bindUnixSocket(server, address.path, options);
  try {
    if (address.kind === 'fd') {
      if (!fstatSync(address.fd).isSocket()) throw new Error('the descriptor is no socket');
    } else if (address.kind === 'systemd') {
      throw new Error('nobody has taken the sockets that systemd has passed');
    } else {
      const { address: host } = await lookup(address.host);
      options.allowFrom.checkListening(host);
      await listening(server, { host, port: address.port, ipv6Only: true });
    }
  } catch (error) {
    throw cannotListen(server, address, error);
  }
  return nothingToRemove;
}

/** Listens on an inherited descriptor; says whether it is one of TCP, which only shows now. */
async function listenOn(
  server: Server,
  address: Extract<Address, { kind: 'fd' }>,
  { allowFrom }: ListenerOptions,
): Promise<boolean> {
  try {
    await listening(server, { fd: address.fd });
    const bound = server.address();
    if (bound === null || typeof bound !== 'object') return false;
    allowFrom.checkListening(bound.address);
    return true;
  } catch (error) {
    throw cannotListen(server, address, error);
  }
}

function cannotListen(server: Server, address: Address, cause: unknown): BridgeError {
  server.close();
  const message = `${formatAddress(address)}: can't listen: ${reasonOf(cause)}`;
  return new BridgeError('ERR_LISTEN', message, { cause });
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
