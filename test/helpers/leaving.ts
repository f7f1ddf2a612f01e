/** People who leave: real programs that are killed, with the connections they have, when they are in the middle. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';

export interface Leaver {
  /** Rejects when it has ended before it has left. */
  readonly ended: Promise<never>;
  /** Kills it with all that it has started; resolves when it has ended. */
  leave(): Promise<void>;
}

/** Starts a program that is to leave before it ends. */
export function startLeaver(
  file: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Leaver {
  const child = spawn(file, args, { cwd, env, stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  const said: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
  const closed = once(child, 'close');
  const ended = closed.then(() => {
    throw new Error(`${file} ${args.join(' ')} has ended: ${Buffer.concat(said).toString()}`);
  });
  // Whoever doesn't wait for it needs no word of it.
  ended.catch(() => undefined);
  return {
    ended,
    leave: async () => {
      process.kill(-(child.pid ?? 0), 'SIGKILL');
      await closed;
    },
  };
}

export interface Relay {
  readonly url: string;
  /** Resolves when so many octets have been passed on, and nothing more is. */
  readonly held: Promise<void>;
  /** Ends all of its connections; to be called when those at the other end have gone. */
  close(): Promise<void>;
}

/**
 * Passes on to `url` all that is sent, up to so many octets of the first POST, each request with the password of
 * `user:password`: a request that has none is refused in its middle, and what follows of it would break the connection.
 */
export async function startRelay(url: string, octets: number, credentials: string): Promise<Relay> {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  let isHeld = (): void => undefined;
  const held = new Promise<void>((resolve) => (isHeld = resolve));
  const authorization = `\r\nAuthorization: Basic ${Buffer.from(credentials).toString('base64')}\r\n`;
  const server = createServer({ allowHalfOpen: false }, (near) => {
    const far = createConnection(Number(port), hostname);
    let passed = -1;
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    far.on('data', (chunk) => near.write(chunk));
    near.on('data', (chunk) => {
      const sent = chunk.toString('latin1');
      if (passed < 0 && sent.startsWith('POST ')) passed = 0;
      if (passed > 0) far.write(chunk);
      else far.write(sent.replace('\r\n', authorization), 'latin1');
      if (passed < 0) return;
      passed += chunk.length;
      if (passed < octets) return;
      near.pause();
      isHeld();
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  return {
    url: `http://127.0.0.1:${String(address.port)}`,
    held,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await once(server.close(), 'close');
    },
  };
}
