import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { firstMismatch, lineMatches, varyingRanges } from '../../../src/cli/verify/matching.js';

const lines = (text: string): readonly string[] => text.split('|');
const find = (samples: readonly string[], seen: string): unknown =>
  firstMismatch(samples.map(lines), lines(seen), lineMatches);

describe('A sequence is like others', () => {
  it('where it has what they all have', () => {
    assert.equal(find(['a|b|c', 'a|b|c'], 'a|b|c'), undefined);
    assert.deepEqual(find(['a|b|c', 'a|b|c'], 'a|x|y'), { at: 1, expected: 'b', seen: 'x' });
    assert.deepEqual(find(['a|b', 'a|b'], 'a|b|c'), { at: 2, expected: undefined, seen: 'c' });
    assert.deepEqual(find(['a|b', 'a|b'], 'a'), { at: 1, expected: 'b', seen: undefined });
  });

  it('whatever it has where they differ, word by word', () => {
    const samples = ['a|it is 10:00:59, token=1f', 'a|it is 10:01:00, token=c3'];
    assert.equal(find(samples, 'a|it is 10:00:07, token=aa'), undefined);
    assert.notEqual(find(samples, 'a|it is 11:00:07, token=aa'), undefined);
    assert.notEqual(find(samples, 'a|it was 10:00:07, token=aa'), undefined);
    assert.notEqual(find(samples, 'b|it is 10:00:07, token=aa'), undefined);
  });

  it('where they differ in length, if it begins and ends as they do', () => {
    const samples = ['first|x|last', 'first|x|x|y|last'];
    for (const like of ['first|last', 'first|x|last', 'first|1|2|3|last']) {
      assert.equal(find(samples, like), undefined, like);
    }
    assert.deepEqual(find(samples, 'first|x|end'), { at: 2, expected: 'last', seen: 'end' });
    assert.deepEqual(find(samples, 'First|last'), { at: 0, expected: 'first', seen: 'First' });
    assert.deepEqual(find(samples, 'first'), { at: 1, expected: 'x', seen: undefined });
  });
});

describe('What varies', () => {
  it('is told by its places', () => {
    assert.deepEqual(varyingRanges([lines('a|b|c|d'), lines('a|x|y|d'), lines('a|b|c|z')]), [[1, 3]]);
    assert.deepEqual(varyingRanges([lines('a|b|c'), lines('x|b|y')]), [
      [0, 0],
      [2, 2],
    ]);
    assert.deepEqual(varyingRanges([lines('a|b|c'), lines('a|1|2|3|c')]), [[1, 3]]);
    assert.deepEqual(varyingRanges([lines('a'), lines('a')]), []);
  });
});
