import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { complaintOf, endVerdict, exitStatusOf } from '../../../src/cli/get/verdict.js';

const whole = { status: 200, stdoutBytes: 10, missingBytes: 0 };
const complete = { appStatus: 0, protocolStatus: 0 };

/** What came, the exit status, and the line that says so. */
const endings: readonly (readonly [
  end: Partial<typeof complete>,
  answer: Partial<{ status: number | undefined; missingBytes: number }>,
  exitStatus: number,
  complaint: RegExp | undefined,
])[] = [
  [{}, {}, 0, undefined],
  [{}, { status: 302 }, 0, undefined],
  [{}, { status: 404 }, 3, /answered with status 404/],
  [{}, { status: 503 }, 4, /answered with status 503/],
  [{ appStatus: 1 }, { status: 502 }, 4, /answered with status 502/],
  [{ appStatus: 3 }, {}, 7, /ended with appStatus 3/],
  [{}, { missingBytes: 5 }, 7, /lacks 5 bytes of its Content-Length/],
  [{ appStatus: 143 }, { status: undefined }, 5, /no complete header .* 10 bytes, appStatus 143/],
  [{ protocolStatus: 1 }, { status: undefined }, 5, /FCGI_CANT_MPX_CONN/],
  [{ protocolStatus: 2 }, { status: undefined }, 5, /FCGI_OVERLOADED/],
  [{ protocolStatus: 3 }, { status: undefined }, 5, /FCGI_UNKNOWN_ROLE/],
  [{ protocolStatus: 9 }, { status: undefined }, 5, /protocolStatus 9/],
];

describe('An answer’s end', () => {
  for (const [end, answer, exitStatus, complaint] of endings) {
    it(`gives exit status ${String(exitStatus)} for ${JSON.stringify({ ...end, ...answer })}`, () => {
      const verdict = endVerdict({ ...complete, ...end }, { ...whole, ...answer });
      assert.equal(exitStatusOf(verdict), exitStatus);
      if (complaint === undefined) assert.equal(complaintOf(verdict), undefined);
      else assert.match(complaintOf(verdict) ?? '', complaint);
    });
  }

  it('has an exit status of its own for each way not to come', () => {
    const of = (kind: 'unreachable' | 'cut' | 'timeout' | 'protocol'): number =>
      exitStatusOf({ kind, why: '' });
    assert.deepEqual([of('protocol'), of('unreachable'), of('cut'), of('timeout')], [5, 6, 7, 8]);
  });
});
