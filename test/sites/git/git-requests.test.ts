import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';

import { isPush, isService, optionForGit, projectQuery } from '../../../src/sites/git/git-requests.js';

const sha1 = 'a'.repeat(38);
const sha256 = '0'.repeat(62);

describe('What follows a repository in a path', () => {
  it('is git’s where git-http-backend has a service of that name', () => {
    for (const rest of [
      '/HEAD',
      '//HEAD',
      '/info/refs',
      '/objects/info/alternates',
      '/objects/info/http-alternates',
      '/objects/info/packs',
      `/objects/12/${sha1}`,
      `/objects/ff/${sha256}`,
      `/objects/pack/pack-00${sha1}.pack`,
      `/objects/pack/pack-00${sha256}.idx`,
      '/git-upload-pack',
      '/git-upload-archive',
      '/git-receive-pack',
    ]) {
      assert.equal(isService(rest), true, rest);
    }
  });

  it('is gitweb’s otherwise, also where a file of the repository has such a name', () => {
    for (const rest of [
      '',
      '/',
      '/summary',
      '/commit/HEAD',
      '/shortlog/HEAD',
      '/blob_plain/HEAD:/info/refs',
      '/tree/refs/heads/x:/objects/info/packs',
      '/info/refs/',
      '/info/refsx',
      '/info/refs\n',
      '/objects/info/x',
      `/objects/12/${sha1}0`,
      `/objects/1G/${sha1}`,
      `/objects/pack/pack-00${sha1}.keep`,
      '/git-shell',
      '/config',
    ]) {
      assert.equal(isService(rest), false, rest);
    }
  });

  it('is a push where something is to be received, or is asked about it', () => {
    for (const [rest, query] of [
      ['/git-receive-pack', ''],
      ['//git-receive-pack', 'service=git-upload-pack'],
      ['/info/refs', 'service=git-receive-pack'],
      ['//info/refs', 'service=git-upload-pack&service=git%2Dreceive%2dpack'],
    ] as const) {
      assert.equal(isPush(rest, query), true, `${rest}?${query}`);
    }
    for (const [rest, query] of [
      ['/info/refs', ''],
      ['/info/refs', 'service=git-upload-pack'],
      ['/git-upload-pack', 'service=git-receive-pack'],
      ['/HEAD', ''],
    ] as const) {
      assert.equal(isPush(rest, query), false, `${rest}?${query}`);
    }
  });
});

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
