import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';

import { repetitions } from '../../../src/cli/verify/differences.js';
import type { RecordedResponse, Written } from '../../../src/cli/verify/runner-pair.js';

function written(text: string): Written {
  return {
    beginning: text,
    bytes: text.length,
    sha256: createHash('sha256').update(text).digest('hex'),
  };
}

function answers(...bodies: string[]): readonly RecordedResponse[] {
  return bodies.map((body) => ({
    status: 200,
    fields: new Map([['content-type', 'text/plain']]),
    body: written(body),
    stderr: written(''),
    exit: 'exit status 0',
    end: 'completed',
  }));
}

describe('A repetition', () => {
  it('is a word that is another one in every new process, and the same in all warm ones', () => {
    const found = repetitions(
      answers('at 1 a\n', 'at 2 b\n', 'at 3 c\n'),
      answers('at 4 x\n', 'at 5 x\n', 'at 6 x\n'),
    );
    assert.deepEqual(found, [{ part: 'body', line: 1, spawn: 'at 1 a', warm: 'at 4 x', repeats: 3 }]);
  });

  it('is none where warm ones differ too, or new ones repeat themselves', () => {
    assert.deepEqual(repetitions(answers('a\n', 'b\n', 'c\n'), answers('x\n', 'x\n', 'y\n')), []);
    assert.deepEqual(
      repetitions(answers('10:01\n', '10:01\n', '10:02\n'), answers('10:02\n', '10:02\n', '10:02\n')),
      [],
    );
  });

  it('is a long word where they differ in their number of lines', () => {
    const spawned = answers('1\ntoken=aaaaaaaa\n', 'token=bbbbbbbb\n', 'token=cccccccc\n');
    const found = repetitions(
      spawned,
      answers('1\n2\ntoken=xxxxxxxx\n', 'token=xxxxxxxx\n', 'token=xxxxxxxx\n'),
    );
    assert.deepEqual(found, [{ part: 'body', line: 3, spawn: null, warm: 'token=xxxxxxxx', repeats: 3 }]);
    assert.deepEqual(repetitions(spawned, answers('1\n2\n', 'token=aaaaaaaa\n', 'token=dddddddd\n')), []);
  });
});
