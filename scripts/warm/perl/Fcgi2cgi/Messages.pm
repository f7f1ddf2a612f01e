# What the bridge and a fork server say to each other, as src/runners/warm/messages.ts has it.
package Fcgi2cgi::Messages;

use strict;
use warnings;
use POSIX ();

# What takes messages apart, under its plain name.
sub import {
    my $caller = caller;
    no strict 'refs';
    *{"${caller}::$_"} = \&$_ for qw(fields listed pairs untainted);
}

# Takes descriptors 0 and 1 for it, which are then what a script may read and write to while it is loaded.
sub new {
    my ($class) = @_;
    my $self = bless {}, $class;
    open $self->{messages}, '<&', \*STDIN or die "messages: $!";
    open $self->{replies}, '>&', \*STDOUT or die "answers: $!";
    binmode $_ for @$self{qw(messages replies)};
    # What reads standard input while it is loaded waits for ever: the bridge does without us then.
    pipe my $stdin, $self->{silence} or die "pipe: $!";
    POSIX::dup2(fileno $stdin, 0);
    POSIX::dup2(2, 1);
    return $self;
}

# The descriptor on which messages come.
sub number { return fileno $_[0]{messages} }

# In a forked process, which is told nothing more.
sub stop_listening { close $_ for @{ $_[0] }{qw(messages silence)} }
# And has nothing more to say.
sub stop { close $_[0]{replies} }

# The next message; nothing after the last.
sub receive {
    my ($self) = @_;
    my $header = $self->receive_octets(4) // return;
    return $self->receive_octets(unpack 'N', $header);
}

# Of a message.
sub fields { return [split /\0/, $_[0], -1] }

sub receive_octets {
    my ($self, $size) = @_;
    my $octets = '';
    while (length $octets < $size) {
        my $got = sysread $self->{messages}, $octets, $size - length $octets, length $octets;
        next if !defined $got && $!{EINTR};
        return if !$got;
    }
    return $octets;
}

# Says a line of words.
sub say {
    my ($self, @words) = @_;
    my $line = join(' ', map { my $word = $_; $word =~ s/([% \n])/sprintf '%%%02X', ord $1/ge; $word } @words) . "\n";
    while (length $line) {
        my $written = syswrite $self->{replies}, $line;
        next if !defined $written && $!{EINTR};
        # Nobody listens any more: the end of the messages says so too.
        return if !defined $written;
        substr $line, 0, $written, '';
    }
}

# A list among a message's fields: its length comes first.
sub listed {
    my ($fields) = @_;
    return splice @$fields, 0, shift @$fields;
}

# A list of NAME=VALUE.
sub pairs {
    my ($fields) = @_;
    # Not by a pattern: what that finds is no longer tainted, and a script may want to know.
    return map { my $equals = index $_, '='; (substr($_, 0, $equals), substr $_, $equals + 1) } listed($fields);
}

# What the bridge says is believed.
sub untainted {
    my ($octets) = $_[0] =~ /\A(.*)\z/s;
    return $octets;
}

1;
