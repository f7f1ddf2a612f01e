/** One HTTP request as a browser, a slow one, or one that goes away sends it. */

import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

export interface Asked {
  readonly url: string;
  readonly path: string;
  readonly body?: Buffer;
  /** Pauses so long after each piece that it sends or reads. */
  readonly pauseMs?: number;
  /** Closes the connection when this much of the exchange has happened. */
  readonly leave?: 'half-sent' | 'sent' | 'first-octets';
  readonly signal: AbortSignal;
}

export interface Had {
  readonly status: number;
  readonly body: Buffer;
  /** The answer has ended as HTTP says it must. */
  readonly isComplete: boolean;
}

const PIECES = 20;
const READ_BYTES = 65_536;
/** What one that leaves after its request gives the web server to pass it on. */
const SENT_MS = 30;

/** Resolves with what was answered; undefined where the sender has left before that. */
export async function exchange(asked: Asked): Promise<Had | undefined> {
  const { hostname, port } = new URL(asked.url);
  const { body, signal, path } = asked;
  const method = body === undefined ? 'GET' : 'POST';
  const headers = body === undefined ? {} : { 'Content-Length': String(body.length) };
  const sent = request({ hostname, port, path, method, headers, agent: false, signal });
  // An error before there is a response rejects below; one after it ends the body.
  sent.on('error', () => undefined);
  const responded = once(sent, 'response') as Promise<[IncomingMessage]>;
  responded.catch(() => undefined);
  if (body === undefined) sent.end();
  else await send(sent, body, asked);
  if (asked.leave === 'sent') await delay(SENT_MS);
  if (asked.leave === 'half-sent' || asked.leave === 'sent') {
    sent.destroy();
    return undefined;
  }
  const [response] = await responded;
  return receive(response, asked);
}

async function send(sent: ClientRequest, body: Buffer, { pauseMs, leave }: Asked): Promise<void> {
  const piece = Math.ceil(body.length / PIECES);
  const most = leave === 'half-sent' ? body.length / 2 : body.length;
  for (let offset = 0; offset < most; offset += piece) {
    // An answer that needs no body may have ended the connection.
    if (sent.destroyed) return;
    sent.write(body.subarray(offset, offset + piece));
    if (pauseMs !== undefined) await delay(pauseMs);
  }
  if (leave !== 'half-sent') sent.end();
}

async function receive(response: IncomingMessage, { pauseMs, leave }: Asked): Promise<Had | undefined> {
  const pieces: Buffer[] = [];
  let unpaused = 0;
  let isComplete = true;
  try {
    for await (const piece of response as AsyncIterable<Buffer>) {
      if (leave === 'first-octets') {
        response.destroy();
        return undefined;
      }
      pieces.push(piece);
      unpaused += piece.length;
      if (pauseMs === undefined || unpaused < READ_BYTES) continue;
      unpaused = 0;
      await delay(pauseMs);
    }
  } catch {
    isComplete = false;
  }
  return { status: response.statusCode ?? 0, body: Buffer.concat(pieces), isComplete };
}
