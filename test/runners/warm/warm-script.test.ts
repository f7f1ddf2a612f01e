import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Invocation } from '../../../src/cgi/invocation.js';
import type { ForkServer } from '../../../src/runners/warm/fork-server.js';
import type { Variables } from '../../../src/runners/warm/messages.js';
import { NotForked } from '../../../src/runners/warm/forked-processes.js';
import { WarmScript } from '../../../src/runners/warm/warm-script.js';
import { settled } from '../../helpers/sinks.js';

const invocationWith = (value: string): Invocation => {
  return { file: '/s', args: [], directory: '/', variables: new Map([['V', value]]) };
};

/** A script whose fork servers only say that they serve, what each was made to load, and how each is taught. */
function makeScript() {
  const loaded: Variables[] = [];
  const teach: ((modules: Variables) => void)[] = [];
  const problems: string[] = [];
  let isStale = false;
  const script = new WarmScript({
    makeServer: (variables, modules, onLearned) => {
      loaded.push(modules);
      teach.push(onLearned);
      return {
        ready: Promise.resolve(variables),
        gone: new Promise(() => undefined),
        fork: () => (isStale ? Promise.reject(new NotForked('stale', 's')) : Promise.resolve({})),
        close: () => undefined,
      } as unknown as ForkServer;
    },
    onProblem: (reason) => problems.push(reason),
    onServing: () => undefined,
  });
  const fork = async (value = ''): Promise<void> => {
    await script.fork(invocationWith(value), []);
    await settled();
  };
  const change = async (): Promise<void> => {
    isStale = true;
    await fork();
    isStale = false;
    await fork();
  };
  return { loaded, teach, problems, fork, change };
}

describe('A script that is run warm', () => {
  it('has those modules loaded ahead that all requests have found in the same file', async () => {
    const { loaded, teach, fork } = makeScript();
    await fork();
    teach[0]?.(
      new Map([
        ['same', '/same'],
        ['other', '/one'],
      ]),
    );
    teach[0]?.(
      new Map([
        ['same', '/same'],
        ['other', '/two'],
      ]),
    );
    teach[0]?.(new Map([['other', '/one']]));
    await fork();
    assert.deepEqual(
      loaded.map((modules) => [...modules]),
      [
        [],
        [
          ['same', '/same'],
          ['other', ''],
        ],
      ],
    );
  });

  it('has a module loaded ahead that finds something else changed each time, but says that it may not look at that', async () => {
    const { loaded, teach, fork } = makeScript();
    await fork();
    for (const taught of ['/m\x01a=1\x01b=1', '/m\x01a=1\x01b=2\x01c=1', '/m\x01a=1\x01b=1'])
      teach[0]?.(new Map([['m', taught]]));
    await fork();
    assert.deepEqual([...(loaded.at(-1) ?? [])], [['m', '/m\x01a=1\x01b=\x02\x01c=\x02']]);
  });

  it('learns from the beginning where each module is once it has changed', async () => {
    const { loaded, teach, fork, change } = makeScript();
    await fork();
    teach[0]?.(new Map([['moved', '/old']]));
    await fork();
    await change();
    teach.at(-1)?.(
      new Map([
        ['moved', '/new'],
        ['more', '/more'],
      ]),
    );
    await fork();
    assert.deepEqual(
      [...(loaded.at(-1) ?? [])],
      [
        ['moved', '/new'],
        ['more', '/more'],
      ],
    );
  });

  it('has fork servers for four values of what decides while it is loaded, and says of what', async () => {
    const { loaded, problems, fork } = makeScript();
    for (const value of ['a', 'b', 'c', 'd', 'a']) await fork(value);
    assert.deepEqual([loaded.length, problems], [4, []]);
    await fork('e');
    assert.deepEqual([loaded.length, problems], [4, ['it loads differently for different values of V']]);
  });
});
