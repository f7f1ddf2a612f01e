/** A running bridge: the sites that it serves, from their common start to their common end. */

import type { Socket } from 'node:net';

import type { AccessLog } from '../observe/access-log.js';
import type { Log } from '../observe/log.js';
import { Spool } from '../runners/spool.js';
import { unlessLate } from '../base/timer.js';
import { fewThreads } from '../base/threads.js';
import { type Configuration, fitConnections, type ServedSiteConfiguration } from './configuration.js';
import { descriptorLimit } from '../posix/descriptors.js';
import type { Listener } from './listening/listener.js';
import {
  closeWithout,
  destroyed,
  inOrder,
  isSame,
  oneOf,
  prepareSites,
  reachable,
  type StartHooks,
  type FittedSite,
} from './prepare-sites.js';
import { maxOfAll, ProcessTotal } from './requests/process-total.js';
import { type ServedSite, siteLog } from './served-site.js';
import { StatusCollector } from './status/collector.js';
import { Control } from './status/control.js';

/** How long `destroy` waits once everything was sent SIGKILL. */
const KILLED_MS = 20_000;

/** Owns its sites until `close` or `destroy` has resolved. */
export class Daemon {
  /** Each with what was configured, before connections were fitted to descriptors. */
  #sites: ReadonlyMap<ServedSite, ServedSiteConfiguration> = new Map();
  /** Those that another configuration has ended, and whose last requests still run. */
  readonly #leaving = new Map<ServedSite, Promise<void>>();
  #stopGraceMs: number;
  readonly #log: Log;
  readonly #accessLog: AccessLog | undefined;
  readonly #processes = new ProcessTotal();
  #collector: StatusCollector | undefined;
  #control: Control | undefined;
  #isAccepting = true;
  /** Ends the wait for what can't be ended. */
  #giveUp: () => void = () => undefined;
  readonly #givenUp = new Promise<void>((resolve) => (this.#giveUp = resolve));

  private constructor(stopGraceMs: number, log: Log, accessLog: AccessLog | undefined) {
    this.#stopGraceMs = stopGraceMs;
    this.#log = log;
    this.#accessLog = accessLog;
  }

  /**
   * Starts to serve; resolves when every listener accepts. First all addresses are bound, then all sites are made.
   *
   * @throws BridgeError `ERR_START`, `ERR_MERCURIAL`, `ERR_GIT`, `ERR_LISTEN`, `ERR_USAGE`, and what the hooks throw;
   *   nothing is left behind then.
   */
  static async start(
    configuration: Configuration,
    log: Log,
    accessLog?: AccessLog,
    hooks: StartHooks = {},
  ): Promise<Daemon> {
    const daemon = new Daemon(configuration.stopGraceMs, log, accessLog);
    const { control } = configuration;
    let bound: Control | undefined;
    try {
      await daemon.#watch(configuration);
      if (control !== undefined) bound = await Control.bind(control, log, hooks.find);
      const prepared = await daemon.#prepare(daemon.#fit(configuration), hooks);
      daemon.#sites = inOrder(prepared, configuration);
      if (daemon.#collector !== undefined) await bound?.serve(daemon.#collector);
    } catch (error) {
      await destroyed(daemon.#sites.keys());
      await bound?.close();
      throw error;
    }
    daemon.#control = bound;
    daemon.#processes.max = maxOfAll(configuration);
    daemon.#show();
    for (const site of daemon.#sites.keys()) site.serve();
    return daemon;
  }

  /**
   * Serves what another configuration says from now on; resolves to what that has changed, by the names of sites. Sites
   * that it has unchanged are left alone; listeners whose address it still has stay open, whichever site they were; other
   * sites take no new work, and end with their last request. `onReady` is called when all is ready, and may throw.
   *
   * @throws BridgeError as `start`, and what `onReady` throws; nothing has changed then.
   */
  async reconfigure(configuration: Configuration, onReady: () => void = () => undefined) {
    const running = await reachable(this.#sites);
    const wanted = this.#fit(configuration);
    const kept = wanted.flatMap((each) => {
      const [site] = running.find(([, configured]) => isSame(configured, each.configured)) ?? [];
      return site === undefined ? [] : [{ site, ...each }];
    });
    const ending = this.#all.filter((site) => !kept.some((each) => each.site === site));
    const added = wanted.filter(({ configured }) => !kept.some((each) => each.configured === configured));
    await this.#watch(configuration);
    if (this.#collector !== undefined) this.#control = await this.#control?.reachable(this.#collector);
    const started = await this.#prepare(added, { find: oneOf(ending), onReady });
    // Nothing fails from here on, and nothing is waited for.
    this.#processes.max = maxOfAll(configuration);
    for (const site of started.keys()) site.serve();
    const taken = new Set([...started.keys()].flatMap(({ listeners }) => listeners.all));
    for (const site of ending) this.#end(site, taken);
    for (const { site, fitted } of kept) site.maxConnections = fitted.maxConnections;
    const unchanged = kept.map(({ site, configured }) => [site, configured] as const);
    this.#sites = inOrder([...unchanged, ...started], configuration);
    this.#show();
    this.#stopGraceMs = configuration.stopGraceMs;
    return {
      unchanged: namesOf(kept.map(({ site }) => site)),
      started: namesOf([...started.keys()]),
      ended: namesOf(ending),
    };
  }

  /** Where it listens, in the form of `--listen`. */
  get addresses(): readonly string[] {
    return this.#all.flatMap(({ listeners }) => listeners.addresses);
  }

  get running(): number {
    return [...this.#all, ...this.#leaving.keys()].reduce((sum, site) => sum + site.running, 0);
  }

  get named(): readonly { readonly site: string; readonly listen: readonly string[] }[] {
    return this.#all.flatMap(({ name, listeners }) =>
      name === undefined ? [] : [{ site: name, listen: listeners.addresses }],
    );
  }

  get listeners(): readonly Listener[] {
    const ofSites = this.#all.flatMap(({ listeners }) => listeners.all);
    return this.#control === undefined ? ofSites : [...ofSites, this.#control.listener];
  }

  /**
   * Takes no new work and lets running requests end, however long that takes. Another process has `taken` over these
   * listeners: what has come to them is for `detach` as soon as no request runs on it.
   */
  async drain(
    taken: ReadonlySet<Listener>,
    detach: (connection: Socket, listener: Listener) => void,
  ): Promise<void> {
    this.#isAccepting = false;
    for (const listener of taken) listener.release();
    const ended = this.#all.map((site) => closeWithout(taken, site, detach));
    await Promise.all([...ended, ...this.#leaving.values()]);
    await this.#control?.close();
  }

  /** Serves as before, but says of its health that it takes no new work: nobody should send any. */
  startDraining(): void {
    this.#isAccepting = false;
  }

  /** Takes no new work and lets running requests end, for at most `stopGraceMs`; then destroys what is left. */
  async close(): Promise<void> {
    this.#isAccepting = false;
    const all = [...this.#all, ...this.#leaving.keys()];
    const grace = setTimeout(() => {
      this.#log.warn({ requests: this.running }, 'running requests took longer than --stop-grace');
      void this.destroy();
    }, this.#stopGraceMs);
    await Promise.race([Promise.all(all.map((site) => site.close())), this.#givenUp]);
    clearTimeout(grace);
    // Until then it says what is left.
    await this.#control?.close();
  }

  /** Ends everything now: connections are cut, processes terminated. Resolves when the last is gone, or can't be ended. */
  async destroy(killedMs = KILLED_MS): Promise<void> {
    this.#isAccepting = false;
    const ended = destroyed([...this.#all, ...this.#leaving.keys()]).then(() => 'ended');
    const graceMs = Math.max(0, ...[...this.#sites.values()].map((site) => site.killGraceMs));
    if ((await unlessLate(ended, graceMs + killedMs)) === undefined)
      this.#log.error(
        { requests: this.running },
        'the system does not end all processes: they are left to it',
      );
    this.#giveUp();
    await this.#control?.close();
  }

  get #all(): readonly ServedSite[] {
    return [...this.#sites.keys()];
  }

  /** Begins to count, once somebody may ask. */
  async #watch({ control, sites }: Configuration): Promise<void> {
    const isWatched = control !== undefined || sites.some(({ statusPath }) => statusPath !== undefined);
    if (isWatched) this.#collector ??= await StatusCollector.open(() => this.#isAccepting);
  }

  #fit(configuration: Configuration): readonly FittedSite[] {
    const { sites } = configuration;
    const limit = descriptorLimit();
    const { sites: fitted, maxSpools, warning } = fitConnections(sites, limit, maxOfAll(configuration));
    Spool.maxOpen = maxSpools;
    for (const why of [warning, fewThreads(sites.length)]) if (why !== undefined) this.#log.warn({}, why);
    return sites.map((configured, index) => ({ configured, fitted: fitted[index] ?? configured }));
  }

  #prepare(wanted: readonly FittedSite[], hooks: StartHooks): ReturnType<typeof prepareSites> {
    const context = {
      log: this.#log,
      accessLog: this.#accessLog,
      isAccepting: () => this.#isAccepting,
      collector: this.#collector,
      processes: this.#processes,
    };
    return prepareSites(wanted, context, hooks);
  }

  #show(): void {
    this.#collector?.watch(this.#all, [...this.#leaving.keys()]);
  }

  /** Has a site end with its last request; connections that it keeps then belong to the site that has their listener. */
  #end(site: ServedSite, taken: ReadonlySet<Listener>): void {
    const ended = closeWithout(taken, site, (connection, listener) => {
      listener.take(connection);
    });
    const reported = ended.then(() => {
      this.#leaving.delete(site);
      this.#show();
      siteLog({ name: site.name }, this.#log).info({}, 'ended: its last request has');
    });
    this.#leaving.set(site, reported);
  }
}

function namesOf(sites: readonly ServedSite[]): readonly string[] {
  return sites.map(({ name = '' }) => name);
}
