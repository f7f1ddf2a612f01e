/** One request and its answer on a connection: streams both ways, and measures. */

import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import type { NameValues } from '../../bytes.js';
import { BridgeError, reasonOf, systemCodeOf } from '../../errors.js';
import type { EndOfRequest, Requester } from '../../fastcgi/requester.js';
import { Answer, type Sink } from './answer.js';
import { Silence } from './connecting.js';
import { endVerdict, type Verdict } from './verdict.js';

export interface Exchange {
  readonly verdict: Verdict;
  /** From sending to the first octet of standard output. */
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
  request.stderr.on('data', (octets: Buffer) => {
    sink.stderr(octets);
  });
  request.stderr.on('error', () => undefined);
  const answer = new Answer(sink);
  const isWanted = await takeAll(request.stdout, answer);
  const end = isWanted ? await request.ended.catch((error: unknown) => lost(error, answer)) : undefined;
  const totalMs = performance.now() - sentAt;
  body?.destroy();
  await sending;
  return {
    verdict:
      end === undefined ? { kind: 'answered', status: answer.status ?? 200 } : verdictOf(end, answer, params),
    firstMs: answer.firstAt === undefined ? undefined : answer.firstAt - sentAt,
    totalMs,
    stdoutBytes: answer.stdoutBytes,
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
async function takeAll(stdout: Readable, answer: Answer): Promise<boolean> {
  try {
    for await (const octets of stdout) {
      if (!(await answer.take(octets as Buffer))) return false;
    }
    await answer.finish();
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

function verdictOf(end: EndOfRequest | Verdict, answer: Answer, params: NameValues): Verdict {
  if ('kind' in end) return end;
  const isHead = params.some(([name, value]) => name === 'REQUEST_METHOD' && value === 'HEAD');
  const { status, stdoutBytes, missingBytes } = answer;
  return endVerdict(end, { status, stdoutBytes, missingBytes: isHead ? 0 : missingBytes });
}

/** The connection has ended before the answer. */
function lost(error: unknown, { status, stdoutBytes }: Answer): Verdict {
  if (!(error instanceof BridgeError)) throw error;
  const known = status === undefined ? {} : { status };
  if (error.cause instanceof Silence) return { kind: 'timeout', why: error.cause.message, ...known };
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
      : `the answer was cut short after ${String(stdoutBytes)} octets: the connection was closed without FCGI_END_REQUEST`;
  return { kind: 'cut', why, ...known };
}
