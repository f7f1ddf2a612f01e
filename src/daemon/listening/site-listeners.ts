/** All that one site listens on, bound together and let go together. */

import { BridgeError, reasonOf } from '../../base/errors.js';
import { type Log, RepeatedEvents } from '../../observe/log.js';
import { type Address, AllowFrom } from './address.js';
import { located, type ServedSiteConfiguration } from '../configuration.js';
import { Listener, type ListenerOptions, type OnConnection } from './listener.js';

const DESCRIPTOR_0: Address = { kind: 'fd', fd: 0 };

/** The listener that there is already at an address, if there is one. */
export type FindListener = (
  address: Address,
  options: ListenerOptions,
) => Listener | undefined | Promise<Listener | undefined>;

/** Owns its sockets until `close` has resolved, except for those that another site has taken over. */
export class SiteListeners {
  readonly #configuration: ServedSiteConfiguration;
  readonly #options: ListenerOptions;
  readonly #strangers: RepeatedEvents;
  #listeners: Listener[] = [];
  #closed: Promise<unknown> = Promise.resolve();
  /** What undoes the changes of those that are another site's until `accept`. */
  readonly #claims = new Map<Listener, () => Promise<void>>();

  private constructor(configuration: ServedSiteConfiguration, log: Log) {
    this.#configuration = configuration;
    this.#strangers = new RepeatedEvents(log);
    this.#options = {
      socket: configuration.socket,
      backlog: configuration.backlog,
      allowFrom: new AllowFrom(configuration.allowFrom),
      onProblem: (why: string) => {
        log.warn({}, why);
      },
      onStranger: (why) => {
        this.#strangers.log('stranger', 'warn', () => ({}), why);
      },
    };
  }

  /**
   * Binds all of them, or none; web servers that connect wait. One that `find` finds is taken as it is, although it is somebody
   * else's: its connections go where they went, until `accept`.
   *
   * @throws BridgeError `ERR_LISTEN`, `ERR_USAGE`
   */
  static async bind(
    configuration: ServedSiteConfiguration,
    log: Log,
    find: FindListener = () => undefined,
  ): Promise<SiteListeners> {
    const bound = new SiteListeners(configuration, log);
    const { listen: given } = configuration;
    await bound.#allOrNone(async () => {
      for (const address of given.length > 0 ? given : [DESCRIPTOR_0]) await bound.#bind(address, find);
    });
    return bound;
  }

  /** Makes sure that they listen. @throws BridgeError `ERR_LISTEN`, `ERR_USAGE`; all are closed then. */
  ready(): Promise<void> {
    return this.#allOrNone(async () => {
      for (const listener of this.#listeners) await listener.ready();
    });
  }

  accept(onConnection: OnConnection): void {
    this.#claims.clear();
    for (const listener of this.#listeners) listener.accept(onConnection, this.#options);
  }

  /**
   * Lets who connects wait in the system's queue until `resume`, and says whether that can be done: not without koffi. Where one
   * listener can't be held, none is.
   */
  hold(): boolean {
    const isHeld = this.#listeners.every((listener) => listener.server.hold());
    if (!isHeld) this.resume();
    return isHeld;
  }

  resume(): void {
    for (const listener of this.#listeners) listener.server.resume();
  }

  get all(): readonly Listener[] {
    return this.#listeners;
  }

  /** Whether who connects to their addresses reaches them. */
  async areThere(): Promise<boolean> {
    const found = await Promise.all(this.#listeners.map((listener) => listener.isThere()));
    return !found.includes(false);
  }

  get addresses(): readonly string[] {
    return this.#listeners.map((listener) => listener.address);
  }

  /** Has no more to do with these. */
  release(listeners: ReadonlySet<Listener>): void {
    this.#listeners = this.#listeners.filter((listener) => !listeners.has(listener));
  }

  /**
   * Accepts no more and removes the files of sockets; those of another site's that it has not taken yet stay open. Who closes
   * them once more waits for the same.
   */
  async close(): Promise<void> {
    const closing = this.#listeners.map((listener) => this.#claims.get(listener)?.() ?? listener.close());
    this.#listeners = [];
    this.#strangers.close();
    this.#closed = Promise.all([this.#closed, ...closing]);
    await this.#closed;
  }

  async #bind(address: Address, find: FindListener): Promise<void> {
    const listener = await find(address, this.#options);
    if (listener === undefined) {
      this.#listeners.push(await Listener.bind(address, this.#options));
      return;
    }
    this.#claims.set(listener, await listener.change(this.#options));
    this.#listeners.push(listener);
  }

  async #allOrNone(action: () => Promise<void>): Promise<void> {
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
