/** The control socket: a FastCGI application of its own that says what the daemon is doing, and ends requests by hand. */

import type { Socket } from 'node:net';

import { type NameValues, toText, valueOf } from '../../bytes.js';
import { type DocumentResponse, documentOctets } from '../../cgi/document-response.js';
import { errorResponse } from '../../cgi/error-response.js';
import { Connection, type ConnectionOptions } from '../../fastcgi/connection.js';
import type { Request } from '../../fastcgi/request.js';
import type { Log } from '../../observe/log.js';
import { duration } from '../../observe/status/quantities.js';
import { requestPath } from '../../sites/request-path.js';
import { AllowFrom } from '../allow-from.js';
import type { ControlConfiguration } from '../configuration.js';
import { Listener } from '../listener.js';
import type { FindListener } from '../site-listeners.js';
import type { StatusCollector } from './collector.js';
import { plain, statusPage } from './pages.js';

/** Nobody but administrators and their programs ask. */
const MAX_CONNECTIONS = 16;

/** Owns its listener and connections until `close` has resolved. */
export class Control {
  readonly listener: Listener;
  readonly #log: Log;
  readonly #connections = new Set<Connection>();

  private constructor(listener: Listener, log: Log) {
    this.listener = listener;
    this.#log = log;
  }

  /** Binds the socket, unless `find` finds it; whoever connects waits. @throws BridgeError `ERR_LISTEN` */
  static async bind(
    { address, socket }: ControlConfiguration,
    log: Log,
    find: FindListener = () => undefined,
  ): Promise<Control> {
    const onProblem = (why: string): void => {
      log.warn({}, `control socket: ${why}`);
    };
    const options = { socket, allowFrom: new AllowFrom([]), onProblem };
    return new Control((await find(address, options)) ?? (await Listener.bind(address, options)), log);
  }

  /** Begins to answer. @throws BridgeError `ERR_LISTEN` */
  async serve(collector: StatusCollector): Promise<void> {
    const options = this.#connectionOptions(collector);
    await this.listener.ready();
    this.listener.accept((socket) => {
      this.#accept(socket, options);
    });
  }

  /** Ends everything now. */
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
      maxParamsBytes: 65_536,
      stdinBufferBytes: 1,
      maxRequests: 1,
      idleTimeoutMs: 60_000,
      values: { FCGI_MAX_CONNS: String(MAX_CONNECTIONS), FCGI_MAX_REQS: '1', FCGI_MPXS_CONNS: '0' },
      refuse: () => errorResponse({ status: 503, reason: 'One request at a time, please.', id: '-' }),
      onProblem: ({ code, message }) => {
        this.#log.warn({ code }, `control socket: connection closed: ${message}`);
      },
      onRequest: (request) => {
        void this.#respond(request, collector);
      },
    };
  }

  async #respond(request: Request, collector: StatusCollector): Promise<void> {
    const { params, problem } = request;
    request.stdin.resume();
    let answer: DocumentResponse;
    try {
      answer =
        problem === undefined
          ? await answerTo(params, collector)
          : plain(400, `${problem.message}\n`, params);
    } catch (error) {
      this.#log.error({ stack: error instanceof Error ? error.stack : undefined }, 'control socket: failed');
      answer = plain(500, 'the daemon failed; its log has the reason\n', params);
    }
    if (!request.stdout.destroyed) request.stdout.write(documentOctets(answer));
    await request.end(0);
  }
}

async function answerTo(params: NameValues, collector: StatusCollector): Promise<DocumentResponse> {
  const method = valueOf(params, 'REQUEST_METHOD') ?? '';
  switch (`${method} ${requestPath(params) ?? ''}`) {
    case 'GET /':
      return statusPage(params, collector);
    case 'POST /end':
      return end(params, collector);
    default:
      return plain(404, 'there is but GET / and POST /end?id=REQUEST-ID\n', params);
  }
}

/** Ends a request; the answer comes when it has ended, and says how. */
async function end(params: NameValues, collector: StatusCollector): Promise<DocumentResponse> {
  const id = new URLSearchParams(toText(valueOf(params, 'QUERY_STRING') ?? '')).get('id') ?? '';
  const ended = collector.endByHand(id);
  if (ended === undefined) return plain(404, 'no request of that id has begun and not ended\n', params);
  const { pid, signal, exitStatus, totalMs, end: word } = await ended;
  const how = signal ?? (exitStatus === undefined ? undefined : `exit status ${String(exitStatus)}`);
  const process = pid === undefined ? 'nothing ran for it' : `process ${String(pid)}: ${how ?? 'gone'}`;
  return plain(200, `request ${id} has ended after ${duration(totalMs)} (${word}), ${process}\n`, params);
}
