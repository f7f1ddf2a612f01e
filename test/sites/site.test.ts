import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { refuse, resolveRequest, run } from '../../src/sites/site.js';

const answering = (value: string): ReturnType<typeof run> =>
  run({ file: '/bin/x', args: [], directory: '/', variables: new Map([['X', value]]) });

describe('A request', () => {
  it('is what its site makes of it, unless a variable would have a NUL byte', async () => {
    for (const resolution of [answering('ab'), refuse(404, 'Nothing here.')]) {
      assert.equal(await resolveRequest({ resolve: () => Promise.resolve(resolution) }, []), resolution);
    }
    const site = { resolve: () => Promise.resolve(answering('a\0b')) };
    assert.deepEqual(
      await resolveRequest(site, []),
      refuse(400, 'X contains a NUL byte, which no variable can hold.'),
    );
  });
});
