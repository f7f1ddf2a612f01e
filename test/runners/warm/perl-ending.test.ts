import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { shippedFile } from '../../../src/daemon/package.js';
import { succeed } from '../../helpers/command.js';

const modules = `${shippedFile('scripts/warm')}/perl`;

/** Whether a process that has done `before`, was noted and has then done `after` has nothing left to do. */
async function isOver(before: string, after: string, ...options: readonly string[]): Promise<boolean> {
  const program = `${before}; our $left; use Fcgi2cgi::Ending;
    my $ending = Fcgi2cgi::Ending->new; ${after};
    my $is_over = $ending->is_over; untie *STDOUT; print 'noted, ', $is_over ? 'over' : 'not over'`;
  const said = await succeed('perl', [...options, '-I', modules, '-e', program]);
  assert.match(said, /^noted, /);
  return said === 'noted, over';
}

describe('The end of a Perl process', () => {
  it('has nothing to do after what gitweb loads, and after new functions and packages', async () => {
    const gitweb = 'use CGI; use CGI::Carp; use Encode; use File::Find; use Digest::MD5; use Time::HiRes';
    assert.ok(
      await isOver(
        gitweb,
        'eval q{package Other::New; sub any { 1 } package main; sub other { 2 }}; $left = CGI->new',
      ),
    );
    assert.ok(await isOver('', 'open $left, "-|", "true"; close $left; system "true"'));
  });

  it('has something to do where an object may be left that is to be destroyed', async () => {
    for (const [before, after] of [
      ['package Made; sub DESTROY { }', ''],
      ['package Made; sub AUTOLOAD { }', ''],
      ['', 'eval q{package Late::Made; sub DESTROY { }}'],
      ['package Known; sub any { 1 }', 'eval q{package Known; sub DESTROY { }}'],
      ['', 'sub UNIVERSAL::DESTROY { }'],
      ['', 'require File::Temp'],
    ] as const) {
      assert.equal(await isOver(before, after), false, `${before} ${after}`);
    }
  });

  it('has something to do where a file, a socket or a program is left', async () => {
    assert.equal(await isOver('', 'open $left, ">", "/dev/null"'), false);
    assert.equal(await isOver('', 'open $left, "|-", "cat"'), false);
    assert.equal(await isOver('use Socket', 'socket $left, PF_UNIX, SOCK_STREAM, 0'), false);
  });

  it('is not hurried with taint checks, a tied standard output, or a module in C that nobody knows', async () => {
    assert.equal(await isOver('', '', '-T'), false);
    assert.equal(await isOver('sub Ties::TIEHANDLE { bless [] }', 'tie *STDOUT, "Ties"'), false);
    assert.equal(await isOver('use Sys::Syslog', ''), false);
  });
});
