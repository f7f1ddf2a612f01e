import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';

import { type Log, RepeatedEvents } from '../../src/observe/log.js';

/** Events with a clock that stands still, and what was logged. */
function repeated(context: TestContext): { events: RepeatedEvents; lines: string[] } {
  context.mock.timers.enable({ apis: ['setInterval'] });
  const lines: string[] = [];
  const note: Log['warn'] = (fields, message) => lines.push(`${message} ${JSON.stringify(fields)}`);
  return { events: new RepeatedEvents({ error: note, warn: note, info: note, debug: note }), lines };
}

describe('Events that repeat', () => {
  it('are logged once at once, and then as a number for each interval', (context) => {
    const { events, lines } = repeated(context);
    const refuse = (id: number, kind = 'full'): void => {
      events.log(kind, 'warn', () => ({ id }), kind);
    };
    for (let id = 1; id <= 1_000; id++) refuse(id);
    refuse(7, 'late');
    assert.deepEqual(lines.splice(0), ['full {"id":1}', 'late {"id":7}']);
    context.mock.timers.tick(10_000);
    assert.deepEqual(lines.splice(0), ['999 more within 10 s: full {"id":1000,"count":999}']);
    refuse(1_001);
    assert.deepEqual(lines.splice(0), []);
    context.mock.timers.tick(10_000);
    assert.deepEqual(lines.splice(0), ['1 more within 10 s: full {"id":1001,"count":1}']);
    context.mock.timers.tick(20_000);
    refuse(1_002);
    assert.deepEqual(lines.splice(0), ['full {"id":1002}']);
  });

  it('are counted to the end', (context) => {
    const { events, lines } = repeated(context);
    for (let id = 1; id <= 3; id++) events.log('full', 'warn', () => ({ id }), 'full');
    events.close();
    assert.deepEqual(lines, ['full {"id":1}', '2 more within 10 s: full {"id":3,"count":2}']);
  });
});
