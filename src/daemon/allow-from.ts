/** Which hosts may connect over TCP. */

import { BlockList, isIP } from 'node:net';

import { BridgeError, OptionError } from '../errors.js';

const LOOPBACK = ['127.0.0.0/8', '::1'];

/** The hosts that may connect; without any named, loopback alone. */
export class AllowFrom {
  /** Whether the administrator has named hosts. */
  readonly #isGiven: boolean;
  readonly #allowed = new BlockList();

  /** @throws OptionError `ERR_USAGE`, which names `source`, for what is no address and no ADDRESS/BITS. */
  constructor(entries: readonly string[], source = '--allow-from') {
    this.#isGiven = entries.length > 0;
    for (const entry of this.#isGiven ? entries : LOOPBACK) this.#add(entry, source);
  }

  /** Whether a host of that address may connect; what is no address may not. */
  allows(remoteAddress: string): boolean {
    const version = isIP(remoteAddress);
    return version !== 0 && this.#allowed.check(remoteAddress, version === 6 ? 'ipv6' : 'ipv4');
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
    const [address = '', bits] = entry.split('/');
    const version = isIP(address);
    const maxBits = version === 6 ? 128 : 32;
    const isPrefix = bits === undefined || (/^\d+$/.test(bits) && Number(bits) <= maxBits);
    if (version === 0 || !isPrefix) {
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
