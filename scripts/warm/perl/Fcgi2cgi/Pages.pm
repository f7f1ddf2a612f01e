# The pages of memory that requests write to as a rule, which a process can copy before it has one.
#
# After a fork, each page that either process writes to is copied first, and a page is written to whenever Perl counts
# references to anything in it. It is learned from the first requests where they lie close together: there, huge pages
# take their place. What a request forks is then made, and dropped again when it becomes another program, by the huge
# page, while each small one would be looked at, and once more when it is next written to.
package Fcgi2cgi::Pages;

use strict;
use warnings;
# It is only used where numbers have 64 bits.
no warnings 'portable';
use POSIX ();

# The number of small pages in a huge one.
use constant { PAGE => 4096, HUGE => 512 };
# The number of these that are written to where a huge page is worth the copying of all.
use constant DENSE => HUGE / 8;
# Of a page in /proc/self/pagemap: that it is there, that it is a file's, and that no other process has it.
use constant { PRESENT => 1 << 63, FILE => 1 << 61, EXCLUSIVE => 1 << 56 };
use constant MADV_COLLAPSE => 25;

# Perl has no name for madvise(2), and its number is another one on other machines.
my $madvise = $^O eq 'linux' && length pack('p', '') == 8
    ? { x86_64 => 28, aarch64 => 233, riscv64 => 233 }->{ (POSIX::uname())[4] }
    : undef;

# Counts lessons. `huge` are the runs of huge pages of which most lessons name many small ones.
sub new { bless { lessons => 0, times => {}, huge => [] }, $_[0] }

# Takes what `copied` has given in a process of the same fork server.
sub learn {
    my ($self, $line) = @_;
    my $times = $self->{times};
    $self->{lessons}++;
    for my $run ($line =~ /(\d+-\d+)/g) {
        my ($start, $end) = split /-/, $run;
        $times->{$_}++ for $start .. $end - 1;
    }
    # Neither a part of one nor a file's.
    my @whole = map { int(($_->[0] + HUGE - 1) / HUGE) .. int($_->[1] / HUGE) - 1 } mappings(qr/0+ 00:00 0\b/);
    my %written = map { $_ => 0 } @whole;
    for my $page (grep { 2 * $times->{$_} > $self->{lessons} } keys %$times) {
        my $huge = int $page / HUGE;
        $written{$huge}++ if exists $written{$huge};
    }
    $self->{huge} = [runs(grep { $written{$_} >= DENSE } @whole)];
}

# Has this process have its own copies now. To copy the other pages one by one, and again after each process that it
# starts, costs more than to have each copied when it is written to.
sub copy {
    my ($self) = @_;
    for my $run (@{ $self->{huge} }) {
        my ($start, $end) = map { PAGE * HUGE * $_ } @$run;
        syscall $madvise, $start, $end - $start, MADV_COLLAPSE;
    }
}

# The pages that this forked process has written to, as START-END ...; nothing where the system does not say.
sub copied {
    return '' if !defined $madvise || !sysopen my $pagemap, '/proc/self/pagemap', POSIX::O_RDONLY();
    my @written;
    for my $mapping (mappings(qr//)) {
        my ($first, $end) = @$mapping;
        sysseek $pagemap, 8 * $first, 0;
        sysread $pagemap, my $words, 8 * ($end - $first);
        for my $word (unpack 'Q*', $words // '') {
            push @written, $first if ($word & (PRESENT | FILE | EXCLUSIVE)) == (PRESENT | EXCLUSIVE);
            $first++;
        }
    }
    return join ' ', map { "$_->[0]-$_->[1]" } runs(@written);
}

# The first page, and the one after the last, of each mapping that this process writes to alone and whose offset, device
# and inode match (proc(5)).
sub mappings {
    my ($pattern) = @_;
    open my $maps, '<', '/proc/self/maps' or return;
    return map { /\A([0-9a-f]+)-([0-9a-f]+) rw-p $pattern/ ? [hex($1) / PAGE, hex($2) / PAGE] : () } <$maps>;
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
