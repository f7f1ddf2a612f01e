/**
 * Stock gitweb, which ends on purpose after each 101 requests, behind real web servers: nobody may notice.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import {
  bridgeCommand,
  cheapPage,
  gitweb,
  type GitwebHost,
  makeGitwebHost,
  startGitwebApache,
  startGitwebLighttpd,
  startGitwebNginx,
} from '../helpers/gitweb-hosts.js';
import { fetchRaw } from '../helpers/http.js';
import { childrenOf, processesWith, until } from '../helpers/processes.js';
import { serve, type Served } from '../helpers/served.js';
import type { WebServer } from '../helpers/webserver.js';
import { isFull } from '../helpers/webserver-table.js';

const REQUESTS = isFull ? 2_000 : 350;
const CONCURRENCY = 8;
const REQUESTS_PER_LIFE = 101;
const WORKERS = isFull ? 3 : 2;
/** All lives but those that go on; a worker at its last may not be noticed before the load ends. */
const LEAST_RECYCLES = Math.floor(REQUESTS / REQUESTS_PER_LIFE) - WORKERS;

/** The statuses of so many requests, eight at a time, and how many of each; 0 where the connection was lost. */
async function load(
  url: string,
  requests = REQUESTS,
  onAnswer?: () => void,
): Promise<Record<number, number>> {
  const statuses: Record<number, number> = {};
  let next = 0;
  const one = async (): Promise<void> => {
    while (next++ < requests) {
      const { status, body } = await fetchRaw(url, cheapPage).catch(() => ({ status: 0, body: '' }));
      if (status === 200) assert.match(body.toString(), /^project\.git /);
      statuses[status] = (statuses[status] ?? 0) + 1;
      onAnswer?.();
    }
  };
  const since = performance.now();
  await Promise.all(Array.from({ length: CONCURRENCY }, one));
  const seconds = (performance.now() - since) / 1000;
  console.log(`# ${String(requests)} requests in ${seconds.toFixed(1)} s: ${JSON.stringify(statuses)}`);
  return statuses;
}

/** How many workers have ended on purpose. */
function recycles(log: string): number {
  const ends = log.match(/ debug worker ended pid=\d+ exit="exit status 0"/g)?.length ?? 0;
  console.log(`# ${String(ends)} recycles`);
  return ends;
}

/** Loads a web server that has started the bridge itself, and stops it: nothing may be left. */
async function loadAndStop(host: GitwebHost, webServer: WebServer): Promise<void> {
  try {
    assert.deepEqual(await load(webServer.url), { 200: REQUESTS });
    const log = await readFile(host.log, 'utf8');
    assert.ok(recycles(log) >= LEAST_RECYCLES);
    assert.doesNotMatch(log, / error /);
  } finally {
    await webServer.stop();
  }
  await until(() => processesWith(host.log).length === 0);
  const pids = [...(await readFile(host.log, 'utf8')).matchAll(/worker started pid=(\d+)/g)].map(
    ([, pid]) => pid,
  );
  await until(() => processesWith(gitweb).every((pid) => !pids.includes(String(pid))));
}

/** A bridge of its own, whose workers end on purpose. */
function serveGitweb({ config }: GitwebHost, ...options: string[]): Promise<Served> {
  const own = ['--log-level', 'debug', '--env', `GITWEB_CONFIG=${config}`, ...options];
  return serve(['worker', '--workers', String(WORKERS), ...own, '--', gitweb, '--fcgi']);
}

describe('gitweb under worker', { timeout: 300_000 + 100 * REQUESTS }, () => {
  it('is what lighttpd starts: no request fails', async () => {
    const host = await makeGitwebHost();
    await loadAndStop(host, await startGitwebLighttpd(host, { command: bridgeCommand(host, WORKERS) }));
  });

  it('would fail behind lighttpd without it', async () => {
    const host = await makeGitwebHost();
    const webServer = await startGitwebLighttpd(host, { command: [gitweb, '--fcgi'] });
    try {
      const { 200: ok = 0, ...others } = await load(webServer.url, Math.min(REQUESTS, 500));
      assert.ok(ok > 0);
      assert.notDeepEqual(others, {});
    } finally {
      await webServer.stop();
    }
  });

  it('is what Apache’s mod_fcgid starts: no request fails', async () => {
    const host = await makeGitwebHost();
    const webServer = await startGitwebApache(host, bridgeCommand(host, 1, { byRoot: false }));
    const { headers } = await fetchRaw(webServer.url, '/static/gitweb.css');
    assert.equal(headers['content-type'], 'text/css');
    assert.equal((await fetchRaw(webServer.url, '/project.git/commit/--output=x')).status, 400);
    await loadAndStop(host, webServer);
  });

  it('is what spawn-fcgi starts, behind nginx: no request fails', async () => {
    const host = await makeGitwebHost();
    const socket = join(host.directory, 'sock');
    const spawned = spawn('spawn-fcgi', ['-n', '-s', socket, '--', ...bridgeCommand(host, WORKERS)]);
    const ended = once(spawned, 'exit');
    await until(() => childrenOf(spawned.pid ?? 0).length === WORKERS);
    const webServer = await startGitwebNginx(host, socket);
    const stop = async (): Promise<void> => {
      await webServer.stop();
      spawned.kill('SIGTERM');
      assert.deepEqual(await ended, [0, null]);
    };
    await loadAndStop(host, { ...webServer, stop });
  });

  for (const [name, start] of Object.entries({
    lighttpd: (host: GitwebHost, socket: string) => startGitwebLighttpd(host, { socket }),
    // Elsewhere nginx is seen before a bridge, and here a socket that is the bridge's own.
    ...(isFull && { nginx: startGitwebNginx }),
  })) {
    it(`stands at a socket of its own, behind ${name}: no request fails`, async () => {
      const host = await makeGitwebHost();
      const bridge = await serveGitweb(host);
      const webServer = await start(host, bridge.socket);
      try {
        assert.deepEqual(await load(webServer.url), { 200: REQUESTS });
      } finally {
        await webServer.stop();
      }
      assert.ok(recycles(bridge.log()) >= LEAST_RECYCLES);
      assert.doesNotMatch(bridge.log(), / error /);
      assert.equal(await bridge.stop(), 0);
    });
  }

  it('is killed after each tenth answer: no request fails', async () => {
    const host = await makeGitwebHost();
    const bridge = await serveGitweb(host);
    const webServer = await startGitwebLighttpd(host, { socket: bridge.socket });
    const killed = new Set<number>();
    let answers = 0;
    // By answers and not by time: on a slow machine none would ever come to answer.
    const kill = (): void => {
      if (++answers % 10 > 0) return;
      const ready = [...bridge.log().matchAll(/ worker accepts connections pid=(\d+)/g)].map(([, pid]) =>
        Number(pid),
      );
      const [victim] = childrenOf(bridge.process.pid ?? 0).filter(
        (pid) => ready.includes(pid) && !killed.has(pid),
      );
      if (victim === undefined) return;
      process.kill(victim, 'SIGKILL');
      killed.add(victim);
    };
    try {
      assert.deepEqual(await load(webServer.url, REQUESTS, kill), { 200: REQUESTS });
    } finally {
      await webServer.stop();
    }
    console.log(`# ${String(killed.size)} kills`);
    assert.ok(killed.size > 10);
    assert.equal(await bridge.stop(), 0);
  });
});
