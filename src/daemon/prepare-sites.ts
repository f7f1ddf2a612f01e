/** Makes several sites together, or none: first all addresses are bound, then all that they need is made. */

import { throwReasons } from '../errors.js';
import type { AccessLog } from '../observe/access-log.js';
import type { Log } from '../observe/log.js';
import type { ServedSiteConfiguration } from './configuration.js';
import { ServedSite, siteLog, type Watch } from './served-site.js';
import { type FindListener, SiteListeners } from './site-listeners.js';

/** A site as it was configured, and with as many connections as the descriptors allow. */
export interface Wanted {
  readonly configured: ServedSiteConfiguration;
  readonly fitted: ServedSiteConfiguration;
}

/** What is to happen on the way to serving. */
export interface StartHooks {
  /** Knows listeners that there are already, of a process whose place this one takes. */
  readonly find?: FindListener;
  /** When all addresses are bound, before anything is read from the network or started. */
  readonly onBound?: () => void;
  /** When all is ready, before anybody is answered; nothing fails after it. */
  readonly onReady?: () => Promise<void> | void;
}

/** What all sites of a daemon have in common. */
export interface Common {
  readonly daemonLog: Log;
  readonly accessLog: AccessLog | undefined;
  readonly watch: Watch;
}

/**
 * Resolves to sites that only have to be told to serve, each with what was configured; whoever connects waits still.
 *
 * @throws BridgeError as `SiteListeners.bind` and `ServedSite.prepare`, and what the hooks throw; nothing is left behind
 *   then, unless `onBound` has given up the right to remove it.
 */
export async function prepareSites(
  wanted: readonly Wanted[],
  { daemonLog, accessLog, watch }: Common,
  { find, onBound, onReady }: StartHooks,
): Promise<ReadonlyMap<ServedSite, ServedSiteConfiguration>> {
  const bound: (Wanted & { readonly listeners: SiteListeners })[] = [];
  const sites = new Map<ServedSite, ServedSiteConfiguration>();
  try {
    for (const each of wanted) {
      const log = siteLog(each.fitted, daemonLog);
      bound.push({ ...each, listeners: await SiteListeners.bind(each.fitted, log, find) });
    }
    onBound?.();
    const prepared = await Promise.allSettled(
      bound.map(async ({ configured, fitted, listeners }) => {
        const site = await ServedSite.prepare(fitted, listeners, daemonLog, accessLog, watch);
        sites.set(site, configured);
      }),
    );
    throwReasons(prepared);
    for (const { listeners } of bound) await listeners.ready();
    await onReady?.();
  } catch (error) {
    await Promise.all(bound.map(({ listeners }) => listeners.close()));
    await destroyed(sites.keys());
    throw error;
  }
  return sites;
}

/** Ends these sites now; resolves when the last process is gone. */
export async function destroyed(sites: Iterable<ServedSite>): Promise<void> {
  await Promise.all([...sites].map((site) => site.destroy()));
}
