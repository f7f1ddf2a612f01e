/** A site that is served: its listeners, connections and requests, from the first to the last. */

import { ByteBudget } from '../base/bytes.js';
import type { Access, AccessLog } from '../observe/access-log.js';
import { type Log, withFields } from '../observe/log.js';
import type { RequestStatus, SiteStatus } from '../observe/status/status.js';
import { endAtOnce, hasUnread } from '../posix/descriptors.js';
import type { Runner } from '../runners/runner.js';
import type { Site } from '../sites/site.js';
import { Admission, type AdmissionOptions } from './requests/admission.js';
import type { ServedSiteConfiguration } from './configuration.js';
import { Connections, type ReceiverOf } from './connections.js';
import { makeRunner } from './make-runner.js';
import { makeSite } from './make-site.js';
import type { ProcessTotal } from './requests/process-total.js';
import { Handler } from './requests/handler.js';
import type { SiteListeners } from './listening/site-listeners.js';
import type { SiteTally, StatusCollector } from './status/collector.js';
import { ownPage } from './status/pages.js';

/** What a site is told of the daemon that it is part of, and tells it. */
export interface DaemonContext {
  readonly log: Log;
  readonly accessLog: AccessLog | undefined;
  readonly isAccepting: () => boolean;
  /** Undefined where nobody may ask for its status. */
  readonly collector: StatusCollector | undefined;
  readonly processes: ProcessTotal;
}

const nobody: ReceiverOf = () => undefined;

/** Owns its listeners, connections and processes until `close` or `destroy` has resolved. */
export class ServedSite {
  readonly #configuration: ServedSiteConfiguration;
  readonly #runner: Runner;
  readonly #handler: Handler;
  readonly #admission: Admission;
  readonly #connections: Connections;
  readonly #listeners: SiteListeners;
  readonly #tally: SiteTally | undefined;

  private constructor(
    configuration: ServedSiteConfiguration,
    listeners: SiteListeners,
    site: Site,
    runner: Runner,
    { log: daemonLog, accessLog, isAccepting, collector, processes }: DaemonContext,
  ) {
    const log = siteLog(configuration, daemonLog);
    this.#configuration = configuration;
    this.#listeners = listeners;
    this.#runner = runner;
    const limits = admissionOf(configuration);
    // Workers run all the time.
    this.#admission = new Admission(limits, configuration.site.kind === 'worker' ? undefined : processes);
    this.#tally = collector?.tally(this.shownName);
    const { maxConnections: max, maxRequestsPerConnection: maxRequests, idleTimeoutMs } = configuration;
    this.#handler = new Handler({
      name: configuration.name,
      site,
      runner,
      admission: this.#admission,
      body: {
        bufferBytes: configuration.stdinBufferBytes,
        maxSpoolBytes: configuration.maxSpoolBytes,
        spoolBudget: new ByteBudget(configuration.maxSpoolTotalBytes),
        idleTimeoutMs,
      },
      lookUpTimeoutMs: configuration.lookUpTimeoutMs,
      log,
      accessLog,
      ownPage: ownPage(configuration, isAccepting, collector),
      tally: this.#tally,
    });
    const options = {
      maxParamsBytes: configuration.maxParamsBytes,
      paramsBudget: new ByteBudget(configuration.maxParamsTotalBytes),
      maxRequests,
      idleTimeoutMs,
      values: {
        FCGI_MAX_CONNS: String(max),
        // HAProxy, the one that asks, takes it for what a single connection may carry.
        FCGI_MAX_REQS: String(Math.min(maxRequests, limits.maxProcesses + limits.maxQueue)),
        FCGI_MPXS_CONNS: '1',
      },
      endAtOnce,
      hasUnread,
    };
    this.#connections = new Connections({ max, options, handler: this.#handler, listeners, log });
  }

  /**
   * Makes all that the site needs; web servers that connect wait still. The listeners are its own from then on.
   *
   * @throws BridgeError `ERR_START`, `ERR_MERCURIAL`, `ERR_USAGE`
   */
  static async prepare(
    configuration: ServedSiteConfiguration,
    listeners: SiteListeners,
    daemon: DaemonContext,
  ): Promise<ServedSite> {
    const site = await makeSite(configuration);
    const runner = await makeRunner(configuration, siteLog(configuration, daemon.log));
    return new ServedSite(configuration, listeners, site, runner, daemon);
  }

  /** Starts to serve, once its listeners are ready. */
  serve(): void {
    this.#listeners.accept(this.#connections.accept);
  }

  get name(): string | undefined {
    return this.#configuration.name;
  }

  get listeners(): SiteListeners {
    return this.#listeners;
  }

  /** As many connections as it may have from now on, whatever was configured. */
  set maxConnections(count: number) {
    this.#connections.max = count;
  }

  /** Where a daemon has but one site, it needs no name of its own. */
  get shownName(): string {
    const { name, site } = this.#configuration;
    return name ?? site.kind;
  }

  get status(): Omit<SiteStatus, 'name' | 'counts'> {
    const { site } = this.#configuration;
    const { maxProcesses, maxQueue } = admissionOf(this.#configuration);
    const { processesStarted, warm, workers } = this.#runner.status();
    return {
      kind: site.kind,
      listen: this.#listeners.addresses,
      connections: this.#connections.count,
      maxConnections: this.#connections.max,
      slots: this.#admission.running,
      maxSlots: maxProcesses,
      queue: this.#admission.waiting,
      maxQueue,
      processesStarted,
      activity: this.#tally?.activity,
      warm,
      workers,
    };
  }

  get requests(): readonly RequestStatus[] {
    return this.#handler.active.statuses(this.shownName);
  }

  cancel(id: string): Promise<Access> | undefined {
    return this.#handler.active.cancel(id);
  }

  get running(): number {
    return this.#handler.active.size;
  }

  /**
   * Takes no new work and lets running requests end, however long that takes; a connection that has a receiver goes there as
   * soon as none runs on it. May be called again, with other receivers.
   */
  async close(receiverOf: ReceiverOf = nobody): Promise<void> {
    await this.#listeners.close();
    await this.#connections.close(receiverOf);
    await this.#handler.ended();
    this.#handler.close();
    this.#admission.leaveTotal();
    await this.#runner.destroy();
  }

  /** Ends everything now: connections are cut, processes terminated. Resolves when the last process is gone. */
  async destroy(): Promise<void> {
    await this.#listeners.close();
    this.#connections.destroy();
    // Also scripts that go on after their answer was complete, which no connection ends any more.
    await this.#runner.destroy();
    await this.#connections.ended();
    await this.#handler.ended();
    this.#handler.close();
    this.#admission.leaveTotal();
  }
}

/** An application has as many requests at once as it has workers. */
function admissionOf(configuration: ServedSiteConfiguration): AdmissionOptions {
  const { site } = configuration;
  return site.kind === 'worker' ? { ...configuration, maxProcesses: site.workers } : configuration;
}

/** The log for what happens to a site. */
export function siteLog({ name }: Pick<ServedSiteConfiguration, 'name'>, log: Log): Log {
  return name === undefined ? log : withFields(log, { site: name });
}
