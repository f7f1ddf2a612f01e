import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { stopSignal } from '../../../src/daemon/process/signals.js';

describe('The signal to stop', () => {
  // Waiting for a signal alone does not keep a process alive.
  let alive: NodeJS.Timeout;
  before(() => {
    alive = setInterval(() => undefined, 60_000);
  });
  after(() => {
    clearInterval(alive);
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`is the first ${signal}; a further signal of either kind is told apart`, async () => {
      let again = 0;
      const stop = stopSignal(() => (again += 1));
      try {
        process.kill(process.pid, signal);
        assert.equal(await stop.received, signal);
        assert.equal(again, 0);
        process.emit('SIGTERM', 'SIGTERM');
        process.emit('SIGINT', 'SIGINT');
        assert.equal(again, 2);
      } finally {
        stop.dispose();
      }
    });
  }

  for (const isOrderFirst of [false, true]) {
    it(`and an order to stop are one, and two of each are two: ${isOrderFirst ? 'order' : 'signal'} first`, async () => {
      let again = 0;
      const stop = stopSignal(() => (again += 1));
      const signal = (): unknown => process.emit('SIGINT', 'SIGINT');
      const [one, other] = isOrderFirst ? [stop.order, signal] : [signal, stop.order];
      try {
        one();
        assert.equal(await stop.received, isOrderFirst ? 'SIGTERM' : 'SIGINT');
        other();
        assert.equal(again, 0);
        one();
        assert.equal(again, 1);
        other();
        assert.equal(again, 2);
      } finally {
        stop.dispose();
      }
    });
  }

  it('has its default meaning again in the end', () => {
    const before = process.listenerCount('SIGTERM') + process.listenerCount('SIGINT');
    const stop = stopSignal(() => undefined);
    stop.dispose();
    assert.equal(process.listenerCount('SIGTERM') + process.listenerCount('SIGINT'), before);
  });
});
