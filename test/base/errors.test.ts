import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { BridgeError, bridgeErrorOf, linesOf, OptionError } from '../../src/base/errors.js';

describe('Errors', () => {
  const usage = new OptionError('ERR_USAGE', { option: 'root', value: '/x', why: 'expected a directory' });
  const start = new BridgeError('ERR_START', 'not there');

  it('of an option name it, its value and what is wrong', () => {
    assert.equal(usage.message, '--root /x: expected a directory');
    assert.equal(
      new OptionError('ERR_USAGE', { option: 'root', why: 'is missing' }).message,
      '--root is missing',
    );
    const argument = { option: 'file', value: '/x', why: 'expected a file', shown: 'script' };
    assert.equal(new OptionError('ERR_START', argument).message, 'script /x: expected a file');
  });

  it('are one error where there are several, with a line for each; wrong usage is what counts', () => {
    const all = bridgeErrorOf([start, usage]);
    assert.equal(all?.code, 'ERR_USAGE');
    assert.deepEqual(linesOf(all), ['not there', '--root /x: expected a directory']);
    assert.equal(bridgeErrorOf([start]), start);
    assert.equal(bridgeErrorOf([]), undefined);
    assert.deepEqual(linesOf(new Error('one')), ['one']);
  });
});
