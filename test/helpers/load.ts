/** Requests without end, of which none may be lost, while something happens to the daemon that answers them. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';

import { isFull } from './webserver-table.js';

/** Before a load asks again: the processors are for others, too. */
const PAUSE_MS = 50;

/** One request, whose answer must be `hello`. */
async function sayHello(url: string, method: string, agent: Agent): Promise<void> {
  const sent = request(url, { method, agent });
  sent.end(method === 'POST' ? 'x'.repeat(100) : undefined);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const said = await text(response);
  assert.deepEqual([response.statusCode, said], [200, 'hello'], `${method} ${url}`);
}

/**
 * Asks by each of these methods and URLs, one request after the other, until `happens` has resolved and at least so many requests
 * were answered, and once more after that. Rejects with the first that is not answered as it should be.
 */
export async function underLoad(
  asked: readonly (readonly [method: string, url: string])[],
  requests: number,
  happens: (answered: () => number) => Promise<void>,
): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  let [answered, isOver] = [0, false];
  const load = async ([method, url]: readonly [string, string]): Promise<void> => {
    while (!isOver || answered < requests) {
      await sayHello(url, method, agent);
      answered += 1;
      if (!isFull) await delay(PAUSE_MS);
    }
    await sayHello(url, method, agent);
  };
  const loads = asked.map(load);
  const failed = Promise.all(loads);
  try {
    await Promise.race([happens(() => answered), failed]);
  } finally {
    isOver = true;
    await Promise.allSettled(loads);
    agent.destroy();
  }
  await failed;
}
