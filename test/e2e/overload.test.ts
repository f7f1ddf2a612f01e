import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { runToEnd } from '../helpers/command.js';
import { compare, type Storm } from '../soak/overload.js';

const soak = fileURLToPath(new URL('../soak/soak.js', import.meta.url));
const storms: readonly Storm[] = [{ script: 'slow', clients: 5 }];
const contenders = (['bridge', 'fcgiwrap'] as const).map((name) => ({
  name,
  cpuMs: () => 0,
  logLines: () => 0,
}));

/**
 * What is printed where a web server answers requests for scripts, and for the next page, with these statuses; 0 for no
 * answer. It takes its time for those of the site `slow`.
 */
async function told(
  statuses: Readonly<Record<string, readonly number[]>>,
  { refusalMs, slow }: { refusalMs?: number; slow?: string } = {},
): Promise<{ isWell: boolean; printed: readonly string[] }> {
  const asked = new Map<string, number>();
  const server = createServer(({ url = '' }, response) => {
    const all = statuses[url] ?? [200];
    const index = asked.get(url) ?? 0;
    asked.set(url, index + 1);
    const status = all[index % all.length] ?? 200;
    if (status === 0) response.destroy();
    else setTimeout(() => response.writeHead(status).end(), url.startsWith(`/${slow ?? '-'}/`) ? 1_000 : 0);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const printed: string[] = [];
  try {
    const url = new URL(`http://127.0.0.1:${String(port)}`);
    const isWell = await compare(storms, contenders, url, (line) => printed.push(line), refusalMs);
    return { isWell, printed: printed.filter((line) => line.startsWith('WRONG')) };
  } finally {
    server.close();
  }
}

describe('The soak of overload', { timeout: 600_000 }, () => {
  it('finds all well with a few clients, on the real daemon and fcgiwrap', async () => {
    const few = ['--clients', '40', '--kind', 'trivial', '--kind', 'slow'];
    const { status, stdout, stderr } = await runToEnd(process.execPath, [soak, '--overload', ...few]);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' }, stdout);
    assert.match(stdout, /^40 trivial +bridge +40 +0 +0 +0 /m);
    assert.match(stdout, /^40 slow +fcgiwrap +40 +0 +0 +0 /m);
  });

  it('says what is wrong: a refusal that comes late', async () => {
    const { isWell, printed } = await told(
      { '/bridge/slow': [503], '/fcgiwrap/slow': [503] },
      { refusalMs: 0 },
    );
    assert.match(printed.join(), /^WRONG 5 slow: the last 503 came after [\d.]+ s$/);
    assert.ok(!isWell);
  });

  it('says what is wrong: fewer pages than by fcgiwrap, at a lower rate', async () => {
    const statuses = { '/bridge/slow': [503, 200] };
    const { printed } = await told(statuses, { slow: 'bridge' });
    assert.deepEqual(printed, ['WRONG 5 slow: 2 × 200, and 5 by fcgiwrap, at a higher rate']);
    assert.deepEqual((await told(statuses, { slow: 'fcgiwrap' })).printed, []);
  });

  for (const [what, statuses, wrong] of [
    ['nothing', {}, []],
    ['refusals', { '/bridge/slow': [503], '/fcgiwrap/slow': [0] }, []],
    [
      'a response of the web server’s own',
      { '/bridge/slow': [200, 502], '/fcgiwrap/slow': [0] },
      ['2 × 502'],
    ],
    [
      'a client without an answer',
      { '/bridge/slow': [200, 200, 0, 200, 200], '/fcgiwrap/slow': [0] },
      ['1 × no answer'],
    ],
    ['a next page that does not come', { '/bridge/trivial': [503] }, ['the next page: 503']],
  ] as const) {
    it(`says what is wrong: ${what}`, async () => {
      const { isWell, printed } = await told(statuses);
      assert.deepEqual(
        printed,
        wrong.map((fault) => `WRONG 5 slow: ${fault}`),
      );
      assert.equal(isWell, wrong.length === 0);
    });
  }
});
