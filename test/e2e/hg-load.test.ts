/** Many requests at once to published repositories, and processes that die under them. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { type HgHost, startHgHost, touch } from '../helpers/hg-site.js';
import { fetchRaw } from '../helpers/http.js';
import { makeLongRepository } from '../helpers/mercurial.js';
import { childrenOf, descriptorsOf, residentMiB, until } from '../helpers/processes.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { isFull } from '../helpers/webserver-table.js';

const CONCURRENCY = 8;
const REQUESTS = isFull ? 80 : 20;
const pages = ['/', '/log.hg/', '/log.hg/file/tip/', '/log.hg/rev/tip', '/log.hg/graph'];

describe('hg under load', () => {
  let host: HgHost;
  let pid: number;

  /** That many requests, eight at a time; the statuses and how many of each. */
  const load = async (requests: number): Promise<Record<number, number>> => {
    const statuses: Record<number, number> = {};
    let next = 0;
    const one = async (): Promise<void> => {
      while (next < requests) {
        const { status } = await fetchRaw(host.url, String(pages[next++ % pages.length]));
        statuses[status] = (statuses[status] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, one));
    return statuses;
  };

  before(async () => {
    host = await startHgHost('nginx', await temporaryDirectory());
    await makeLongRepository(join(host.repos, 'log'), 200);
    await touch(join(host.markers, 'log.hg'));
    await touch(join(host.markers, 'index.fcgi'));
    pid = host.bridge.process.pid ?? 0;
  });
  after(() => host.stop());

  it('answers a lot of requests at concurrency 8 and is then as it was', async () => {
    await load(CONCURRENCY);
    await until(() => childrenOf(pid).length === 0);
    const descriptors = descriptorsOf(pid);
    const memory = residentMiB(pid);
    assert.deepEqual(await load(REQUESTS), { 200: REQUESTS });
    await until(() => childrenOf(pid).length === 0);
    // One of a connection that was ending may have been counted before.
    await until(() => descriptorsOf(pid) <= descriptors);
    assert.ok(residentMiB(pid) < memory + 32, `${String(memory)} MiB before`);
  });

  it('loses only the request whose process is killed', async () => {
    const kills = 3;
    const requests = 4 * kills;
    const loading = load(requests);
    const killed = new Set<number>();
    while (killed.size < kills) {
      await until(() => childrenOf(pid).some((child) => !killed.has(child)));
      const victim = childrenOf(pid).find((child) => !killed.has(child));
      if (victim === undefined) continue;
      process.kill(victim, 'SIGKILL');
      killed.add(victim);
    }
    assert.deepEqual(await loading, { 200: requests - kills, 502: kills });
    for (const victim of killed) {
      const line = await host.bridge.logged(new RegExp(`pid=${String(victim)} `));
      assert.match(
        line,
        /error request failed: .*ended by signal SIGKILL.* status=502 exit="signal SIGKILL"/,
      );
    }
  });
});
