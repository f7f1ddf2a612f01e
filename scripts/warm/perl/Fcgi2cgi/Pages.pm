# The pages of memory that requests write to as a rule, which a process can copy before it has one.
#
# After a fork, each page that either process writes to is copied first, and a page is written to whenever Perl counts
# references to anything in it. It is learned from the first requests which ones they are.
package Fcgi2cgi::Pages;

use strict;
use warnings;
# It is only used where numbers have 64 bits.
no warnings 'portable';
use POSIX ();

use constant PAGE => 4096;
# Of a page in /proc/self/pagemap: that it is there, that it is a file's, and that no other process has it.
use constant { PRESENT => 1 << 63, FILE => 1 << 61, EXCLUSIVE => 1 << 56 };
use constant MADV_POPULATE_WRITE => 23;

# Perl has no name for madvise(2), and its number is another one on other machines.
my $madvise = $^O eq 'linux' && length pack('p', '') == 8
    ? { x86_64 => 28, aarch64 => 233, riscv64 => 233 }->{ (POSIX::uname())[4] }
    : undef;

# Counts lessons; the ranges are the pages that most of them name.
sub new { bless { lessons => 0, times => {}, ranges => [] }, $_[0] }

# Takes what `copied` has given in a process of the same fork server.
sub learn {
    my ($self, $line) = @_;
    my $times = $self->{times};
    $self->{lessons}++;
    for my $run ($line =~ /(\d+-\d+)/g) {
        my ($start, $end) = split /-/, $run;
        $times->{$_}++ for $start .. $end - 1;
    }
    $self->{ranges} = [runs(grep { 2 * $times->{$_} > $self->{lessons} } sort { $a <=> $b } keys %$times)];
}

# Has this process have its own copies now. What can't be copied, is when it is written to.
sub copy {
    my ($self) = @_;
    for my $run (@{ $self->{ranges} }) {
        my ($start, $end) = @$run;
        syscall $madvise, PAGE * $start, PAGE * ($end - $start), MADV_POPULATE_WRITE;
    }
}

# The pages that this forked process has written to, as START-END ...; nothing where the system does not say.
sub copied {
    return '' if !defined $madvise || !open my $maps, '<', '/proc/self/maps';
    return '' if !sysopen my $pagemap, '/proc/self/pagemap', POSIX::O_RDONLY();
    my @written;
    while (my $line = <$maps>) {
        my ($first, $end) = map { hex($_) / PAGE } $line =~ /\A([0-9a-f]+)-([0-9a-f]+) rw-p/ or next;
        sysseek $pagemap, 8 * $first, 0;
        sysread $pagemap, my $words, 8 * ($end - $first);
        for my $word (unpack 'Q*', $words // '') {
            push @written, $first if ($word & (PRESENT | FILE | EXCLUSIVE)) == (PRESENT | EXCLUSIVE);
            $first++;
        }
    }
    return join ' ', map { "$_->[0]-$_->[1]" } runs(@written);
}

# Sorted numbers as pairs: the first and, of each run, the one after the last.
sub runs {
    my @runs;
    for my $number (@_) {
        if (@runs && $runs[-1][1] == $number) { $runs[-1][1]++ }
        else { push @runs, [$number, $number + 1] }
    }
    return @runs;
}

1;
