/** A running bridge: the sites that it serves, from their common start to their common end. */

import { throwReasons } from '../errors.js';
import type { AccessLog } from '../observe/access-log.js';
import type { Log } from '../observe/log.js';
import type { Configuration, ServedSiteConfiguration } from './configuration.js';
import { descriptorLimit, fitConnections } from './descriptors.js';
import { ServedSite, siteLog } from './served-site.js';
import { SiteListeners } from './site-listeners.js';
import { StatusCollector } from './status/collector.js';
import { Control } from './status/control.js';

/** Where a daemon is between its start and its end. */
interface Life {
  /** Whether it takes new work. */
  isAccepting: boolean;
}

/** Owns its sites until `close` or `destroy` has resolved. */
export class Daemon {
  readonly #sites: readonly ServedSite[];
  readonly #stopGraceMs: number;
  readonly #log: Log;
  readonly #control: Control | undefined;
  readonly #life: Life;

  private constructor(
    sites: readonly ServedSite[],
    { stopGraceMs }: Configuration,
    log: Log,
    control: Control | undefined,
    life: Life,
  ) {
    this.#sites = sites;
    this.#stopGraceMs = stopGraceMs;
    this.#log = log;
    this.#control = control;
    this.#life = life;
  }

  /**
   * Starts to serve; resolves when every listener accepts. First all addresses are bound: then `onBound` is called, and
   * only then is anything read from the network, or started. Nobody is answered before every site is known to be there.
   *
   * @throws BridgeError `ERR_START`, `ERR_MERCURIAL`, `ERR_GIT`, `ERR_LISTEN`, `ERR_USAGE`; nothing is left behind then,
   *   unless `onBound` has given up the right to remove it.
   */
  static async start(
    configuration: Configuration,
    log: Log,
    accessLog?: AccessLog,
    onBound: () => void = () => undefined,
  ): Promise<Daemon> {
    const fitted = fitConnections(configuration.sites, descriptorLimit());
    if (fitted.warning !== undefined) log.warn({}, fitted.warning);
    const life: Life = { isAccepting: true };
    const isAccepting = (): boolean => life.isAccepting;
    const isWatched =
      configuration.control ?? fitted.sites.find(({ statusPath }) => statusPath !== undefined);
    const collector = isWatched === undefined ? undefined : await StatusCollector.open(isAccepting);
    const bound: { configuration: ServedSiteConfiguration; listeners: SiteListeners }[] = [];
    let sites: readonly ServedSite[] = [];
    let control: Control | undefined;
    try {
      for (const site of fitted.sites) {
        bound.push({ configuration: site, listeners: await SiteListeners.bind(site, siteLog(site, log)) });
      }
      if (configuration.control !== undefined) control = await Control.bind(configuration.control, log);
      onBound();
      const prepared = await Promise.allSettled(
        bound.map((site) =>
          ServedSite.prepare(site.configuration, site.listeners, log, accessLog, { isAccepting, collector }),
        ),
      );
      sites = prepared.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
      throwReasons(prepared);
      collector?.watch(sites);
      if (collector !== undefined) await control?.serve(collector);
      for (const site of sites) await site.serve();
    } catch (error) {
      await Promise.all(bound.map(({ listeners }) => listeners.close()));
      await Promise.all(sites.map((site) => site.destroy()));
      await control?.close();
      throw error;
    }
    return new Daemon(sites, configuration, log, control, life);
  }

  /** Where it listens, in the form of `--listen`. */
  get addresses(): readonly string[] {
    return this.#sites.flatMap((site) => site.addresses);
  }

  /** Requests that are being answered. */
  get running(): number {
    return this.#sites.reduce((sum, site) => sum + site.running, 0);
  }

  /** The sites that have names, and where each listens. */
  get named(): readonly { readonly site: string; readonly listen: readonly string[] }[] {
    return this.#sites.flatMap(({ name, addresses }) =>
      name === undefined ? [] : [{ site: name, listen: addresses }],
    );
  }

  /** Takes no new work and lets running requests end, for at most `stopGraceMs`; then destroys what is left. */
  async close(): Promise<void> {
    this.#life.isAccepting = false;
    const grace = setTimeout(() => {
      this.#log.warn({ requests: this.running }, 'running requests took longer than --stop-grace');
      void this.destroy();
    }, this.#stopGraceMs);
    await Promise.all(this.#sites.map((site) => site.close()));
    clearTimeout(grace);
    // Until then it says what is left.
    await this.#control?.close();
  }

  /** Ends everything now: connections are cut, processes terminated. Resolves when the last process is gone. */
  async destroy(): Promise<void> {
    this.#life.isAccepting = false;
    await Promise.all(this.#sites.map((site) => site.destroy()));
    await this.#control?.close();
  }
}
