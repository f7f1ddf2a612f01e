import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { shippedFile } from '../../../src/daemon/package.js';
import { succeed } from '../../helpers/command.js';

const modules = `${shippedFile('scripts/warm')}/perl`;

/**
 * What a forked process has to copy is learned from one before it that has written to half of a few megabytes, and to
 * little of others.
 */
const program = `
  use strict;
  use warnings;
  use Fcgi2cgi::Pages;
  my @written = map { "octets $_" } 1 .. 100_000;
  my @read = map { "others $_" } 1 .. 100_000;
  my $text = join ' ', @written, @read;
  my $pages = Fcgi2cgi::Pages->new;
  sub in_fork {
      my ($do) = @_;
      my $pid = open(my $from, '-|') // die "fork: $!";
      if (!$pid) {
          print $do->();
          exit;
      }
      my $said = do { local $/; <$from> };
      close $from or die "a fork failed";
      return $said;
  }
  sub numbers { map { my ($start, $end) = split /-/; $start .. $end - 1 } split / /, $_[0] }
  sub write_some {
      $written[2 * $_] .= '.' for 0 .. 49_999;
      $read[10_000 * $_] .= '.' for 0 .. 9;
  }
  my $learned = in_fork(sub { write_some(); Fcgi2cgi::Pages::copied() });
  $pages->learn($learned);
  print in_fork(sub {
      $pages->copy;
      my %own = map { $_ => 1 } numbers(Fcgi2cgi::Pages::copied());
      my @missing = grep { !$own{$_} } numbers($learned);
      my $is_same = $text eq join ' ', @written, @read;
      write_some();
      my $has_changed = $written[0] eq 'octets 1.' && $read[0] eq 'others 1.' && $written[1] eq 'octets 2';
      # What lies by itself is copied when it is written to.
      my $has_most = 8 * @missing < numbers($learned);
      return ($has_most ? 'most are there' : scalar(@missing) . ' are missing'), "\\n",
          ($is_same ? 'the same' : 'not the same'), "\\n", ($has_changed ? 'written' : 'not written'), "\\n";
  });
  print $text eq join(' ', @written, @read) ? "untouched\\n" : "touched\\n";
`;

describe('The memory that a process of a Perl script copies before its request', () => {
  it('is its own from then on, is as it was, and remains that of its fork server too', async () => {
    const said = await succeed('perl', ['-I', modules, '-e', program]);
    assert.equal(said, 'most are there\nthe same\nwritten\nuntouched\n');
  });
});
