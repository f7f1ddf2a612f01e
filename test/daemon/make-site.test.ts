import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';

import type { ServedSiteConfiguration, SiteConfiguration } from '../../src/daemon/configuration.js';
import { makeSite } from '../../src/daemon/make-site.js';
import type { Site } from '../../src/sites/site.js';

const script: SiteConfiguration = { kind: 'script', file: '/bin/true', args: [] };
const saved = { ...process.env };

afterEach(() => {
  process.env = { ...saved };
});

/** `makeSite` reads no more of a configuration than this. */
const site = (
  options: Pick<ServedSiteConfiguration, 'site'> & Partial<ServedSiteConfiguration>,
): Promise<Site> => makeSite({ env: new Map(), passEnv: [], ...options } as ServedSiteConfiguration);

async function variables(options: Partial<ServedSiteConfiguration>): Promise<Record<string, string>> {
  const resolution = await (await site({ site: script, ...options })).resolve([]);
  assert.equal(resolution.kind, 'run');
  return Object.fromEntries(resolution.invocation.variables);
}

describe('A program’s environment', () => {
  it('has of the daemon’s own variables PATH and what --pass-env names, octet by octet', async () => {
    process.env = { PATH: '/ours', LANG: 'de_DE', NAME: 'é', SECRET: 'x' };
    assert.deepEqual(await variables({ passEnv: ['NAME', 'LANG', 'UNSET'] }), {
      GATEWAY_INTERFACE: 'CGI/1.1',
      PATH: '/ours',
      LANG: 'de_DE',
      NAME: '\xc3\xa9',
    });
  });

  it('has a PATH where the daemon has none', async () => {
    process.env = {};
    assert.equal((await variables({}))['PATH'], '/usr/local/bin:/usr/bin:/bin');
  });

  it('has what --env says rather than what --pass-env does', async () => {
    process.env = { NAME: 'passed' };
    assert.equal((await variables({ passEnv: ['NAME'], env: new Map([['NAME', 'said']]) }))['NAME'], 'said');
  });
});

describe('A configuration’s site', () => {
  it('is made or refused for what it names', async () => {
    await assert.rejects(site({ site: { ...script, file: '/missing' } }), {
      code: 'ERR_START',
      message: /^script \/missing/,
    });
    await assert.rejects(site({ site: { kind: 'dir', roots: ['/missing'] } }), {
      code: 'ERR_START',
      message: /^--root \/missing/,
    });
    const hg = {
      kind: 'hg',
      repos: '/',
      markers: undefined,
      urlPrefix: '',
      trustRemoteUser: false,
      hgwebConfig: undefined,
    } as const;
    await assert.rejects(site({ site: { ...hg, hg: '/missing' } }), {
      code: 'ERR_MERCURIAL',
      message: /^--hg \/missing/,
    });
    await assert.rejects(site({ site: { ...hg, markers: '/missing', hg: 'hg' } }), {
      code: 'ERR_START',
      message: /^--markers \/missing/,
    });
  });
});
