import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { describe, it } from 'node:test';

import { fromText } from '../../../src/bytes.js';
import type { Invocation } from '../../../src/cgi/invocation.js';
import { fixture } from '../../helpers/bridge.js';
import { runBy, spawned, Warm } from '../../helpers/warm.js';

const REQUESTS = 1_000;
/** As many at once. */
const CONCURRENCY = 4;

const variables = new Map([
  ['PATH', '/usr/bin:/bin'],
  ['ODD', 'lat\xefn\n=\x01'],
  ['EMPTY', ''],
  ['a.b c', 'no shell can name it'],
]);

function invocationOf(name: string, more: Partial<Invocation> = {}): Invocation {
  const file = fixture(`cgi/${name}`);
  return {
    file: fromText(file),
    args: ['-a', 'b \xff'],
    directory: fromText(dirname(file)),
    variables,
    ...more,
  };
}

/** What is the same in every process, and what is not the same in any two. */
function facts(stdout: string): { same: string[]; varies: string } {
  const lines = stdout.split('\n');
  const varies = lines.filter((line) => line.startsWith('varies'));
  return { same: lines.filter((line) => !/^(varies|parent)/.test(line)), varies: varies.join('\n') };
}

for (const [script, code] of [
  ['changes-all-it-can.py', 0],
  ['changes-all-it-can.pl', 3],
] as const) {
  describe(`A warm process of ${script}`, { timeout: 300_000 }, () => {
    it('finds everything as a new one does, the thousandth like the first, but for what is random', async () => {
      const warm = new Warm();
      const invocation = invocationOf(script);
      const expected = facts((await runBy(spawned, invocation, 'the body')).stdout).same;
      assert.ok(expected.length > 10);
      await warm.warmUp(invocation);
      const seen = new Set<string>();
      let begun = 0;
      const runAll = async (): Promise<void> => {
        while (begun < REQUESTS) {
          const request = `request ${String(++begun)}`;
          const { stdout, stderr, outcome, isWarm } = await warm.run(invocation, 'the body');
          const { same, varies } = facts(stdout);
          assert.deepEqual(same, expected, request);
          assert.deepEqual([stderr, outcome.exit], ['', { kind: 'exited', code }], request);
          assert.ok(isWarm, request);
          for (const random of varies.split(/[ ,]+/)) if (random.length > 8) seen.add(random);
        }
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, runAll));
      assert.ok(seen.size >= 3 * REQUESTS, `${String(seen.size)} different values`);
    });
  });
}
