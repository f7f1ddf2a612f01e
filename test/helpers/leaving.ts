/** People who leave: real programs that are killed, with the connections they have, when they are in the middle. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';

/** A program with all that it starts; resolves with what kills them and waits until it has ended. */
export function startGroup(
  file: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): () => Promise<void> {
  const child = spawn(file, args, { cwd, env, stdio: 'ignore', detached: true });
  const exited = once(child, 'exit');
  return async () => {
    process.kill(-(child.pid ?? 0), 'SIGKILL');
    await exited;
  };
}

export interface Relay {
  readonly url: string;
  /** Resolves when so many octets have been passed on, and nothing more is. */
  readonly held: Promise<void>;
  /** Ends all of its connections; to be called when those at the other end have gone. */
  close(): Promise<void>;
}

const authorized = /POST [^]*\r\nauthorization: /i;

/** Passes on to `url` all that is sent, up to so many octets of the first POST that has a password. */
export async function startRelay(url: string, octets: number): Promise<Relay> {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  let isHeld = (): void => undefined;
  const held = new Promise<void>((resolve) => (isHeld = resolve));
  const server = createServer({ allowHalfOpen: false }, (near) => {
    const far = createConnection(Number(port), hostname);
    let head = '';
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
      if (passed < 0) {
        head += chunk.toString('latin1');
        if (authorized.test(head)) passed = 0;
        else if (head.includes('\r\n\r\n') && !head.startsWith('POST')) head = '';
      }
      if (passed >= 0) passed += chunk.length;
      far.write(chunk);
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
