import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { WaitSignal } from '../../src/base/timer.js';
import { SharedWalk } from '../../src/sites/shared-walk.js';

/** Walks that end when they are told to, by name. */
class Walks {
  readonly shared = new SharedWalk<string>();
  readonly begun: { readonly end: (found: string) => void; readonly signal: WaitSignal }[] = [];

  ask(name: string, signal?: AbortSignal): Promise<string> {
    return this.shared.take(
      name,
      (stop) => new Promise((resolve) => this.begun.push({ end: resolve, signal: stop })),
      signal,
    );
  }
}

/** Lets walks begin that were asked for. */
const turn = (): Promise<void> => new Promise(setImmediate);

describe('A walk', () => {
  it('is one for all who ask for the same before it begins, and another for who asks later', async () => {
    const walks = new Walks();
    const asked = [walks.ask('a'), walks.ask('a'), walks.ask('b')];
    await turn();
    assert.equal(walks.begun.length, 2);
    for (const [index, { end }] of walks.begun.entries()) end(`found ${String(index)}`);
    assert.deepEqual(await Promise.all(asked), ['found 0', 'found 0', 'found 1']);
    const later = walks.ask('a');
    await turn();
    assert.equal(walks.begun.length, 3);
    walks.begun[2]?.end('found again');
    assert.equal(await later, 'found again');
  });

  it('is the next one for who asks while one is under way, which may have passed what is new', async () => {
    const walks = new Walks();
    const first = walks.ask('a');
    await turn();
    const later = [walks.ask('a'), walks.ask('a')];
    await turn();
    assert.equal(walks.begun.length, 1, 'one at a time');
    walks.begun[0]?.end('old');
    assert.equal(await first, 'old');
    await turn();
    assert.equal(walks.begun.length, 2);
    walks.begun[1]?.end('new');
    assert.deepEqual(await Promise.all(later), ['new', 'new']);
  });

  it('goes on until the last one has left who waits for it; then another begins at once', async () => {
    const walks = new Walks();
    const [one, other] = [new AbortController(), new AbortController()];
    const asked = [walks.ask('a', one.signal), walks.ask('a', other.signal)];
    await turn();
    one.abort(new Error('left'));
    await assert.rejects(asked[0] ?? assert.fail(), { message: 'left' });
    assert.equal(walks.begun[0]?.signal.aborted, false);
    const again = walks.ask('a');
    other.abort(new Error('left too'));
    await assert.rejects(asked[1] ?? assert.fail(), { message: 'left too' });
    assert.equal(walks.begun[0].signal.aborted, true);
    await turn();
    walks.begun[1]?.end('found');
    assert.equal(await again, 'found');
    await assert.rejects(walks.ask('a', one.signal), { message: 'left' });
    assert.equal(walks.begun.length, 2);
  });

  it('is not begun where all who waited for it have left', async () => {
    const walks = new Walks();
    const first = walks.ask('a');
    await turn();
    const gone = new AbortController();
    const asked = walks.ask('a', gone.signal);
    gone.abort(new Error('left'));
    await assert.rejects(asked, { message: 'left' });
    walks.begun[0]?.end('found');
    assert.equal(await first, 'found');
    await turn();
    assert.equal(walks.begun.length, 1);
    const second = walks.ask('a');
    await turn();
    const another = new AbortController();
    const abandoned = walks.ask('a', another.signal);
    another.abort(new Error('left'));
    await assert.rejects(abandoned, { message: 'left' });
    const again = walks.ask('a');
    walks.begun[1]?.end('found');
    await second;
    await turn();
    walks.begun[2]?.end('found again');
    assert.equal(await again, 'found again', 'nobody is given one that has been given up');
  });

  it('that fails, fails for all who wait for it, and not for the next one', async () => {
    const shared = new SharedWalk<string>();
    const fail = (): Promise<string> => Promise.reject(new Error('broken'));
    const asked = [shared.take('a', fail), shared.take('a', fail)];
    for (const each of asked) await assert.rejects(each, { message: 'broken' });
    assert.equal(await shared.take('a', () => Promise.resolve('found')), 'found');
  });
});
