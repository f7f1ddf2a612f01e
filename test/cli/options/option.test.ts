import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { flag, list, optional, readOptions, required, value } from '../../../src/cli/options/option.js';
import { count, durationMs, path, program, sizeBytes, text } from '../../../src/cli/options/parsers.js';
import type { OptionError } from '../../../src/base/errors.js';

const graces = {
  killGraceMs: value('', 'kill-grace', durationMs, '5s', ''),
  admission: { maxQueue: value('', 'max-queue', count(0), '512', '') },
  maxParamsBytes: value('', 'max-params-size', sizeBytes, '256kb', ''),
};

describe('A table of options', () => {
  it('is read to values in its own shape, to its defaults where nothing was given', () => {
    assert.deepEqual(readOptions(graces, new Map([['max-queue', '7']])), {
      killGraceMs: 5_000,
      admission: { maxQueue: 7 },
      maxParamsBytes: 262_144,
    });
  });

  it('has flags that are off, lists that are empty and options that are undefined where nothing was given', () => {
    const table = {
      json: flag('', 'json', ''),
      headers: list('', 'header', text, ''),
      data: optional('', 'data', text, ''),
    };
    assert.deepEqual(readOptions(table, new Map()), { json: false, headers: [], data: undefined });
    const given = new Map<string, boolean | string | readonly string[]>([
      ['json', true],
      ['header', ['a', 'b']],
      ['data', '-'],
    ]);
    assert.deepEqual(readOptions(table, given), { json: true, headers: ['a', 'b'], data: '-' });
  });

  it('counts relative paths from the directory of their option, and leaves names of programs alone', () => {
    const table = {
      file: required('', 'file', path, ''),
      log: optional('', 'log', path, ''),
      hg: value('', 'hg', program, 'hg', ''),
      git: value('', 'git', program, './git', ''),
      listen: list('', 'listen', (given, { directory }) => `${directory} ${given}`, ''),
    };
    const given = new Map<string, string | readonly string[]>([
      ['file', 'a'],
      ['log', '/b'],
      ['listen', ['unix:sock']],
    ]);
    const reading = { report: () => assert.fail(), directoryOf: (option: string) => `/of-${option}` };
    assert.deepEqual(readOptions(table, given, reading), {
      file: '/of-file/a',
      log: '/b',
      hg: 'hg',
      git: '/of-git/git',
      listen: ['/of-listen unix:sock'],
    });
  });

  it('throws at the first value that can’t be used', () => {
    assert.throws(() => readOptions(graces, new Map([['kill-grace', '5']])), {
      code: 'ERR_USAGE',
      option: 'kill-grace',
      message: /^--kill-grace 5: expected a duration/,
    });
  });

  it('calls an argument by its name in capitals', () => {
    const table = { repeat: { ...required('', 'repeat', count(1), ''), isArgument: true } };
    assert.throws(() => readOptions(table, new Map([['repeat', 'x']])), { message: /^REPEAT x: expected/ });
  });

  it('goes on to the next value where somebody collects the problems', () => {
    const problems: OptionError[] = [];
    const given = new Map([
      ['kill-grace', '5'],
      ['max-queue', 'many'],
      ['max-params-size', '1'],
    ]);
    readOptions(graces, given, { report: (problem) => problems.push(problem), directoryOf: () => '/' });
    assert.deepEqual(
      problems.map(({ option }) => option),
      ['kill-grace', 'max-queue', 'max-params-size'],
    );
  });

  it('lets no error through as a problem that is none of the options’', () => {
    const fault = new TypeError('a mistake of ours');
    const faulty = (): never => {
      throw fault;
    };
    const table = { x: required('', 'x', faulty, '') };
    const reading = { report: () => assert.fail(), directoryOf: () => '/' };
    assert.throws(() => readOptions(table, new Map([['x', '1']]), reading), fault);
  });
});
