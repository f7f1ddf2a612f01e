# A forked process that waits for its request: what is the same for all of them is done before one comes.
#
# While one request is answered, the process for the next one is forked, gets its pipes and its session, and copies the
# memory that requests write to as a rule: where a core is idle meanwhile, no request waits for that.
package Fcgi2cgi::Standby;

use strict;
use warnings;
use POSIX ();

# What the fork server has of it; `name` is that of its pipes. Closed by `tell` and `give_up`, but for the pipes.
sub new {
    my ($class, $directory, $name) = @_;
    my $self = bless { name => $name, pipes => [] }, $class;
    my $made = eval {
        push @{ $self->{pipes} }, named_pipe("$directory/$name.$_") for qw(in out err);
        pipe $self->{hearing}, $self->{telling} or die "pipe: $!\n";
        binmode $_ for @$self{qw(hearing telling)};
        1;
    };
    return $self if $made;
    my $reason = $@;
    $self->close_pipes;
    die $reason;
}

sub close_pipes {
    my ($self) = @_;
    close_pipe($_) for @{ $self->{pipes} };
}

sub forked {
    my ($self, $pid) = @_;
    $self->{pid} = $pid;
    close $self->{hearing};
}

# Says what it is to run, and whether it is there to hear it.
sub tell {
    my ($self, $message) = @_;
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
    $self->close_pipes;
}

# In the process: makes it a session of its own, and waits for what it is to run; nothing is to be done if that is nothing.
sub wait_for_request {
    my ($self, $pages) = @_;
    POSIX::setsid();
    POSIX::dup2(fileno $self->{pipes}[$_]{ $_ == 0 ? 'reading' : 'writing' }, $_) for 0 .. 2;
    close $_ for $self->{telling}, map { @$_{qw(reading writing)} } @{ $self->{pipes} };
    $pages->copy;
    my $message = do { local $/; readline $self->{hearing} };
    close $self->{hearing};
    return $message // '';
}

# A named pipe with both ends open. To open its ends is all that the bridge has to do.
sub named_pipe {
    my ($path) = @_;
    POSIX::mkfifo($path, 0600) or die "$path: $!\n";
    # With O_NONBLOCK it does not wait for somebody to write; with a reader, to write needs no waiting.
    my $opened = sysopen(my $reading, $path, POSIX::O_RDONLY() | POSIX::O_NONBLOCK())
        && sysopen(my $writing, $path, POSIX::O_WRONLY());
    if (!$opened) {
        my $reason = $!;
        unlink $path;
        die "$path: $reason\n";
    }
    fcntl $reading, POSIX::F_SETFL(), 0;
    return { path => $path, reading => $reading, writing => $writing };
}

sub close_pipe {
    my ($pipe) = @_;
    unlink $pipe->{path};
    close $_ for @$pipe{qw(reading writing)};
}

1;
