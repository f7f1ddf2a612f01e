/** Connects to a FastCGI application, or says why that can't be done and whose turn it is. */

import { lstatSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';

import { type Address, formatAddress } from '../../daemon/address.js';
import { reasonOf, systemCodeOf } from '../../errors.js';
import type { Verdict } from './verdict.js';

/** Why a connection was given up: nothing came and went on it any more. */
export class Silence extends Error {
  constructor() {
    super('nothing came for --timeout: the application hangs, or needs longer');
    this.name = 'Silence';
  }
}

/** A connection, or the verdict. The caller closes the socket. */
export function connectTo(
  address: Exclude<Address, { kind: 'fd' | 'systemd' }>,
  timeoutMs: number,
): Promise<Socket | Verdict> {
  const socket =
    address.kind === 'unix'
      ? createConnection(address.path)
      : createConnection({ host: address.host, port: address.port, noDelay: true });
  return new Promise((resolve) => {
    const timer = timeoutMs === 0 ? undefined : setTimeout(giveUp, timeoutMs);
    function giveUp(): void {
      socket.destroy();
      const why = `${formatAddress(address)}: nobody accepted the connection within --timeout: is the application overloaded?`;
      resolve({ kind: 'timeout', why });
    }
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.setTimeout(timeoutMs, () => {
        // Where we read no further, the silence is ours.
        if (!socket.isPaused()) socket.destroy(new Silence());
      });
      resolve(socket);
    });
    socket.on('error', (error) => {
      clearTimeout(timer);
      resolve({ kind: 'unreachable', why: `${formatAddress(address)}: ${whyNot(address, error)}` });
    });
  });
}

function whyNot(address: Address, error: Error): string {
  switch (systemCodeOf(error)) {
    case 'ENOENT':
      return 'there is no such socket: is the application running, and does it listen there?';
    case 'ECONNREFUSED':
      return isOtherFile(address)
        ? 'the file there is no socket'
        : 'nothing listens there: is the application running?';
    case 'EACCES':
      return 'no permission to connect: try as the web server’s user, and look at the permissions of the socket and of the directories above it';
    case 'EAGAIN':
      return 'its queue of connections is full: is the application overloaded, or does it hang?';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'there is no host of that name';
    default:
      return `can't connect: ${reasonOf(error)}`;
  }
}

function isOtherFile(address: Address): boolean {
  return address.kind === 'unix' && lstatSync(address.path, { throwIfNoEntry: false })?.isFile() === true;
}
