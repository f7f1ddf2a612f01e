/** Connects to a FastCGI application, and has one request answered: streams both ways, and measures. */

import { once } from 'node:events';
import { lstatSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import type { NameValues } from '../../base/bytes.js';
import { BridgeError, reasonOf, systemCodeOf } from '../../base/errors.js';
import { formatAddress } from '../../daemon/listening/address.js';
import { ReadingSocket } from '../../fastcgi/connection-socket.js';
import type { EndOfRequest, Requester } from '../../fastcgi/requester.js';
import type { ApplicationAddress } from '../options/command-options.js';
import { ResponseReader, type Sink } from './response-reader.js';
import { endVerdict, type Verdict } from './verdict.js';

export interface Exchange {
  readonly verdict: Verdict;
  /** From sending to the first byte of standard output. */
  readonly firstMs: number | undefined;
  /** From sending to FCGI_END_REQUEST. */
  readonly totalMs: number;
  readonly stdoutBytes: number;
}

export interface ExchangeOptions {
  readonly params: NameValues;
  /** Destroyed when the exchange is over, however much of it was sent. */
  readonly body: Readable | undefined;
  /** Asks for the connection to be kept (FastCGI 1.0 §5.1). */
  readonly keepConn: boolean;
  readonly sink: Sink;
}

/** Sends a request and takes its answer; rejects for what is wrong here, never for what the application does. */
export async function exchange(
  requester: Requester,
  { params, body, keepConn, sink }: ExchangeOptions,
): Promise<Exchange> {
  const sentAt = performance.now();
  const request = requester.send(params, { keepConn });
  const sending = send(body, request.stdin);
  request.stderr.on('data', (bytes: Buffer) => {
    sink.stderr(bytes);
  });
  request.stderr.on('error', () => undefined);
  const reader = new ResponseReader(sink);
  const isWanted = await takeAll(request.stdout, reader);
  const end = isWanted ? await request.ended.catch((error: unknown) => lost(error, reader)) : undefined;
  const totalMs = performance.now() - sentAt;
  body?.destroy();
  await sending;
  return {
    verdict:
      end === undefined ? { kind: 'answered', status: reader.status ?? 200 } : verdictOf(end, reader, params),
    firstMs: reader.firstAt === undefined ? undefined : reader.firstAt - sentAt,
    totalMs,
    stdoutBytes: reader.stdoutBytes,
  };
}

/** Resolves when the body was sent, or can't be any more; rejects if it can't be read. */
async function send(body: Readable | undefined, stdin: Writable): Promise<void> {
  if (body === undefined) {
    stdin.end();
    return;
  }
  await pipeline(body, stdin).catch(() => undefined);
  if (body.errored && !isCut(body.errored)) throw body.errored;
}

/** Resolves to whether all of it was wanted. */
async function takeAll(stdout: Readable, reader: ResponseReader): Promise<boolean> {
  try {
    for await (const bytes of stdout) {
      if (!(await reader.take(bytes as Buffer))) return false;
    }
    await reader.finish();
  } catch (error) {
    // The connection was lost, of which `ended` tells.
    if (!isCut(error)) throw error;
  }
  return true;
}

/** What a stream's readers are told when it is destroyed before its end. */
function isCut(error: unknown): boolean {
  const [code = '', name] = [systemCodeOf(error), error instanceof Error ? error.name : ''];
  return /^ERR_STREAM_PREMATURE_CLOSE$/.test(code) || name === 'AbortError';
}

function verdictOf(end: EndOfRequest | Verdict, reader: ResponseReader, params: NameValues): Verdict {
  if ('kind' in end) return end;
  const isHead = params.some(([name, value]) => name === 'REQUEST_METHOD' && value === 'HEAD');
  const { status, stdoutBytes, missingBytes } = reader;
  return endVerdict(end, { status, stdoutBytes, missingBytes: isHead ? 0 : missingBytes });
}

function lost(error: unknown, { status, stdoutBytes }: ResponseReader): Verdict {
  if (!(error instanceof BridgeError)) throw error;
  const known = status === undefined ? {} : { status };
  if (error.cause instanceof IdleTimeout) return { kind: 'timeout', why: error.cause.message, ...known };
  if (error.code !== 'ERR_FASTCGI_DISCONNECTED') {
    return {
      kind: 'protocol',
      why: `what listens there does not speak FastCGI 1.0: ${reasonOf(error)}`,
      ...known,
    };
  }
  const why =
    stdoutBytes === 0
      ? 'the connection was closed before any answer: did the application crash, or may this host not connect to it? Its log may say'
      : `the answer was cut short after ${String(stdoutBytes)} bytes: the connection was closed without FCGI_END_REQUEST`;
  return { kind: 'cut', why, ...known };
}

/** Why a connection was given up: nothing came and went on it any more. */
export class IdleTimeout extends Error {
  constructor() {
    super('nothing came for --timeout: the application hangs, or needs longer');
    this.name = 'IdleTimeout';
  }
}

/** A connection, or the verdict. The caller closes the socket. */
export async function connectTo(address: ApplicationAddress, timeoutMs: number): Promise<Socket | Verdict> {
  const socket = new ReadingSocket().setNoDelay();
  if (address.kind === 'unix') socket.connect(address.path);
  else socket.connect(address.port, address.host);
  try {
    await once(socket, 'connect', timeoutMs === 0 ? {} : { signal: AbortSignal.timeout(timeoutMs) });
  } catch (error) {
    socket.destroy();
    const isLate = systemCodeOf(error) === 'ABORT_ERR';
    const late = 'nobody accepted the connection within --timeout: is the application overloaded?';
    const why = `${formatAddress(address)}: ${isLate ? late : whyNot(address, error)}`;
    return { kind: isLate ? 'timeout' : 'unreachable', why };
  }
  return socket
    .on('error', () => undefined)
    .setTimeout(timeoutMs, () => {
      // Where we read no further, the silence is ours.
      if (!socket.isPaused()) socket.destroy(new IdleTimeout());
    });
}

function whyNot(address: ApplicationAddress, error: unknown): string {
  switch (systemCodeOf(error)) {
    case 'ENOENT':
      return 'there is no such socket: is the application running, and does it listen there?';
    case 'ECONNREFUSED':
      return isOtherFile(address)
        ? 'the file there is no socket'
        : 'nothing listens there: is the application running?';
    case 'EACCES':
      return 'no permission to connect: try as the web server’s user, and look at the permissions of the socket and of the directories above it';
    case 'EAGAIN':
      return 'its queue of connections is full: is the application overloaded, or does it hang?';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'there is no host of that name';
    default:
      return `can't connect: ${reasonOf(error)}`;
  }
}

function isOtherFile(address: ApplicationAddress): boolean {
  return address.kind === 'unix' && lstatSync(address.path, { throwIfNoEntry: false })?.isFile() === true;
}
