/** Clients of a web server: as many as one likes, without the processes of as many curl(1). */

import { createConnection } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** How long a client waits for its response. */
const PATIENCE_MS = 45_000;
/** How long the light client rests between two pages. */
const REST_MS = 100;
/** Where the light client comes from: it is another visitor than those who storm. */
const LIGHT_ADDRESS = '127.0.0.2';

export interface Answer {
  /** 0 for none. */
  readonly status: number;
  readonly ms: number;
}

/** Asks on a connection of its own; never rejects. */
export function get({ hostname, port }: URL, path: string, localAddress = '127.0.0.1'): Promise<Answer> {
  const since = performance.now();
  return new Promise((resolve) => {
    const socket = createConnection({ host: hostname, port: Number(port), localAddress });
    let response = '';
    const end = (): void => {
      clearTimeout(timer);
      socket.destroy();
      const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(response)?.[1] ?? 0);
      resolve({ status, ms: performance.now() - since });
    };
    const timer = setTimeout(end, PATIENCE_MS);
    socket.setEncoding('latin1').on('data', (text: string) => {
      if (response.length < 100) response += text;
    });
    socket.on('end', end).on('error', end);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  });
}

/** Asks for one page after the other, until it `isOver`. */
export async function lightClient(url: URL, path: string, isOver: () => boolean): Promise<readonly Answer[]> {
  const answers: Answer[] = [];
  while (!isOver()) {
    answers.push(await get(url, path, LIGHT_ADDRESS));
    await delay(REST_MS);
  }
  return answers;
}
