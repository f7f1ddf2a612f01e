/** A running bridge: the sites that it serves, from their common start to their common end. */

import { throwReasons } from '../errors.js';
import type { AccessLog } from '../observe/access-log.js';
import type { Log } from '../observe/log.js';
import type { Configuration } from './configuration.js';
import { descriptorLimit, fitConnections } from './descriptors.js';
import { ServedSite } from './served-site.js';

/** Owns its sites until `close` or `destroy` has resolved. */
export class Daemon {
  readonly #sites: readonly ServedSite[];
  readonly #stopGraceMs: number;
  readonly #log: Log;

  private constructor(sites: readonly ServedSite[], stopGraceMs: number, log: Log) {
    this.#sites = sites;
    this.#stopGraceMs = stopGraceMs;
    this.#log = log;
  }

  /**
   * Starts to serve; resolves when every listener accepts. None does before every site is known to be there.
   *
   * @throws BridgeError `ERR_START`, `ERR_MERCURIAL`, `ERR_GIT`, `ERR_LISTEN`, `ERR_USAGE`; nothing is left behind then.
   */
  static async start(configuration: Configuration, log: Log, accessLog?: AccessLog): Promise<Daemon> {
    const fitted = fitConnections(configuration.sites, descriptorLimit());
    if (fitted.warning !== undefined) log.warn({}, fitted.warning);
    const prepared = await Promise.allSettled(
      fitted.sites.map((site) => ServedSite.prepare(site, log, accessLog)),
    );
    const sites = prepared.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    try {
      throwReasons(prepared);
      for (const site of sites) await site.listen();
    } catch (error) {
      await Promise.all(sites.map((site) => site.destroy()));
      throw error;
    }
    return new Daemon(sites, configuration.stopGraceMs, log);
  }

  /** Where it listens, in the form of `--listen`. */
  get addresses(): readonly string[] {
    return this.#sites.flatMap((site) => site.addresses);
  }

  /** The sites that have names, and where each listens. */
  get named(): readonly { readonly site: string; readonly listen: readonly string[] }[] {
    return this.#sites.flatMap(({ name, addresses }) =>
      name === undefined ? [] : [{ site: name, listen: addresses }],
    );
  }

  /** Takes no new work and lets running requests end, for at most `stopGraceMs`; then destroys what is left. */
  async close(): Promise<void> {
    const grace = setTimeout(() => {
      const requests = this.#sites.reduce((sum, site) => sum + site.running, 0);
      this.#log.warn({ requests }, 'running requests took longer than --stop-grace');
      void this.destroy();
    }, this.#stopGraceMs);
    await Promise.all(this.#sites.map((site) => site.close()));
    clearTimeout(grace);
  }

  /** Ends everything now: connections are cut, processes terminated. Resolves when the last process is gone. */
  async destroy(): Promise<void> {
    await Promise.all(this.#sites.map((site) => site.destroy()));
  }
}
