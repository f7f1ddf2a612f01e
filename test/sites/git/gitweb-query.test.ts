import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';

import { projectQuery } from '../../../src/sites/git/gitweb-query.js';

describe('The project of a query', () => {
  it('is the value of p, and the rest is what it was', () => {
    for (const [query, project, rest] of [
      ['', undefined, ''],
      ['a=log', undefined, 'a=log'],
      ['p=one.git', 'one.git', ''],
      ['a=log;p=one.git;h=HEAD', 'one.git', 'a=log;h=HEAD'],
      ['a=log&p=group/one.git&h=%41', 'group/one.git', 'a=log;h=%41'],
      ['p=', '', ''],
      ['p', '', ''],
      ['pf=x', undefined, 'pf=x'],
    ] as const) {
      assert.deepEqual(projectQuery(query), { project, rest }, query);
    }
  });

  it('is what Perl’s CGI.pm makes of it, octet by octet', () => {
    const queries = [
      'p=a+b%2Bc%25.git',
      'p=caf%E9.git',
      'p=%C3%A9',
      'p=%u00e9',
      'p=%zz%4',
      '%70=x&p=y',
      'p=x;p=y',
      'a=1;p=a=b',
      'P=x',
      'p=a%00b',
      ';;p=x&&',
    ];
    const perl = 'use CGI; for (@ARGV) { print unpack("H*", CGI->new($_)->param("p") // "none"), "\\n" }';
    const answers = execFileSync('perl', ['-e', perl, ...queries], { encoding: 'latin1' }).split('\n');
    for (const [index, query] of queries.entries()) {
      const ours = Buffer.from(projectQuery(query).project ?? 'none', 'latin1').toString('hex');
      assert.equal(ours, answers[index], query);
    }
  });
});
