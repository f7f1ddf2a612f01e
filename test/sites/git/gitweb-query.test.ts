import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';

import { optionForGit, projectQuery } from '../../../src/sites/git/gitweb-query.js';

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

describe('A value that git would take for an option', () => {
  it('is a revision with a dash before it, however the query is written', () => {
    for (const query of [
      'h=--output=x',
      'a=log&hb=-x',
      'a=log;hpb=%2dx',
      'hp=-x',
      'hp=--ccx',
      'hp=-c%0a',
      'h=-c',
      '%68=-x',
      'h=%u002dx',
      'h=main;h=-x',
    ]) {
      assert.match(optionForGit(query, '') ?? '', /^The parameter hp?b? begins with a dash/, query);
    }
    for (const query of [
      '',
      'h=main',
      'hp=-c',
      'hp=--cc',
      'f=-x',
      's=-x',
      'a=-x',
      'xh=-x',
      'h=a-b',
      'h=%252dx',
    ]) {
      assert.equal(optionForGit(query, ''), undefined, query);
    }
  });

  it('stands right behind the repository or an action in the path', () => {
    for (const rest of [
      '/-x',
      '//-x',
      '/log/-x',
      '/commitdiff_plain//--output=x',
      '/commitdiff/--ccx..y',
      '/log/-x..y',
    ]) {
      assert.match(optionForGit('', rest) ?? '', /path begins with a dash/, rest);
    }
    for (const rest of [
      '',
      '/',
      '/log/main',
      '/log/a-b',
      '/blob/main:/-x',
      '/tree/feature/-x',
      '/commitdiff/-c..main',
    ]) {
      assert.equal(optionForGit('', rest), undefined, rest);
    }
  });
});
