import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Place } from '../../../src/cli/options/option.js';
import { count, durationMs, fileMode, sizeBytes, umask } from '../../../src/cli/options/parsers.js';

const place: Place = { option: 'some-option', shown: '--some-option', directory: '/' };

/** Each text is refused with the option, the text and what is expected. */
function refuses(
  read: (text: string, place: Place) => unknown,
  expected: RegExp,
  texts: readonly string[],
): void {
  for (const text of texts) {
    assert.throws(
      () => read(text, place),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ERR_USAGE', text);
        assert.ok(error.message.startsWith(`--some-option ${text}: expected `), error.message);
        assert.match(error.message, expected);
        return true;
      },
      JSON.stringify(text),
    );
  }
}

describe('A duration', () => {
  it('is a number with its unit', () => {
    const durations = {
      '500ms': 500,
      '30s': 30_000,
      '5m': 300_000,
      '1.5h': 5_400_000,
      '2d': 172_800_000,
      '1ms': 1,
    };
    for (const [text, value] of Object.entries(durations)) assert.equal(durationMs(text, place), value, text);
  });

  it('is none where it is 0', () => {
    assert.equal(durationMs('0', place), 0);
  });

  it('is at most what a timer can hold, so that a long one does not pass at once', () => {
    assert.equal(durationMs('24d', place), 2_073_600_000);
    refuses(durationMs, /at most 24d/, ['25d', '600h', '2147483648ms', `${'9'.repeat(400)}d`]);
  });

  it('is nothing else, and in particular no number without a unit', () => {
    const wrong = [
      '',
      '30',
      '-1s',
      '+1s',
      '1 s',
      ' 1s',
      '1s ',
      '1s\n',
      '1e3s',
      '0s',
      '0.4ms',
      '.5s',
      '5.s',
      '1y',
      '1w',
      'NaN',
      '0x10s',
    ];
    refuses(durationMs, /a duration with its unit, as in 500ms, 30s, 5m or 1h .*or 0 for none$/, wrong);
  });
});

describe('A size', () => {
  it('is a number with its unit', () => {
    const sizes = { '512b': 512, '64kb': 65_536, '1mb': 1_048_576, '1.5KB': 1536, '2GB': 2_147_483_648 };
    for (const [text, value] of Object.entries(sizes)) assert.equal(sizeBytes(text, place), value, text);
  });

  it('is nothing else', () => {
    refuses(sizeBytes, /a size of 1b or more$/, ['0b', '0.5b', '0kb']);
    const wrong = ['', '0', '64', '64k', '-1kb', '1 kb', 'kb', '1kb\n', '1tb', '1e3kb'];
    refuses(sizeBytes, /a size with its unit, as in 512b, 64kb or 1mb$/, wrong);
  });

  it('is at most what can be counted by bytes', () => {
    assert.equal(sizeBytes('8388607gb', place), 8_388_607 * 1024 ** 3);
    refuses(sizeBytes, /less than 8388608gb$/, ['8388608gb', '99999999999gb', `${'9'.repeat(400)}b`]);
  });
});

describe('A count', () => {
  it('is a whole number of at least the least', () => {
    assert.equal(count(1)('1', place), 1);
    assert.equal(count(0)('0', place), 0);
    assert.equal(count(1)('999999999', place), 999_999_999);
    refuses(count(1), /a whole number, 1 or more$/, [
      ...['0', '-1', '', '1.0', '1.5', '1e3', '0x10', ' 1', '1\n', 'many'],
    ]);
    refuses(count(1), /a whole number, 1 to 999999999$/, ['1000000000', '9'.repeat(400)]);
  });

  it('is no more than the most', () => {
    assert.equal(count(0, 19)('19', place), 19);
    refuses(count(0, 19), /a whole number, 0 to 19$/, ['20', '-1', 'x']);
  });
});

describe('A umask', () => {
  it('leaves the owner what is his', () => {
    const given = { '027': 0o027, '0022': 0o022, '77': 0o077, '0': 0 };
    for (const [text, value] of Object.entries(given)) assert.equal(umask(text, place), value, text);
    refuses(umask, /what others may not, in octal from 000 to 077, as in 027$/, [
      ...['', '100', '0777', '028', '-27', '0o27', 'rw', '27\n', '00027'],
    ]);
  });
});

describe('Permissions', () => {
  it('are three octal digits, with or without a zero before them', () => {
    assert.equal(fileMode('0660', place), 0o660);
    assert.equal(fileMode('600', place), 0o600);
    assert.equal(fileMode('000', place), 0);
    refuses(fileMode, /permissions in octal, as in 0660$/, [
      '',
      '0',
      '66',
      '0668',
      '1777',
      '04755',
      'rw',
      '0o660',
      '660\n',
    ]);
  });
});
