/**
 * Makes a daemon faulty, so that the soak can show that it notices: `NODE_OPTIONS='--import …/faults.js' FAULT=NAME`.
 * It does nothing in other programs, such as the soak itself.
 */

import { spawn } from 'node:child_process';
import { subscribe } from 'node:diagnostics_channel';
import fs, { openSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { main } from '../helpers/bridge.js';

const kept: Buffer[] = [];
let count = 0;

/** Done at each connection. */
const atConnection: Readonly<Record<string, (socket: Socket) => void>> = {
  /** Answers with what was not asked for. */
  'wrong-answers': (socket) => {
    const write = socket.write.bind(socket) as (...args: readonly unknown[]) => boolean;
    socket.write = (chunk: unknown, ...rest: readonly unknown[]) => {
      if (!Buffer.isBuffer(chunk)) return write(chunk, ...rest);
      return write(
        Buffer.from(chunk.toString('latin1').replaceAll('all of it', 'ALL OF IT'), 'latin1'),
        ...rest,
      );
    };
  },
  descriptors: () => {
    openSync('/dev/null', 'r');
  },
  memory: () => {
    kept.push(Buffer.alloc(2_000_000, 'x'));
  },
  processes: () => {
    if (++count === 10) spawn('sleep', ['300'], { detached: true, stdio: 'ignore' }).unref();
  },
  'temporary-files': () => {
    writeFileSync(join(tmpdir(), `left-${String(++count)}`), '');
  },
  crash: () => {
    if (++count === 30) throw new Error('a fault of the bridge');
  },
};

function writeLinesTwice(): void {
  const write = fs.writeSync.bind(fs) as (fd: number, text: unknown, ...rest: unknown[]) => number;
  Object.assign(fs, {
    writeSync: (fd: number, text: unknown, ...rest: unknown[]): number => {
      const line = String(text);
      if (line.includes('"end":') && ++count % 20 === 0) write(fd, text, ...rest);
      return write(fd, text, ...rest);
    },
  });
  syncBuiltinESMExports();
}

if (process.argv[1] === main) {
  const fault = process.env['FAULT'] ?? '';
  if (fault === 'log-lines') writeLinesTwice();
  subscribe('net.server.socket', (message) => {
    atConnection[fault]?.((message as { readonly socket: Socket }).socket);
  });
}
