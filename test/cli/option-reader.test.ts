import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { OptionReader } from '../../src/cli/option-reader.js';
import type { OptionError } from '../../src/errors.js';

describe('A reader of options', () => {
  it('counts relative paths from the directory of their option, and leaves names of programs alone', () => {
    const given = { file: 'a', log: '/b', hg: 'hg', other: './hg', listen: ['unix:sock'] };
    const reader = new OptionReader(given, { directoryOf: (option) => `/of-${option}` });
    assert.equal(reader.path('file'), '/of-file/a');
    assert.equal(reader.path('log'), '/b');
    assert.equal(reader.path('missing'), undefined);
    assert.equal(reader.program('hg'), 'hg');
    assert.equal(reader.program('other'), '/of-other/hg');
    assert.deepEqual(
      reader.each('listen', (text, directory) => `${directory} ${text}`),
      ['/of-listen unix:sock'],
    );
  });

  it('throws at the first value that can’t be used', () => {
    const reader = new OptionReader({ 'kill-grace': '5' });
    assert.throws(() => reader.durationMs('kill-grace'), {
      code: 'ERR_USAGE',
      option: 'kill-grace',
      message: /^--kill-grace 5: expected a duration/,
    });
  });

  it('goes on to the next one where somebody collects the problems', () => {
    const problems: OptionError[] = [];
    const given = { 'kill-grace': '5', 'max-queue': 'many', 'max-params-size': '1', env: ['a', 'b', 'c'] };
    const reader = new OptionReader(given, { report: (problem) => problems.push(problem) });
    reader.durationMs('kill-grace');
    reader.count('max-queue', 0);
    reader.sizeBytes('max-params-size');
    assert.deepEqual(
      problems.map(({ option }) => option),
      ['kill-grace', 'max-queue', 'max-params-size'],
    );
  });

  it('lets no error through as a problem that is none of the options’', () => {
    const reader = new OptionReader({}, { report: () => assert.fail() });
    const fault = new TypeError('a mistake of ours');
    assert.throws(
      () =>
        reader.read(0, () => {
          throw fault;
        }),
      fault,
    );
  });
});
