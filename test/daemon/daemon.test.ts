import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { before, describe, it } from 'node:test';

import type { Configuration, ServedSiteConfiguration } from '../../src/daemon/configuration.js';
import { Daemon } from '../../src/daemon/daemon.js';
import type { Log } from '../../src/observe/log.js';
import { ask } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let directory: string;
before(async () => {
  directory = await temporaryDirectory();
});

const ignore = (): void => undefined;
const log: Log = { error: ignore, warn: ignore, info: ignore, debug: ignore };

/** A site that runs a script, on a socket of that name. */
function scriptSite(name: string, file: string): ServedSiteConfiguration {
  return {
    name,
    site: { kind: 'script', file, args: [] },
    listen: [{ kind: 'unix', path: `${directory}/${name}` }],
    socket: { mode: 0o600, owner: undefined, group: undefined },
    allowFrom: [],
    statusPath: undefined,
    healthPath: undefined,
    maxConnections: 8,
    maxRequestsPerConnection: 8,
    maxParamsBytes: 10_000,
    stdinBufferBytes: 10_000,
    maxSpoolBytes: 10_000,
    runner: { kind: 'spawn' },
    run: {
      startTimeoutMs: 0,
      idleTimeoutMs: 0,
      maxTimeMs: 0,
      killGraceMs: 100,
      maxHeaderBytes: 1_000,
      stderrTailBytes: 1_000,
      holdBytes: 1_000,
      holdAnswerBytes: 0,
    },
    limits: { memoryBytes: undefined, cpuSeconds: undefined, niceness: undefined },
    spawn: 'auto',
    admission: { maxProcesses: 2, maxQueue: 2, queueTimeoutMs: 0 },
    env: new Map(),
    passEnv: [],
  };
}

const configuration = (...sites: ServedSiteConfiguration[]): Configuration => ({
  sites,
  drainDelayMs: 0,
  stopGraceMs: 100,
  upgradeTimeoutMs: 0,
  user: undefined,
  group: undefined,
  chdir: undefined,
  umask: undefined,
  control: undefined,
  pidFile: undefined,
  background: false,
  log: { level: 'error', format: 'text', file: undefined },
  accessLog: undefined,
});

describe('A daemon of several sites', () => {
  it('serves each on its own listeners, and leaves no socket when it is closed', async () => {
    const daemon = await Daemon.start(
      configuration(
        scriptSite('query', fixture('cgi/prints-query.sh')),
        scriptSite('environment', fixture('cgi/prints-environment.sh')),
      ),
      log,
    );
    try {
      assert.deepEqual(daemon.addresses, [`unix:${directory}/query`, `unix:${directory}/environment`]);
      const params = { QUERY_STRING: 'Status: 200\n\nsaid' };
      const [query, environment] = await Promise.all([
        ask(`${directory}/query`, params),
        ask(`${directory}/environment`, params),
      ]);
      assert.equal(query.stdout, params.QUERY_STRING);
      assert.match(environment.stdout, /GATEWAY_INTERFACE=CGI\/1.1/);
    } finally {
      await daemon.close();
    }
    for (const name of ['query', 'environment']) assert.ok(!existsSync(`${directory}/${name}`), name);
  });

  it('listens nowhere before each of its sites is there', async () => {
    const sites = [
      scriptSite('first', fixture('cgi/prints-query.sh')),
      scriptSite('second', `${directory}/missing`),
    ];
    await assert.rejects(Daemon.start(configuration(...sites), log), { code: 'ERR_START' });
    assert.ok(!existsSync(`${directory}/first`));
  });

  it('leaves no socket where one of its listeners can’t be', async () => {
    const unreachable = {
      ...scriptSite('second', fixture('cgi/prints-query.sh')),
      listen: [{ kind: 'unix', path: `${directory}/missing/sock` }],
    } as const;
    const sites = [scriptSite('first', fixture('cgi/prints-query.sh')), unreachable];
    await assert.rejects(Daemon.start(configuration(...sites), log), { code: 'ERR_LISTEN' });
    assert.ok(!existsSync(`${directory}/first`));
  });
});
