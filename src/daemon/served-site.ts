/** A site that is served: its listeners, connections and requests, from the first to the last. */

import type { Socket } from 'node:net';

import { Connection, type ConnectionOptions } from '../fastcgi/connection.js';
import type { Request } from '../fastcgi/request.js';
import type { Access, AccessLog } from '../observe/access-log.js';
import { type Log, withFields } from '../observe/log.js';
import type { RequestStatus } from '../observe/status/status.js';
import { endAtOnce } from '../process/end-at-once.js';
import type { Runner } from '../runners/runner.js';
import { Admission, type AdmissionOptions } from './admission.js';
import type { ServedSiteConfiguration } from './configuration.js';
import type { Listener } from './listener.js';
import { makeRunner } from './make-runner.js';
import { makeSite } from './make-site.js';
import { Responder } from './responder.js';
import type { SiteListeners } from './site-listeners.js';
import type { StatusCollector, WatchedSite } from './status/collector.js';
import { ownPage } from './status/pages.js';

/** What a site is told of the daemon that it is part of, and tells it. */
export interface Watch {
  readonly isAccepting: () => boolean;
  /** Undefined where nobody may ask for its status. */
  readonly collector: StatusCollector | undefined;
}

/** Takes a connection on which nothing is under way, as if it had just been made. */
type Heir = (socket: Socket) => void;

/** Who takes over the connections that have come to a listener; undefined where they end with what they carry. */
export type HeirOf = (listener: Listener) => Heir | undefined;

/** Where a connection has come from. */
interface Origin {
  readonly socket: Socket;
  readonly listener: Listener;
}

const nobody: HeirOf = () => undefined;

/** Owns its listeners, connections and processes until `close` or `destroy` has resolved. */
export class ServedSite implements WatchedSite {
  readonly #configuration: ServedSiteConfiguration;
  readonly #log: Log;
  readonly #runner: Runner;
  readonly #responder: Responder;
  readonly #admission: Admission;
  readonly #connectionOptions: Omit<ConnectionOptions, 'onRequest' | 'endAtOnce'>;
  readonly #connections = new Map<Connection, Origin>();
  readonly #responses = new Set<Promise<void>>();
  readonly #listeners: SiteListeners;
  #maxConnections: number;
  /** Who gets the connections, once it takes no new work. */
  #heirOf: HeirOf | undefined;

  private constructor(
    configuration: ServedSiteConfiguration,
    listeners: SiteListeners,
    runner: Runner,
    responder: Responder,
    admission: Admission,
    log: Log,
  ) {
    this.#configuration = configuration;
    this.#listeners = listeners;
    this.#maxConnections = configuration.maxConnections;
    this.#log = log;
    this.#runner = runner;
    this.#responder = responder;
    this.#admission = admission;
    const { maxProcesses, maxQueue } = admissionOf(configuration);
    const maxRequests = configuration.maxRequestsPerConnection;
    this.#connectionOptions = {
      maxParamsBytes: configuration.maxParamsBytes,
      // What is kept of a body, its RequestBody keeps: nothing needs to wait before it gets there.
      stdinBufferBytes: 1,
      maxRequests,
      idleTimeoutMs: configuration.run.idleTimeoutMs,
      values: {
        FCGI_MAX_CONNS: String(configuration.maxConnections),
        // HAProxy, the one that asks, takes it for what a single connection may carry.
        FCGI_MAX_REQS: String(Math.min(maxRequests, maxProcesses + maxQueue)),
        FCGI_MPXS_CONNS: '1',
      },
      refuse: (why) => responder.refuse(why),
      onProblem: (problem) => {
        log.warn({ code: problem.code }, `connection closed: ${problem.message}`);
      },
    };
  }

  /**
   * Makes all that the site needs; whoever connects waits still. The listeners are its own from then on.
   *
   * @throws BridgeError `ERR_START`, `ERR_MERCURIAL`, `ERR_USAGE`
   */
  static async prepare(
    configuration: ServedSiteConfiguration,
    listeners: SiteListeners,
    daemonLog: Log,
    accessLog: AccessLog | undefined,
    watch: Watch,
  ): Promise<ServedSite> {
    const { name } = configuration;
    const log = siteLog(configuration, daemonLog);
    const site = await makeSite(configuration);
    const runner = await makeRunner(configuration, log);
    const admission = new Admission(admissionOf(configuration));
    const { isAccepting, collector } = watch;
    const responder = new Responder({
      name,
      site,
      runner,
      admission,
      body: {
        bufferBytes: configuration.stdinBufferBytes,
        maxSpoolBytes: configuration.maxSpoolBytes,
        idleTimeoutMs: configuration.run.idleTimeoutMs,
      },
      log,
      accessLog,
      ownPage: ownPage(configuration, isAccepting, collector),
      count: collector?.counter(shownNameOf(configuration)),
    });
    return new ServedSite(configuration, listeners, runner, responder, admission, log);
  }

  /** Starts to serve, once its listeners are ready. */
  serve(): void {
    this.#listeners.accept((connection, listener) => {
      this.#accept(connection, listener);
    });
  }

  get name(): string | undefined {
    return this.#configuration.name;
  }

  get listeners(): SiteListeners {
    return this.#listeners;
  }

  /** As many connections as it may have from now on, whatever was configured. */
  set maxConnections(count: number) {
    this.#maxConnections = count;
  }

  get shownName(): string {
    return shownNameOf(this.#configuration);
  }

  get status(): WatchedSite['status'] {
    const { site } = this.#configuration;
    const { maxProcesses, maxQueue } = admissionOf(this.#configuration);
    const { processesStarted, warm, workers } = this.#runner.status();
    return {
      kind: site.kind,
      listen: this.#listeners.addresses,
      connections: this.#connections.size,
      maxConnections: this.#maxConnections,
      places: this.#admission.running,
      maxPlaces: maxProcesses,
      queue: this.#admission.waiting,
      maxQueue,
      processesStarted,
      warm,
      workers,
    };
  }

  get requests(): readonly RequestStatus[] {
    return this.#responder.inHand.statuses(this.shownName);
  }

  endByHand(id: string): Promise<Access> | undefined {
    return this.#responder.inHand.endByHand(id);
  }

  /** Requests that are being answered. */
  get running(): number {
    return this.#responses.size;
  }

  /**
   * Takes no new work and lets running requests end, however long that takes; a connection that has an heir goes there as
   * soon as none runs on it. May be called again, with other heirs.
   */
  async close(heirOf: HeirOf = nobody): Promise<void> {
    this.#heirOf = heirOf;
    await this.#listeners.close();
    for (const [connection, origin] of this.#connections) leave(connection, origin, heirOf);
    await this.#ended();
    await this.#runner.destroy();
  }

  /** Ends everything now: connections are cut, processes terminated. Resolves when the last process is gone. */
  async destroy(): Promise<void> {
    await this.#listeners.close();
    for (const connection of this.#connections.keys()) connection.destroy();
    // Also scripts that go on after their answer was complete, which no connection ends any more.
    await this.#runner.destroy();
    await this.#ended();
  }

  #accept(socket: Socket, listener: Listener): void {
    const maxConnections = this.#maxConnections;
    if (this.#connections.size >= maxConnections) {
      this.#log.warn({}, `connection beyond --max-connections (${String(maxConnections)})`);
      socket.destroy();
      return;
    }
    const connection = new Connection(socket, {
      ...this.#connectionOptions,
      onRequest: (request) => {
        this.#respond(request, connection);
      },
      endAtOnce: () => {
        endAtOnce(socket);
      },
    });
    socket.resume();
    const origin = { socket, listener };
    this.#connections.set(connection, origin);
    void connection.closed.then(() => this.#connections.delete(connection));
    // One that somebody has inherited who has ended meanwhile.
    if (this.#heirOf !== undefined) leave(connection, origin, this.#heirOf);
  }

  #respond(request: Request, connection: Connection): void {
    const response = this.#responder
      .respond(request, connection)
      .finally(() => this.#responses.delete(response));
    this.#responses.add(response);
  }

  async #ended(): Promise<void> {
    await Promise.all([...this.#connections.keys()].map((connection) => connection.closed));
    await Promise.all(this.#responses);
  }
}

/** Where a daemon has but one site, it needs no name of its own. */
function shownNameOf({ name, site }: ServedSiteConfiguration): string {
  return name ?? site.kind;
}

function leave(connection: Connection, { socket, listener }: Origin, heirOf: HeirOf): void {
  const heir = heirOf(listener);
  if (heir === undefined) {
    connection.close();
    return;
  }
  connection.passOn(() => {
    heir(socket);
  });
}

/** An application has as many requests at once as it has workers. */
function admissionOf({ site, admission }: ServedSiteConfiguration): AdmissionOptions {
  return site.kind === 'worker' ? { ...admission, maxProcesses: site.workers } : admission;
}

/** The log for what happens to a site. */
export function siteLog({ name }: Pick<ServedSiteConfiguration, 'name'>, log: Log): Log {
  return name === undefined ? log : withFields(log, { site: name });
}
