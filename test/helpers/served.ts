/** Bridges on a Unix socket of their own, and what is asked of them; all of it ends with the tests of the file. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after } from 'node:test';

import type { SentRequest } from '../../src/fastcgi/requester.js';
import { ask } from './ask.js';
import { type Bridge, startBridge } from './bridge.js';
import { temporaryDirectory } from './temporary.js';

export interface Served extends Bridge {
  /** The path of the socket. */
  readonly socket: string;
}

const PATIENCE_MS = 10_000;

const started: Bridge[] = [];

after(async () => {
  for (const bridge of started) bridge.process.kill('SIGTERM');
  for (const bridge of started) {
    // One that a failed test has left may have a reason not to end.
    const patience = setTimeout(() => bridge.process.kill('SIGKILL'), PATIENCE_MS);
    await bridge.stop();
    clearTimeout(patience);
  }
});

/** Starts the command; its graces are short unless `args` say otherwise. */
export async function serve(
  args: readonly string[],
  { graces = ['--stop-grace', '500ms', '--kill-grace', '200ms'], env = process.env } = {},
): Promise<Served> {
  const socket = join(await temporaryDirectory(), 'sock');
  const [command = '', ...rest] = args;
  const bridge = await startBridge([command, '--listen', socket, ...graces, ...rest], env);
  started.push(bridge);
  return { ...bridge, socket };
}

/** What a request's answer says so far, when it matches; rejects if the answer ends before. */
export async function answered(request: SentRequest, pattern: RegExp): Promise<RegExpExecArray> {
  let text = '';
  for (;;) {
    const match = pattern.exec(text);
    if (match !== null) return match;
    const chunk = (request.stdout.read() as Buffer | null)?.toString('latin1');
    if (chunk !== undefined) text += chunk;
    else if (request.stdout.readableEnded) assert.fail(`the answer ended with ${JSON.stringify(text)}`);
    else await Promise.race([once(request.stdout, 'readable'), once(request.stdout, 'end')]);
  }
}

/** The status of an answer, and the request id that its page names. */
export function page(stdout: string): { status: number; id: string; text: string } {
  const status = Number(/^Status: (\d{3}) /.exec(stdout)?.[1]);
  const id = /Request ([0-9a-f]{8}-\d+)</.exec(stdout)?.[1];
  assert.ok(id !== undefined, `no page of the bridge's own: ${stdout}`);
  return { status, id, text: /<p>(.*?)<\/p>/.exec(stdout)?.[1] ?? '' };
}

/** A named pipe, which a script waits at until the test writes a line to it. */
export async function fifo(): Promise<string> {
  const path = join(await temporaryDirectory(), 'go-on');
  execFileSync('mkfifo', [path]);
  return path;
}

/** The answer to a request whose page must name the request that the log has under the same id. */
export async function failed(served: Served): Promise<{
  readonly status: number;
  readonly text: string;
  readonly appStatus: number;
  readonly line: string;
}> {
  const { stdout, appStatus } = await ask(served.socket, { REQUEST_URI: '/the/uri?x' });
  const { status, id, text } = page(stdout);
  const line = await served.logged(new RegExp(` id=${id} `));
  assert.match(line, / error request failed: /);
  assert.match(line, new RegExp(` uri="?/the/uri\\?x"? .*status=${String(status)}`));
  return { status, text, appStatus, line };
}
