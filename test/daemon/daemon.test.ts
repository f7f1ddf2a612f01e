import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { before, describe, it } from 'node:test';

import { defaultConfiguration } from '../../src/cli/configuration.js';
import type { Configuration } from '../../src/daemon/configuration.js';
import { Daemon } from '../../src/daemon/daemon.js';
import type { Log } from '../../src/observe/log.js';
import { ask, connect } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let directory: string;
before(async () => {
  directory = await temporaryDirectory();
});

const ignore = (): void => undefined;
const log: Log = { error: ignore, warn: ignore, info: ignore, debug: ignore };

type SiteOfTest = Parameters<typeof defaultConfiguration>[0][number];

/** A site that runs a script, on a socket of that name. */
function scriptSite(name: string, file: string): SiteOfTest {
  const site = { kind: 'script', file, args: [] } as const;
  return { name, site, listen: [{ kind: 'unix', path: `${directory}/${name}` }], killGraceMs: 100 };
}

const configuration = (...sites: SiteOfTest[]): Configuration =>
  defaultConfiguration(sites, { stopGraceMs: 100 });

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

  it('ends without what SIGKILL does not end', async () => {
    const errors: string[] = [];
    const daemon = await Daemon.start(configuration(scriptSite('kept', fixture('cgi/is-traced.py'))), {
      ...log,
      error: (_fields, message) => errors.push(message),
    });
    const closed = connect(`${directory}/kept`);
    const request = closed.send([['REQUEST_METHOD', 'GET']], { keepConn: false, bodyBytes: 0 });
    request.stdin.end();
    const [said] = (await once(request.stdout, 'data')) as [Buffer];
    const tracer = Number(/tracer (\d+)/.exec(said.toString())?.[1]);
    try {
      const closing = daemon.close();
      await daemon.destroy(200);
      await closing;
      assert.match(errors.join(), /the system does not end all processes/);
    } finally {
      process.kill(tracer, 'SIGKILL');
      closed.close();
    }
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
