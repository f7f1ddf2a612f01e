import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { explain, formatExplanation } from '../../../src/cli/explain/explain.js';
import { refuse, run } from '../../../src/sites/site.js';

const params = [
  ['QUERY_STRING', 'x'],
  ['SCRIPT_NAME', '/sent'],
  ['HTTP_PROXY', 'evil'],
  ['HTTP_EXPECT', '100-continue'],
  ['LANG', 'sent'],
  ['A=B', 'x'],
] as const;
const env = new Map([['LANG', 'C']]);
const variables = new Map([
  ['PATH', '/bin'],
  ['GATEWAY_INTERFACE', 'CGI/1.1'],
  ['QUERY_STRING', 'x'],
  ['SCRIPT_NAME', '/set'],
  ['LANG', 'C'],
]);
const invocation = { file: '/bin/x', args: ['-a', '\xc3\xa4'], directory: '/srv', variables };

describe('An explanation', () => {
  it('has the program, and every variable and param with what became of it', () => {
    assert.equal(
      formatExplanation(explain(run(invocation), params, { env })),
      `runs        /bin/x
argument    -a
argument    ä
directory   /srv
input       the request's body
daemon      GATEWAY_INTERFACE=CGI/1.1
env         LANG=C
daemon      PATH=/bin
param       QUERY_STRING=x
site        SCRIPT_NAME=/set
dropped     SCRIPT_NAME=/sent: the site sets it itself
dropped     HTTP_PROXY=evil: it would decide what code runs in the program
dropped     HTTP_EXPECT=100-continue: the site does not pass it on
dropped     LANG=sent: --env sets it
dropped     A=B=x: no variable can have this name`,
    );
  });

  it('shows where a value ends, whatever it is', () => {
    const sent = [['QUERY_STRING', 'x: the site sets it itself'] as const, ['A B', '"'] as const];
    const shown = formatExplanation(explain(run({ ...invocation, variables: new Map(sent) }), sent, { env }));
    assert.match(shown, /^param {7}QUERY_STRING="x: the site sets it itself"$/m);
    assert.match(shown, /^param {7}A\\u0020B="\\""$/m);
  });

  it('says what becomes standard input', () => {
    const inputs = [{ input: Buffer.from('four') }, { body: 'with-length' } as const].map((more) => {
      const explained = explain(run({ ...invocation, ...more }), params, { env });
      return explained.kind === 'runs' ? explained.input : '';
    });
    assert.deepEqual(inputs, [
      "4 bytes from the site; the request's body is thrown away",
      "the request's body, counted first where its length is not known",
    ]);
  });

  it('has the check that refuses, with what the log would say', () => {
    assert.equal(
      formatExplanation(explain(refuse(404, 'Nothing here.', '/x does not exist'), params, { env })),
      'refuses     404 Not Found: Nothing here.\nbecause     /x does not exist',
    );
  });

  it('has the answer that a site gives by itself', () => {
    const answer = { status: 200, fields: [['Content-Type', 'text/css']] as const, body: Buffer.from('a{}') };
    assert.equal(
      formatExplanation(explain({ kind: 'answer', answer }, params, { env })),
      'answers     200 OK, with 3 bytes of its own\nfield       Content-Type: text/css',
    );
  });

  it('shows nothing that a terminal would act upon', () => {
    const shown = formatExplanation(explain(refuse(404, '\x1b[31mred\n'), params, { env }));
    assert.equal(shown, 'refuses     404 Not Found: \\u001b[31mred\\u000a');
  });
});
