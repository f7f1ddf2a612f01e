/** A running bridge: its listeners, connections and requests, from the first to the last. */

import type { Socket } from 'node:net';

import { BridgeError, reasonOf } from '../errors.js';
import { Connection, type ConnectionOptions } from '../fastcgi/connection.js';
import type { Request } from '../fastcgi/request.js';
import type { AccessLog } from '../observe/access-log.js';
import type { Log } from '../observe/log.js';
import { ProcessRunner } from '../runners/process-runner.js';
import { spawnScript } from '../runners/spawn-script.js';
import type { Address } from './address.js';
import { Admission } from './admission.js';
import { AllowFrom } from './allow-from.js';
import type { Configuration } from './configuration.js';
import { listen, type Listener } from './listener.js';
import { makeSite } from './make-site.js';
import { Responder } from './responder.js';

const DESCRIPTOR_0: Address = { kind: 'fd', fd: 0 };

/** Owns its listeners and connections until `close` or `destroy` has resolved. */
export class Daemon {
  readonly #log: Log;
  readonly #stopGraceMs: number;
  readonly #runner: ProcessRunner;
  readonly #responder: Responder;
  readonly #connectionOptions: ConnectionOptions;
  readonly #connections = new Set<Connection>();
  readonly #responses = new Set<Promise<void>>();
  #listeners: Listener[] = [];

  private constructor(configuration: Configuration, runner: ProcessRunner, responder: Responder, log: Log) {
    this.#log = log;
    this.#runner = runner;
    this.#stopGraceMs = configuration.stopGraceMs;
    this.#responder = responder;
    const { maxProcesses, maxQueue } = configuration.admission;
    this.#connectionOptions = {
      maxParamsBytes: configuration.maxParamsBytes,
      // What is kept of a body, its RequestBody keeps: nothing needs to wait before it gets there.
      stdinBufferBytes: 1,
      maxRequests: configuration.maxRequestsPerConnection,
      idleTimeoutMs: configuration.run.idleTimeoutMs,
      values: {
        FCGI_MAX_CONNS: String(configuration.maxConnections),
        FCGI_MAX_REQS: String(maxProcesses + maxQueue),
        FCGI_MPXS_CONNS: '1',
      },
      onRequest: (request) => {
        this.#respond(request);
      },
      onProblem: (problem) => {
        log.warn({ code: problem.code }, `connection closed: ${problem.message}`);
      },
    };
  }

  /**
   * Starts to serve; resolves when every listener accepts.
   *
   * @throws BridgeError `ERR_START`, `ERR_MERCURIAL`, `ERR_LISTEN`, `ERR_USAGE`; nothing is left behind then.
   */
  static async start(configuration: Configuration, log: Log, accessLog?: AccessLog): Promise<Daemon> {
    const allowFrom = new AllowFrom(configuration.allowFrom);
    const runner = new ProcessRunner(configuration.run, spawnScript);
    const responder = new Responder({
      site: await makeSite(configuration),
      runner,
      admission: new Admission(configuration.admission),
      body: {
        bufferBytes: configuration.stdinBufferBytes,
        maxSpoolBytes: configuration.maxSpoolBytes,
        idleTimeoutMs: configuration.run.idleTimeoutMs,
      },
      log,
      accessLog,
    });
    const daemon = new Daemon(configuration, runner, responder, log);
    const addresses = configuration.listen.length > 0 ? configuration.listen : [DESCRIPTOR_0];
    try {
      for (const address of addresses) {
        daemon.#listeners.push(
          await listen(address, {
            socket: configuration.socket,
            allowFrom,
            maxConnections: configuration.maxConnections,
            onConnection: (socket) => {
              daemon.#accept(socket);
            },
            onRefused: (why) => {
              log.warn({}, why);
            },
          }),
        );
      }
    } catch (error) {
      await daemon.#closeListeners();
      if (configuration.listen.length === 0) throw noSocket(error);
      throw error;
    }
    return daemon;
  }

  /** Where it listens, in the form of `--listen`. */
  get addresses(): readonly string[] {
    return this.#listeners.map((listener) => listener.address);
  }

  /** Takes no new work and lets running requests end, for at most `stopGraceMs`; then destroys what is left. */
  async close(): Promise<void> {
    await this.#closeListeners();
    for (const connection of this.#connections) connection.close();
    const grace = setTimeout(() => {
      this.#log.warn({ requests: this.#responses.size }, 'running requests took longer than --stop-grace');
      void this.destroy();
    }, this.#stopGraceMs);
    await this.#ended();
    clearTimeout(grace);
  }

  /** Ends everything now: connections are cut, processes terminated. Resolves when the last process is gone. */
  async destroy(): Promise<void> {
    await this.#closeListeners();
    for (const connection of this.#connections) connection.destroy();
    // Also scripts that go on after their answer was complete, which no connection ends any more.
    this.#runner.destroy();
    await this.#ended();
  }

  #accept(socket: Socket): void {
    const connection = new Connection(socket, this.#connectionOptions);
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
  }

  #respond(request: Request): void {
    const response = this.#responder.respond(request).finally(() => this.#responses.delete(response));
    this.#responses.add(response);
  }

  async #closeListeners(): Promise<void> {
    const listeners = this.#listeners;
    this.#listeners = [];
    await Promise.all(listeners.map((listener) => listener.close()));
  }

  async #ended(): Promise<void> {
    await Promise.all([...this.#connections].map((connection) => connection.closed));
    await Promise.all(this.#responses);
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
