/**
 * Makes several sites together, or none: first all addresses are bound, then all that they need is made. SIGHUP does so with
 * what has changed in the configuration.
 */

import type { Socket } from 'node:net';
import { isDeepStrictEqual } from 'node:util';

import { throwReasons } from '../base/errors.js';
import type { Configuration, ServedSiteConfiguration } from './configuration.js';
import type { Daemon } from './daemon.js';
import type { Address } from './listening/address.js';
import type { Listener } from './listening/listener.js';
import { type FindListener, SiteListeners } from './listening/site-listeners.js';
import type { Logs } from './process/logs.js';
import { ServedSite, siteLog, type DaemonContext } from './served-site.js';

/** A site as it was configured, and with as many connections as the descriptors allow. */
export interface FittedSite {
  readonly configured: ServedSiteConfiguration;
  readonly fitted: ServedSiteConfiguration;
}

/** What is to happen on the way to serving. */
export interface StartHooks {
  /** Knows listeners that there are already, of a process whose place this one takes. */
  readonly find?: FindListener;
  /** When all is ready, before anybody is answered; nothing fails after it. */
  readonly onReady?: () => Promise<void> | void;
}

/**
 * Resolves to sites that only have to be told to serve, each with what was configured; web servers that connect wait still.
 *
 * @throws BridgeError as `SiteListeners.bind` and `ServedSite.prepare`, and what the hooks throw; nothing is left behind
 *   then.
 */
export async function prepareSites(
  wanted: readonly FittedSite[],
  daemon: DaemonContext,
  { find, onReady }: StartHooks,
): Promise<ReadonlyMap<ServedSite, ServedSiteConfiguration>> {
  const bound: (FittedSite & { readonly listeners: SiteListeners })[] = [];
  const sites = new Map<ServedSite, ServedSiteConfiguration>();
  try {
    for (const each of wanted) {
      const log = siteLog(each.fitted, daemon.log);
      bound.push({ ...each, listeners: await SiteListeners.bind(each.fitted, log, find) });
    }
    const prepared = await Promise.allSettled(
      bound.map(async ({ configured, fitted, listeners }) => {
        const site = await ServedSite.prepare(fitted, listeners, daemon);
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

/** Closes a site; the listeners that others have `taken` stay open, and what has come to them is for `detach`. */
export function closeWithout(
  taken: ReadonlySet<Listener>,
  site: ServedSite,
  detach: (connection: Socket, listener: Listener) => void,
): Promise<void> {
  site.listeners.release(taken);
  return site.close((listener) =>
    taken.has(listener)
      ? (connection) => {
          detach(connection, listener);
        }
      : undefined,
  );
}

/** Sites in the order in which they were configured, whichever was there first. */
export function inOrder(
  sites: Iterable<readonly [ServedSite, ServedSiteConfiguration]>,
  { sites: all }: Configuration,
): ReadonlyMap<ServedSite, ServedSiteConfiguration> {
  return new Map([...sites].sort(([, one], [, other]) => all.indexOf(one) - all.indexOf(other)));
}

/** The sites that who connects to their addresses reaches. */
export async function reachable<T>(
  sites: Iterable<readonly [ServedSite, T]>,
): Promise<readonly (readonly [ServedSite, T])[]> {
  const asked = [...sites].map(async (each) => ((await each[0].listeners.areThere()) ? [each] : []));
  return (await Promise.all(asked)).flat();
}

/** Finds a listener of these sites, each but once, unless nobody reaches it any more. */
export function oneOf(sites: readonly ServedSite[]): FindListener {
  const open = new Set(sites.flatMap(({ listeners }) => listeners.all));
  return async (address: Address) => {
    const found = [...open].find((listener) => listener.isAt(address));
    if (found === undefined || !(await found.isThere())) return undefined;
    open.delete(found);
    return found;
  };
}

/** Whether two sites are the same, wherever in its file each is described. */
export function isSame(one: ServedSiteConfiguration, other: ServedSiteConfiguration): boolean {
  return isDeepStrictEqual({ ...one, locate: undefined }, { ...other, locate: undefined });
}

/** What only a new process can change. */
const fixed = ['pidFile', 'background', 'user', 'group', 'chdir', 'umask', 'control'] as const;

/**
 * Has `daemon` serve what `read` returns in place of `running`; where that can't be, all stays as it is, and the log has
 * every mistake. Resolves to what is served then; never rejects.
 */
export async function reload(
  daemon: Daemon,
  logs: Logs,
  running: Configuration,
  read: () => Configuration,
): Promise<Configuration> {
  const { log } = logs;
  try {
    const next = read();
    const changes = await daemon.reconfigure(next, () => {
      logs.change(next);
    });
    const waiting = fixed.filter((name) => !isDeepStrictEqual(next[name], running[name]));
    if (waiting.length > 0) log.warn({ options: waiting }, 'these wait for the next start');
    log.info(changes, 'configuration read again');
    return {
      ...next,
      ...(Object.fromEntries(fixed.map((name) => [name, running[name]])) as Partial<Configuration>),
    };
  } catch (error) {
    logs.report(error);
    log.error({}, 'the configuration stays as it was');
    return running;
  }
}
