/** A site that is served: its listeners, connections and requests, from the first to the last. */

import type { Socket } from 'node:net';

import { BridgeError, reasonOf } from '../errors.js';
import { Connection, type ConnectionOptions } from '../fastcgi/connection.js';
import type { Request } from '../fastcgi/request.js';
import type { AccessLog } from '../observe/access-log.js';
import { type Log, withFields } from '../observe/log.js';
import type { Runner } from '../runners/runner.js';
import type { Address } from './address.js';
import { Admission, type AdmissionOptions } from './admission.js';
import { AllowFrom } from './allow-from.js';
import type { ServedSiteConfiguration } from './configuration.js';
import { listen, type Listener } from './listener.js';
import { makeRunner } from './make-runner.js';
import { located, makeSite } from './make-site.js';
import { Responder } from './responder.js';

const DESCRIPTOR_0: Address = { kind: 'fd', fd: 0 };

/** Owns its listeners, connections and processes until `close` or `destroy` has resolved. */
export class ServedSite {
  readonly #configuration: ServedSiteConfiguration;
  readonly #log: Log;
  readonly #runner: Runner;
  readonly #responder: Responder;
  readonly #connectionOptions: Omit<ConnectionOptions, 'onRequest'>;
  readonly #connections = new Set<Connection>();
  readonly #responses = new Set<Promise<void>>();
  #listeners: Listener[] = [];

  private constructor(
    configuration: ServedSiteConfiguration,
    runner: Runner,
    responder: Responder,
    log: Log,
  ) {
    this.#configuration = configuration;
    this.#log = log;
    this.#runner = runner;
    this.#responder = responder;
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
   * Makes all that the site needs; it does not listen yet.
   *
   * @throws BridgeError `ERR_START`, `ERR_MERCURIAL`, `ERR_USAGE`
   */
  static async prepare(
    configuration: ServedSiteConfiguration,
    daemonLog: Log,
    accessLog: AccessLog | undefined,
  ): Promise<ServedSite> {
    const { name } = configuration;
    const log = name === undefined ? daemonLog : withFields(daemonLog, { site: name });
    const site = await makeSite(configuration);
    const runner = await makeRunner(configuration, log);
    const responder = new Responder({
      name,
      site,
      runner,
      admission: new Admission(admissionOf(configuration)),
      body: {
        bufferBytes: configuration.stdinBufferBytes,
        maxSpoolBytes: configuration.maxSpoolBytes,
        idleTimeoutMs: configuration.run.idleTimeoutMs,
      },
      log,
      accessLog,
    });
    return new ServedSite(configuration, runner, responder, log);
  }

  /** Starts to listen; resolves when every listener accepts. @throws BridgeError `ERR_LISTEN`, `ERR_USAGE` */
  async listen(): Promise<void> {
    const { listen: given, socket, allowFrom } = this.#configuration;
    const addresses = given.length > 0 ? given : [DESCRIPTOR_0];
    const options = {
      socket,
      allowFrom: new AllowFrom(allowFrom),
      onConnection: (connection: Socket) => {
        this.#accept(connection);
      },
      onRefused: (why: string) => {
        this.#log.warn({}, why);
      },
    };
    try {
      for (const address of addresses) this.#listeners.push(await listen(address, options));
    } catch (error) {
      await this.#closeListeners();
      throw located(this.#configuration, given.length === 0 ? noSocket(error) : error);
    }
  }

  get name(): string | undefined {
    return this.#configuration.name;
  }

  /** Where it listens, in the form of `--listen`. */
  get addresses(): readonly string[] {
    return this.#listeners.map((listener) => listener.address);
  }

  /** Requests that are being answered. */
  get running(): number {
    return this.#responses.size;
  }

  /** Takes no new work and lets running requests end, however long that takes. */
  async close(): Promise<void> {
    await this.#closeListeners();
    for (const connection of this.#connections) connection.close();
    await this.#ended();
    await this.#runner.destroy();
  }

  /** Ends everything now: connections are cut, processes terminated. Resolves when the last process is gone. */
  async destroy(): Promise<void> {
    await this.#closeListeners();
    for (const connection of this.#connections) connection.destroy();
    // Also scripts that go on after their answer was complete, which no connection ends any more.
    await this.#runner.destroy();
    await this.#ended();
  }

  async #closeListeners(): Promise<void> {
    const listeners = this.#listeners;
    this.#listeners = [];
    await Promise.all(listeners.map((listener) => listener.close()));
  }

  #accept(socket: Socket): void {
    const { maxConnections } = this.#configuration;
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
    });
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
  }

  #respond(request: Request, connection: Connection): void {
    const response = this.#responder
      .respond(request, connection)
      .finally(() => this.#responses.delete(response));
    this.#responses.add(response);
  }

  async #ended(): Promise<void> {
    await Promise.all([...this.#connections].map((connection) => connection.closed));
    await Promise.all(this.#responses);
  }
}

/** An application has as many requests at once as it has workers. */
function admissionOf({ site, admission }: ServedSiteConfiguration): AdmissionOptions {
  return site.kind === 'worker' ? { ...admission, maxProcesses: site.workers } : admission;
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
