/** Where to listen: the ADDRESS of the command line; and which hosts may connect over TCP. */

import { lookup } from 'node:dns/promises';
import { BlockList, isIP, isIPv6 } from 'node:net';
import { resolve } from 'node:path';

import { BridgeError, OptionError, reasonOf } from '../../base/errors.js';

export type Address =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  /** `passedAs` is the name of one that systemd has passed. */
  | { readonly kind: 'fd'; readonly fd: number; readonly passedAs?: string }
  /** Sockets that systemd passes: those of the name, or all. */
  | { readonly kind: 'systemd'; readonly name: string | undefined };

/** What systemd's FileDescriptorName= may be. */
const socketName = /^[^\p{Cc}:]{1,255}$/u;

/** Up to here libuv marks what a process was started with close-on-exec, whatever gaps there are. */
const MAX_FD = 15;

const forms = 'expected unix:/path, /path, HOST:PORT, [v6]:PORT, fd:N or systemd[:NAME]';

/**
 * Reads an ADDRESS; relative socket paths count from `directory`.
 *
 * @throws OptionError `ERR_USAGE`, of the option that is `named`
 */
export function parseAddress(
  text: string,
  directory = process.cwd(),
  named: { readonly option: string; readonly shown?: string } = { option: 'listen' },
): Address {
  const wrong = (why: string): OptionError =>
    new OptionError('ERR_USAGE', { ...named, value: text, why: `${why}; ${forms}` });
  if (text.startsWith('/')) return { kind: 'unix', path: text };
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    if (path === '') throw wrong('the path is missing');
    return { kind: 'unix', path: resolve(directory, path) };
  }
  if (text === 'systemd') return { kind: 'systemd', name: undefined };
  if (text.startsWith('systemd:')) {
    const name = text.slice('systemd:'.length);
    if (!socketName.test(name)) throw wrong('a socket of systemd has a name of 1 to 255 characters');
    return { kind: 'systemd', name };
  }
  const fd = /^fd:(\d+)$/.exec(text);
  if (fd !== null) {
    if (Number(fd[1]) > MAX_FD) throw wrong(`programs would inherit a descriptor above ${String(MAX_FD)}`);
    return { kind: 'fd', fd: Number(fd[1]) };
  }
  const tcp = /^(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(text);
  if (tcp === null) throw wrong('this is no address');
  const [, v6, name, digits] = tcp;
  const port = Number(digits);
  if (port > 65_535) throw wrong('a port is at most 65535');
  if (v6 !== undefined && !isIPv6(v6)) throw wrong('what stands in brackets is no IPv6 address');
  const host = v6 ?? name ?? '';
  if (host === '') throw wrong('the host is missing; 0.0.0.0 means every IPv4 address');
  return { kind: 'tcp', host, port };
}

/** An address in the form that `parseAddress` reads. */
export function formatAddress(address: Address): string {
  switch (address.kind) {
    case 'unix':
      return `unix:${address.path}`;
    case 'systemd':
      return address.name === undefined ? 'systemd' : `systemd:${address.name}`;
    case 'fd':
      if (address.passedAs !== undefined) return `systemd:${address.passedAs}`;
      return `fd:${String(address.fd)}`;
    case 'tcp':
      return isIP(address.host) === 6
        ? `[${address.host}]:${String(address.port)}`
        : `${address.host}:${String(address.port)}`;
  }
}

export function cantListen(address: Address, cause: unknown): BridgeError {
  const message = `${formatAddress(address)}: can't listen: ${reasonOf(cause)}`;
  return new BridgeError('ERR_LISTEN', message, { cause });
}

const LOOPBACK = ['127.0.0.0/8', '::1'];

/** The hosts that may connect; without any named, loopback alone. */
export class AllowFrom {
  readonly #isGiven: boolean;
  readonly #allowed = new BlockList();

  /** @throws OptionError `ERR_USAGE`, which names `source`, for anything but an address or ADDRESS/BITS. */
  constructor(entries: readonly string[], source = '--allow-from') {
    this.#isGiven = entries.length > 0;
    for (const entry of this.#isGiven ? entries : LOOPBACK) this.#add(entry, source);
  }

  allows(remoteAddress: string): boolean {
    const version = isIP(remoteAddress);
    return version !== 0 && this.#allowed.check(remoteAddress, version === 6 ? 'ipv6' : 'ipv4');
  }

  /** The IP address of a host to listen at. @throws BridgeError as `checkListening`, Error of the system */
  async hostToBind(host: string): Promise<string> {
    const { address } = await lookup(host);
    this.checkListening(address);
    return address;
  }

  /**
   * Asks whether to listen at that address makes sense: beyond loopback, only for hosts that are named.
   *
   * @throws BridgeError `ERR_LISTEN`
   */
  checkListening(address: string): void {
    if (this.#isGiven || this.allows(address)) return;
    const advice = 'name the web servers that may connect with --allow-from ADDRESS[/BITS]';
    throw new BridgeError('ERR_LISTEN', `not a loopback address; ${advice}`);
  }

  #add(entry: string, source: string): void {
    const [address = '', bits, ...rest] = entry.split('/');
    const version = isIP(address);
    const maxBits = version === 6 ? 128 : 32;
    const isPrefix = bits === undefined || (/^\d+$/.test(bits) && Number(bits) <= maxBits);
    if (version === 0 || !isPrefix || rest.length > 0) {
      const why = 'expected an IP address or ADDRESS/BITS, as in 192.0.2.0/24';
      throw new OptionError('ERR_USAGE', { option: 'allow-from', value: entry, why, shown: source });
    }
    this.#allowed.addSubnet(
      address,
      bits === undefined ? maxBits : Number(bits),
      version === 6 ? 'ipv6' : 'ipv4',
    );
  }
}
