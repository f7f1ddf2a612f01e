import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';

import { fitConnections, type Needs } from '../../src/daemon/configuration.js';
import { descriptorLimit } from '../../src/posix/descriptors.js';

const site = (maxConnections: number): Needs => ({
  listen: ['/a', '/b'],
  maxConnections,
  maxProcesses: 10,
  site: { kind: 'script' },
  runner: { kind: 'spawn', maxForkServers: 16 },
});
/** 64 of our own, two listening sockets, ten processes, and two for each connection. */
const NEEDED = 64 + 2 + 10 * 6 + 100 * 2;

describe('The connections that there are descriptors for', () => {
  it('are as many as were asked for, where the limit allows that', () => {
    assert.deepEqual(fitConnections([site(100)], NEEDED), { sites: [site(100)], maxSpools: 100 });
    assert.deepEqual(fitConnections([site(100)], Infinity), { sites: [site(100)], maxSpools: Infinity });
  });

  it('are fewer where it does not, and the warning says why', () => {
    assert.deepEqual(fitConnections([site(100)], NEEDED - 1), {
      sites: [site(99)],
      maxSpools: 100,
      warning: `--max-connections 100 is lowered to 99: all in all ${String(NEEDED)} descriptors might be needed, and this process may have ${String(NEEDED - 1)} descriptors (ulimit -n)`,
    });
  });

  it('leave the rest to bodies on disk, of which one connection may have many', () => {
    assert.equal(fitConnections([site(100)], NEEDED + 50).maxSpools, 150);
  });

  it('are the same part of what each of several sites has asked for', () => {
    const all = [site(101), site(51), site(1)];
    const fixed = 64 + 6 + 30 * 6;
    assert.deepEqual(fitConnections(all, fixed + 2 * 153).sites, all);
    const halves = fitConnections(all, fixed + 2 * (3 + 75)).sites;
    assert.deepEqual(
      halves.map(({ maxConnections }) => maxConnections),
      [51, 26, 1],
    );
  });

  it('are counted besides fork servers, and for an application besides its workers', () => {
    const warm: Needs = { ...site(100), runner: { kind: 'warm', maxForkServers: 16 } };
    assert.equal(fitConnections([warm], NEEDED + 6 * 16).warning, undefined);
    assert.match(fitConnections([warm], NEEDED + 6 * 16 - 1).warning ?? '', /lowered to 99/);
    assert.equal(fitConnections([site(50), site(50)], NEEDED + 2, 10).warning, undefined);
    const application: Needs = { ...site(100), site: { kind: 'worker', workers: 19 } };
    assert.equal(fitConnections([application], NEEDED + 6 * 10).warning, undefined);
    assert.match(fitConnections([application], NEEDED + 6 * 10 - 1).warning ?? '', /lowered to 99/);
  });

  it('are one for each site at least, or the daemon does not start', () => {
    assert.deepEqual(fitConnections([site(100)], NEEDED - 99 * 2).sites, [site(1)]);
    assert.throws(() => fitConnections([site(100)], NEEDED - 99 * 2 - 1), {
      code: 'ERR_START',
      message:
        '10 processes (--max-processes) need 126 descriptors without those of connections, and this process may have 127 descriptors (ulimit -n): lower the one or raise the other',
    });
  });
});

describe('The limit of descriptors', () => {
  it('is what the system says', () => {
    const module = new URL('../../src/posix/descriptors.js', import.meta.url).href;
    const program = `console.log((await import('${module}')).descriptorLimit())`;
    const args = ['--nofile=123:123', process.execPath, '--input-type=module', '-e', program];
    assert.equal(execFileSync('prlimit', args, { encoding: 'utf8' }), '123\n');
    assert.ok(descriptorLimit() > 0);
  });
});
