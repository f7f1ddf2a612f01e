/**
 * Bridges on a Unix socket of their own, as the command or in this process, and what is asked of them; all of it ends with
 * the tests of the file.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';

import type { SiteKindName } from '../../src/cli/options/site-kinds.js';
import type { Daemon } from '../../src/daemon/daemon.js';
import type { SentRequest } from '../../src/fastcgi/requester.js';
import { ask } from './ask.js';
import { type Bridge, startBridge } from './bridge.js';
import { until } from './processes.js';
import { temporaryDirectory } from './temporary.js';

/** What a test of requests needs. */
export interface Asked extends Pick<Bridge, 'log' | 'logged'> {
  /** The path of the socket. */
  readonly socket: string;
}

export interface Served extends Bridge, Asked {}

const PATIENCE_MS = 10_000;

const started: Bridge[] = [];
const here: Daemon[] = [];

after(async () => {
  await Promise.all(here.map((daemon) => daemon.close()));
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

/**
 * Starts a daemon in this process, which is quicker, as the command would with these arguments: options, and for
 * `script` its file, `--` and arguments.
 */
export async function serveHere([kind = '', ...args]: readonly string[]): Promise<Asked> {
  const directory = await temporaryDirectory();
  const [socket, file] = [join(directory, 'sock'), join(directory, 'log')];
  const given = new Map<string, string | true | readonly string[]>([
    ['stop-grace', '500ms'],
    ['kill-grace', '200ms'],
    ['log-file', file],
    ['listen', [socket]],
  ]);
  // Half of the files that start bridges start none here, and to load it takes longer than most of their tests.
  const { readConfiguration } = await import('../../src/cli/configuration.js');
  const { daemonOptions } = await import('../../src/cli/options/command-options.js');
  const { readSiteKind, siteKinds } = await import('../../src/cli/options/site-kinds.js');
  const { rowsOf } = await import('../../src/cli/options/option.js');
  const { siteOptions } = await import('../../src/cli/options/site-options.js');
  const { Daemon } = await import('../../src/daemon/daemon.js');
  const { Logs } = await import('../../src/daemon/process/logs.js');
  const own = siteKinds[kind as SiteKindName];
  const rows = rowsOf({ siteOptions, daemonOptions, own });
  const rest = [...args];
  while (rest[0]?.startsWith('--') === true) {
    const name = rest.shift()?.slice(2) ?? '';
    const form = rows.find((row) => row.name === name)?.form;
    if (form === 'flag') given.set(name, true);
    else {
      const value = rest.shift() ?? '';
      given.set(name, form === 'list' ? [given.get(name) ?? [], value].flat().map(String) : value);
    }
  }
  if (rest[0] !== undefined) given.set('file', rest[0]);
  given.set(
    'argument',
    rest.slice(1).filter((argument, index) => index > 0 || argument !== '--'),
  );
  const configuration = readConfiguration(readSiteKind(kind as SiteKindName, given), given);
  const logs = new Logs(configuration);
  here.push(await Daemon.start(configuration, logs.log, logs.accessLog));
  const log = (): string => readFileSync(file, 'utf8');
  return {
    socket,
    log,
    logged: async (pattern) => {
      const found = (): string | undefined =>
        log()
          .split('\n')
          .find((line) => pattern.test(line));
      await until(() => found() !== undefined);
      return found() ?? '';
    },
  };
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
  const text = /<p>(.*?)<\/p>/.exec(stdout)?.[1] ?? '';
  assert.doesNotMatch(text, /--\w/, 'visitors know no options');
  return { status, id, text };
}

/** The answer to a request whose page must name the request that the log has under the same id. */
export async function failed(served: Asked): Promise<{
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
