/** All that one site listens on, bound together and let go together. */

import type { Socket } from 'node:net';

import { BridgeError, reasonOf } from '../errors.js';
import type { Log } from '../observe/log.js';
import type { Address } from './address.js';
import { AllowFrom } from './allow-from.js';
import type { ServedSiteConfiguration } from './configuration.js';
import { bind, type Listener } from './listener.js';
import { located } from './make-site.js';

const DESCRIPTOR_0: Address = { kind: 'fd', fd: 0 };

/** Owns its sockets until `close` has resolved. */
export class SiteListeners {
  readonly #configuration: ServedSiteConfiguration;
  #listeners: Listener[] = [];

  private constructor(configuration: ServedSiteConfiguration) {
    this.#configuration = configuration;
  }

  /** Binds all of them, or none. Whoever connects waits. @throws BridgeError `ERR_LISTEN`, `ERR_USAGE` */
  static async bind(configuration: ServedSiteConfiguration, log: Log): Promise<SiteListeners> {
    const bound = new SiteListeners(configuration);
    const { listen: given, socket, allowFrom } = configuration;
    const options = {
      socket,
      allowFrom: new AllowFrom(allowFrom),
      onProblem: (why: string) => {
        log.warn({}, why);
      },
    };
    await bound.#orNone(async () => {
      const addresses = given.length > 0 ? given : [DESCRIPTOR_0];
      for (const address of addresses) bound.#listeners.push(await bind(address, options));
    });
    return bound;
  }

  /** Hands over connections, which are paused. @throws BridgeError `ERR_LISTEN`, `ERR_USAGE`; all are closed then. */
  accept(onConnection: (socket: Socket) => void): Promise<void> {
    return this.#orNone(async () => {
      for (const listener of this.#listeners) await listener.accept(onConnection);
    });
  }

  /** Where they listen, in the form of `--listen`. */
  get addresses(): readonly string[] {
    return this.#listeners.map((listener) => listener.address);
  }

  /** Accepts no more and removes the files of sockets. */
  async close(): Promise<void> {
    const listeners = this.#listeners;
    this.#listeners = [];
    await Promise.all(listeners.map((listener) => listener.close()));
  }

  async #orNone(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      await this.close();
      throw located(this.#configuration, this.#configuration.listen.length === 0 ? noSocket(error) : error);
    }
  }
}

function noSocket(error: unknown): BridgeError {
  const example = '--listen unix:/run/fcgi2cgi/sock';
  return new BridgeError(
    'ERR_USAGE',
    `nowhere to listen: without --listen it is descriptor 0, and ${reasonOf(error)}; say for example ${example}`,
    {
      cause: error,
    },
  );
}
