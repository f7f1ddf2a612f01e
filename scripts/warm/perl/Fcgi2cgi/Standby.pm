# A forked process that waits for its request: what is the same for all of them is done before one comes.
#
# While one request is answered, the process for the next one is forked, gets its group, and copies the memory that
# requests write to as a rule: where a core is idle meanwhile, no request waits for that.
package Fcgi2cgi::Standby;

use strict;
use warnings;
use POSIX ();

# The bridge opens the pipes as soon as it has heard of the process. One that was killed meanwhile never will.
my $open_seconds = 5;

# What the fork server has of it. `name` is that of its named pipes, the first of which the bridge removes when it has opened
# all; `number` and `lesson` are those of its request, once it has one.
sub new {
    my ($class, $directory, $name) = @_;
    my $self = bless { name => $name, paths => [map { "$directory/$name.$_" } qw(in out err)] }, $class;
    for my $path (@{ $self->{paths} }) {
        POSIX::mkfifo($path, 0600) or $self->fail($path);
    }
    pipe $self->{hearing}, $self->{telling} or $self->fail('pipe');
    binmode $_ for @$self{qw(hearing telling)};
    return $self;
}

sub fail {
    my ($self, $what) = @_;
    my $reason = "$what: $!\n";
    $self->remove_pipes;
    die $reason;
}

sub forked {
    my ($self, $pid) = @_;
    $self->{pid} = $pid;
    close $self->{hearing};
}

# Says what it is to run, and whether it is there to hear it.
sub tell {
    my ($self, $message) = @_;
    $message = pack 'N/a*', $message;
    local $SIG{PIPE} = 'IGNORE';
    while (length $message) {
        my $written = syswrite $self->{telling}, $message;
        next if !defined $written && $!{EINTR};
        last if !defined $written;
        substr $message, 0, $written, '';
    }
    close $self->{telling};
    return $message eq '';
}

# It ends, as it is told nothing.
sub give_up {
    my ($self) = @_;
    close $self->{telling};
}

# Whether the bridge has opened its pipes; its script does not begin before.
sub has_begun { return !-e $_[0]{paths}[0] }

sub remove_pipes {
    my ($self) = @_;
    unlink @{ $self->{paths} };
}

# In the process: makes it a process group of its own, and waits for what it is to run; nothing, if that is nothing or
# the fork server has ended in the middle of it.
sub wait_for_request {
    my ($self, $pages) = @_;
    POSIX::setpgid(0, 0);
    close $self->{telling};
    # Before the bridge hears of it: without a reader it could not open the other end.
    sysopen $self->{stdin}, $self->{paths}[0], POSIX::O_RDONLY() | POSIX::O_NONBLOCK() or die "stdin: $!\n";
    $pages->copy;
    my $told = do { local $/; readline $self->{hearing} } // '';
    close $self->{hearing};
    my $message = length $told > 4 ? substr $told, 4 : '';
    return length $message == unpack('N', "$told\0\0\0\0") ? $message : '';
}

# In the process: its pipes become its standard streams, as soon as the bridge has opened their other ends.
sub open_streams {
    my ($self) = @_;
    my (undef, @paths) = @{ $self->{paths} };
    alarm $open_seconds;
    my @outputs = map { sysopen(my $output, $_, POSIX::O_WRONLY()) or die "$_: $!\n"; $output } @paths;
    alarm 0;
    fcntl $self->{stdin}, POSIX::F_SETFL(), 0;
    my @ends = ($self->{stdin}, @outputs);
    POSIX::dup2(fileno $ends[$_], $_) for 0 .. 2;
    close $_ for @ends;
    unlink @paths;
}

1;
