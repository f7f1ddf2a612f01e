# The fork server of one Perl CGI script: loads it and its modules once, and forks a process for each request.
#
# usage: perl [OPTION...] -IDIRECTORY -MFcgi2cgi::ForkServer SCRIPT
#
# src/runners/warm/messages.ts says what it is told on descriptor 0 and what it answers on descriptor 1. Perl compiles
# the script after this module and runs INIT blocks before it: the one below serves, and returns in the forked processes
# only, each of which then simply is the script.
package Fcgi2cgi::ForkServer;

use strict;
use warnings;
use POSIX ();

my ($directory, $messages, $replies, $silence, $loading, $loaded, $environment);
my ($wakeup, $wakeup_end, %running, %opening);
# The modules that were loaded, in a process that is to tell which others it has; undefined in all others.
my ($known, $lesson, $process);

sub begin {
    # Where this was found nothing else is to be looked for.
    my ($own) = __FILE__ =~ m{\A(.*)/Fcgi2cgi/ForkServer\.pm\z}s;
    require Fcgi2cgi::Loading;
    @INC = grep { $_ ne $own } @INC;
    delete @INC{'Fcgi2cgi/ForkServer.pm', 'Fcgi2cgi/Loading.pm'};

    open $messages, '<&', \*STDIN or die "messages: $!";
    open $replies, '>&', \*STDOUT or die "answers: $!";
    binmode $_ for $messages, $replies;
    # What reads standard input while it is loaded waits for ever: the bridge does without us then.
    pipe my $stdin, $silence or die "pipe: $!";
    POSIX::dup2(fileno $stdin, 0);
    POSIX::dup2(2, 1);

    my $fields = receive() or POSIX::_exit(0);
    (undef, $directory) = splice @$fields, 0, 2;
    my ($start, $variables, $modules) = map { +{ pairs($fields) } } 1 .. 3;
    $environment = Fcgi2cgi::Environment->new($start);
    $environment->become($variables);
    $loading = Fcgi2cgi::Loading->begin($modules);
}

# Whether this is a forked process, which has a script to run.
sub serve {
    $loaded = $loading->end;
    $environment->add_changes($loaded->{changes}) if $loaded->{changes};
    if ($loaded->{unfit}) {
        say_words('unfit', $loaded->{unfit});
        return 0;
    }
    pipe $wakeup, $wakeup_end or die "pipe: $!";
    for my $end ($wakeup, $wakeup_end) {
        binmode $end;
        fcntl $end, POSIX::F_SETFL(), POSIX::O_NONBLOCK();
    }
    local $SIG{CHLD} = sub { local $!; syswrite $wakeup_end, '.' };
    say_words('ready', sort keys %{ $loaded->{variables} });
    my $is_open = 1;
    while ($is_open || %running) {
        my $ready = '';
        vec($ready, fileno $_, 1) = 1 for $wakeup, ($is_open ? $messages : ());
        next if select($ready, undef, undef, undef) < 0;
        reap() if vec $ready, fileno $wakeup, 1;
        next if !$is_open || !vec $ready, fileno $messages, 1;
        my $fields = receive();
        if (!$fields) {
            $is_open = 0;
            # Nobody will open what was not opened yet.
            let_go($_) for keys %opening;
        }
        elsif (shift @$fields eq 'opened') { let_go($fields->[0]) }
        elsif (fork_for($fields)) { return 1 }
    }
    return 0;
}

# Forks a process for a request; says whether this is it.
sub fork_for {
    my ($fields) = @_;
    my ($number, $may_teach, $where) = map { untainted($_) } splice @$fields, 0, 3;
    my $changed = $loaded->changed;
    if (defined $changed) {
        say_words('stale', $number, $changed);
        return 0;
    }
    my @pipes;
    my $pid = eval {
        chdir $where or die "$where: $!\n";
        push @pipes, named_pipe("$directory/$number.$_") for qw(in out err);
        fork // die "fork: $!\n";
    };
    if (!defined $pid) {
        chomp(my $reason = $@);
        close_pipe($_) for @pipes;
        say_words('refused', $number, $reason);
        return 0;
    }
    if ($pid == 0) {
        become($number, $fields, $may_teach eq 'learn' ? "$directory/$number" : undef, @pipes);
        return 1;
    }
    $running{$pid} = $may_teach eq 'learn' ? "$directory/$number" : undef;
    $opening{$number} = \@pipes;
    return 0;
}

# Makes this forked process what exec would have made.
sub become {
    my ($number, $fields, $lesson_file, @pipes) = @_;
    POSIX::setsid();
    POSIX::dup2(fileno $pipes[$_]{ $_ == 0 ? 'reading' : 'writing' }, $_) for 0 .. 2;
    # Not before it leads a group, by which it may be ended.
    say_words('forked', $number, $$);
    for my $pipe (@pipes, map { @$_ } values %opening) {
        close $_ for @$pipe{qw(reading writing)};
    }
    close $_ for $messages, $replies, $silence, $wakeup, $wakeup_end;
    ($known, $lesson, $process) = ({ map { $_ => 1 } keys %INC }, $lesson_file, $$) if defined $lesson_file;
    @ARGV = listed($fields);
    $environment->become({ pairs($fields) });
    $loaded->reopen_data;
    $^T = time;
    srand;
    ($!, $@, $?) = (0, '', 0);
}

# The bridge has its ends: until then ours have kept either side from finding nobody on the other.
sub let_go {
    my ($number) = @_;
    close_pipe($_) for @{ delete $opening{$number} };
}

sub reap {
    sysread $wakeup, my $octets, 4096;
    while (%running) {
        my $pid = waitpid -1, POSIX::WNOHANG();
        return if $pid <= 0;
        my $status = $?;
        learn(delete $running{$pid});
        say_words('ended', $pid, $status);
    }
}

sub learn {
    my ($file) = @_;
    return if !defined $file || !open my $taught, '<:raw', $file;
    my $learned = do { local $/; <$taught> };
    close $taught;
    unlink $file;
    # It ends with an empty line, if its process could finish it.
    my @modules = $learned =~ s/\n\n\z// ? split(/\n/, $learned) : ();
    # In short lines: processes that were just forked may say something, too.
    while (@modules) { say_words('learned', splice @modules, 0, 16) }
}

# Has a process tell which modules it has loaded, when it ends.
sub teach {
    return if !defined $process || $process != $$;
    my @learned = grep { /\.pm\z/ && !m{\A/} && !$known->{$_} && !ref $INC{$_} } keys %INC;
    return if !@learned || !open my $taught, '>:raw', $lesson;
    print {$taught} map({ "$_=$INC{$_}\n" } sort @learned), "\n";
    close $taught;
}

# What is told and said

sub receive {
    my $header = receive_octets(4) // return;
    my $octets = receive_octets(unpack 'N', $header) // return;
    return [split /\0/, $octets, -1];
}

sub receive_octets {
    my ($size) = @_;
    my $octets = '';
    while (length $octets < $size) {
        my $got = sysread $messages, $octets, $size - length $octets, length $octets;
        next if !defined $got && $!{EINTR};
        return if !$got;
    }
    return $octets;
}

sub say_words {
    my $line = join(' ', map { my $word = $_; $word =~ s/([% \n])/sprintf '%%%02X', ord $1/ge; $word } @_) . "\n";
    while (length $line) {
        my $written = syswrite $replies, $line;
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
    return map { /\A([^=]*)=(.*)\z/s ? ($1, $2) : () } listed($fields);
}

# What the bridge says is believed.
sub untainted {
    my ($octets) = $_[0] =~ /\A(.*)\z/s;
    return $octets;
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

BEGIN { begin() }

# It may not compile: what Perl says of it is for the processes that are made anew.
END {
    if (defined $process) {
        local ($?, $!, $@);
        teach();
    }
    elsif ($loading && !$loaded) {
        say_words('unfit', 'it does not compile');
        POSIX::_exit(0);
    }
}

INIT {
    serve() or POSIX::_exit(0);
}

1;
