/** The control socket: a FastCGI application of its own that says what the daemon is doing, and cancels requests. */

import type { Socket } from 'node:net';

import { ByteBudget, type NameValues, toText, valueOf } from '../../base/bytes.js';
import { documentBytes, type DocumentResponse, errorPage } from '../../cgi/document.js';
import type { ConnectionOptions } from '../../fastcgi/connection-options.js';
import { Connection } from '../../fastcgi/connection.js';
import { REQUEST_BYTES } from '../../fastcgi/params.js';
import type { Request } from '../../fastcgi/request.js';
import type { Log } from '../../observe/log.js';
import { duration } from '../../observe/status/quantities.js';
import { CONTROL_FIELD } from '../../observe/status/status.js';
import { requestPath } from '../../sites/request-path.js';
import { AllowFrom } from '../listening/address.js';
import type { ControlConfiguration } from '../configuration.js';
import { Listener } from '../listening/listener.js';
import type { FindListener } from '../listening/site-listeners.js';
import type { StatusCollector } from './collector.js';
import { plain, statusPage } from './pages.js';

/** Nobody but administrators and their programs ask. */
const MAX_CONNECTIONS = 16;
/** What waits in the system's queue. */
const BACKLOG = 64;
const MAX_PARAMS_BYTES = 65_536;

/** Owns its listener and connections until `close` has resolved. */
export class Control {
  readonly listener: Listener;
  readonly #configuration: ControlConfiguration;
  readonly #log: Log;
  readonly #connections = new Set<Connection>();

  private constructor(listener: Listener, configuration: ControlConfiguration, log: Log) {
    this.listener = listener;
    this.#configuration = configuration;
    this.#log = log;
  }

  /** Binds the socket, unless `find` finds it; those who connect wait. @throws BridgeError `ERR_LISTEN` */
  static async bind(
    configuration: ControlConfiguration,
    log: Log,
    find: FindListener = () => undefined,
  ): Promise<Control> {
    const { address, socket } = configuration;
    const onProblem = (why: string): void => {
      log.warn({}, `control socket: ${why}`);
    };
    const options = {
      socket,
      backlog: BACKLOG,
      allowFrom: new AllowFrom([]),
      onProblem,
      onStranger: onProblem,
    };
    const listener = (await find(address, options)) ?? (await Listener.bind(address, options));
    return new Control(listener, configuration, log);
  }

  /** Begins to answer. @throws BridgeError `ERR_LISTEN` */
  async serve(collector: StatusCollector): Promise<void> {
    const options = this.#connectionOptions(collector);
    await this.listener.ready();
    this.listener.accept((socket) => {
      this.#accept(socket, options);
    });
  }

  /** This one, or another one in its place where nobody reaches it any more. @throws BridgeError `ERR_LISTEN` */
  async reachable(collector: StatusCollector): Promise<Control> {
    if (await this.listener.isThere()) return this;
    const next = await Control.bind(this.#configuration, this.#log);
    await next.serve(collector);
    await this.close();
    return next;
  }

  async close(): Promise<void> {
    await this.listener.close();
    for (const connection of this.#connections) connection.destroy();
    await Promise.all([...this.#connections].map((connection) => connection.closed));
  }

  #accept(socket: Socket, options: ConnectionOptions): void {
    if (this.#connections.size >= MAX_CONNECTIONS) {
      this.#log.warn({}, `control socket: connection beyond ${String(MAX_CONNECTIONS)}`);
      socket.destroy();
      return;
    }
    const connection = new Connection(socket, options);
    socket.resume();
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
  }

  #connectionOptions(collector: StatusCollector): ConnectionOptions {
    return {
      maxParamsBytes: MAX_PARAMS_BYTES,
      paramsBudget: new ByteBudget(MAX_CONNECTIONS * (MAX_PARAMS_BYTES + REQUEST_BYTES)),
      maxRequests: 1,
      idleTimeoutMs: 60_000,
      values: { FCGI_MAX_CONNS: String(MAX_CONNECTIONS), FCGI_MAX_REQS: '1', FCGI_MPXS_CONNS: '0' },
      refuse: () =>
        documentBytes(errorPage({ status: 503, reason: 'One request at a time, please.', id: '-' })),
      onProblem: ({ code, message }) => {
        this.#log.warn({ code }, `control socket: connection closed: ${message}`);
      },
      onRequest: (request) => {
        void this.#respond(request, collector);
        // A body means nothing here.
        return undefined;
      },
    };
  }

  async #respond(request: Request, collector: StatusCollector): Promise<void> {
    const { params, problem } = request;
    let answer: DocumentResponse;
    try {
      answer = problem === undefined ? await answerTo(params, collector) : plain(400, `${problem.message}\n`);
    } catch (error) {
      this.#log.error({ stack: error instanceof Error ? error.stack : undefined }, 'control socket: failed');
      answer = plain(500, 'the daemon failed; its log has the reason\n');
    }
    const response = { ...answer, fields: [...answer.fields, [CONTROL_FIELD, '1'] as const] };
    if (!request.stdout.destroyed)
      request.stdout.write(
        documentBytes(response, { headOnly: valueOf(params, 'REQUEST_METHOD') === 'HEAD' }),
      );
    await request.end(0);
  }
}

async function answerTo(params: NameValues, collector: StatusCollector): Promise<DocumentResponse> {
  const method = valueOf(params, 'REQUEST_METHOD') ?? '';
  switch (`${method} ${requestPath(params) ?? ''}`) {
    case 'GET /':
      return statusPage(params, collector);
    case 'POST /cancel':
      return end(params, collector);
    default:
      return plain(404, 'there is but GET / and POST /cancel?id=REQUEST-ID\n');
  }
}

/** Ends a request; the answer comes when it has ended, and says how. */
async function end(params: NameValues, collector: StatusCollector): Promise<DocumentResponse> {
  const id = new URLSearchParams(toText(valueOf(params, 'QUERY_STRING') ?? '')).get('id') ?? '';
  const ended = collector.cancel(id);
  if (ended === undefined) return plain(404, 'no request of that id has begun and not ended\n');
  const { pid, signal, exitStatus, totalMs, end: word } = await ended;
  const how = signal ?? (exitStatus === undefined ? undefined : `exit status ${String(exitStatus)}`);
  const process = pid === undefined ? 'nothing ran for it' : `process ${String(pid)}: ${how ?? 'gone'}`;
  return plain(200, `request ${id} has ended after ${duration(totalMs)} (${word}), ${process}\n`);
}
