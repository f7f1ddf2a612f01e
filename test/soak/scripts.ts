/** Scripts of test/fixtures/cgi and what must come of a request for them. */

import type { Expected } from './load.js';

/** One script and its answer, whoever asks. */
export interface Case extends Expected {
  readonly script: string;
}

const answers = (script: string, status: number, body: Expected['body'], end = 'completed'): Case => ({
  ...{ script, status, body, end },
});

export const cases: readonly Case[] = [
  answers('answers-without-reading.sh', 403, 'not you\n'),
  answers('nph.sh', 404, 'nph\n'),
  answers('1xx-first.sh', 201, 'made\n'),
  answers('exits-3-after-body.sh', 200, 'all of it\n'),
  answers('writes-stderr.sh', 200, 'answer\n'),
  answers('without-interpreter-line.sh', 200, 'run by a shell\n'),
  answers('ends-without-header.sh', 502, /could not make this page/, 'no-header'),
  answers('huge-header.sh', 502, /could not make this page/, 'max-header-size'),
  answers('missing-interpreter.sh', 500, /could not make this page/, 'start-error'),
  answers('absent.sh', 404, /Request [0-9a-f]{8}-\d+</, 'refused'),
];

/** Scripts that announce more than they write, and what they write. */
export const truncated = [
  ['dies-in-body.sh', 'only the beginn'],
  ['writes-less-than-announced.sh', 'four'],
] as const;

export const DESCRIPTORS = 'prints-descriptors.sh';
export const ECHOES = 'echoes-body.sh';
export const WRITES = 'writes-as-much-as-asked.sh';
export const STALLS = 'stalls-in-body.sh';
export const NEVER_ANSWERS = 'sleeps-before-header.sh';
export const SAYS_PID = 'never-reads.sh';
