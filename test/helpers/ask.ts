/** FastCGI requests to a real socket. */

import { createConnection, type NetConnectOpts } from 'node:net';
import { buffer } from 'node:stream/consumers';

import { Requester } from '../../src/fastcgi/requester.js';

export interface Answer {
  readonly stdout: string;
  readonly stderr: string;
  readonly appStatus: number;
  readonly protocolStatus: number;
}

/** A connection to a Unix socket's path or a TCP port of loopback. */
export function connect(where: string | number): Requester {
  const options: NetConnectOpts =
    typeof where === 'string' ? { path: where } : { port: where, host: '127.0.0.1' };
  return new Requester(createConnection(options));
}

/** One request on a connection of its own; names, values, body and answer are byte strings. */
export async function ask(
  where: string | number,
  params: Readonly<Record<string, string>> = {},
  body: string | Buffer = '',
): Promise<Answer> {
  const requester = connect(where);
  try {
    const request = requester.send(Object.entries({ REQUEST_METHOD: 'GET', ...params }));
    if (body.length > 0) request.stdin.write(Buffer.from(body as string, 'latin1'));
    request.stdin.end();
    const [stdout, stderr, end] = await Promise.all([
      buffer(request.stdout),
      buffer(request.stderr),
      request.ended,
    ]);
    return { stdout: stdout.toString('latin1'), stderr: stderr.toString('latin1'), ...end };
  } finally {
    requester.close();
  }
}
