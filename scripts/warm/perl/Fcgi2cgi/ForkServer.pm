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

my $limits;
my ($directory, $messages, $replies, $silence, $loading, $loaded, $environment, $pages);
my ($wakeup, $wakeup_end, %running);
# The process of the next request, and how many there were.
my ($next, $count);
# The modules that were loaded, in a process that is to tell which others it has; undefined in all others.
my ($known, $lesson, $process_id);

sub begin {
    # Where this was found nothing else is to be looked for.
    my ($own) = __FILE__ =~ m{\A(.*)/Fcgi2cgi/ForkServer\.pm\z}s;
    require Fcgi2cgi::Loading;
    require Fcgi2cgi::Pages;
    require Fcgi2cgi::Standby;
    @INC = grep { $_ ne $own } @INC;
    delete @INC{ map { "Fcgi2cgi/$_.pm" } qw(ForkServer Loading Pages Standby) };
    $pages = Fcgi2cgi::Pages->new;

    open $messages, '<&', \*STDIN or die "messages: $!";
    open $replies, '>&', \*STDOUT or die "answers: $!";
    binmode $_ for $messages, $replies;
    # What reads standard input while it is loaded waits for ever: the bridge does without us then.
    pipe my $stdin, $silence or die "pipe: $!";
    POSIX::dup2(fileno $stdin, 0);
    POSIX::dup2(2, 1);

    my $fields = fields(receive() // POSIX::_exit(0));
    (undef, $directory) = splice @$fields, 0, 2;
    (my ($start, $variables, $modules), $limits) = map { +{ pairs($fields) } } 1 .. 4;
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
    return 1 if prepare_ahead();
    my $is_open = 1;
    while ($is_open || %running) {
        my $ready = '';
        vec($ready, fileno $_, 1) = 1 for $wakeup, ($is_open ? $messages : ());
        next if select($ready, undef, undef, undef) < 0;
        reap() if vec $ready, fileno $wakeup, 1;
        next if !$is_open || !vec $ready, fileno $messages, 1;
        my $message = receive();
        if (!defined $message) {
            $is_open = 0;
            give_up_waiting();
        }
        elsif (run($message)) { return 1 }
    }
    return 0;
}

# Has the next process run a request, and forks the one after it; says whether this is such a process.
sub run {
    my ($message) = @_;
    my ($number, $may_teach, $where) = map { untainted($_) } @{ fields($message) }[1 .. 3];
    my $changed = $loaded->changed;
    if (defined $changed) {
        say_words('stale', $number, $changed);
        return 0;
    }
    my ($process, $reason);
    $reason = "$where: $!" if !chdir $where;
    while (!defined $process && !defined $reason) {
        my $is_process = eval { prepare() };
        if (!defined $is_process) { $reason = $@ }
        elsif ($is_process) { return 1 }
        else {
            ($process, $next) = $next;
            next if $process->tell($message);
            # It was killed, and is still to be reaped.
            $process->remove_pipes;
            $running{ $process->{pid} } = $process;
            undef $process;
        }
    }
    if (defined $reason) {
        chomp $reason;
        say_words('refused', $number, $reason);
        return 0;
    }
    $process->{number} = $number;
    $process->{lesson} = "$directory/$number" if $may_teach eq 'learn';
    $running{ $process->{pid} } = $process;
    return prepare_ahead();
}

# Where there can't be one, the request that needs it will have to say why.
sub prepare_ahead { return eval { prepare() } // 0 }

# Forks the process of the next request, if it is not there yet; says whether this is that process, with its request.
sub prepare {
    return 0 if $next;
    $loaded->open_data;
    my $process = Fcgi2cgi::Standby->new($directory, ++$count);
    my $pid = fork;
    if (!defined $pid) {
        my $reason = "fork: $!\n";
        close $_ for @$process{qw(hearing telling)};
        $process->remove_pipes;
        die $reason;
    }
    # Whatever goes wrong there: it is no fork server.
    return eval { become($process) } || end_with($@) if $pid == 0;
    $process->forked($pid);
    $next = $process;
    return 0;
}

# Makes this forked process what exec would have made, as soon as there is a request for it.
sub become {
    my ($process) = @_;
    close $_ for $messages, $silence, $wakeup, $wakeup_end;
    my $message = $process->wait_for_request($pages);
    POSIX::_exit(0) if $message eq '';
    my $fields = fields($message);
    my (undef, $number, $may_teach, $where) = map { untainted($_) } splice @$fields, 0, 4;
    # Not before it leads a group, by which it may be ended.
    say_words('forked', $number, $$, $process->{name});
    close $replies;
    $process->open_streams;
    chdir $where or die "$where: $!\n";
    limit() if %$limits;
    ($known, $lesson, $process_id) = ({ map { $_ => 1 } keys %INC }, "$directory/$number", $$) if $may_teach eq 'learn';
    @ARGV = listed($fields);
    $environment->become({ pairs($fields) });
    $loaded->reopen_data;
    $^T = time;
    srand;
    ($!, $@, $?) = (0, '', 0);
    return 1;
}

sub end_with {
    print STDERR @_;
    POSIX::_exit(1);
}

# Sets what this process, and what it starts, may use; Perl itself has no setrlimit.
sub limit {
    my %values = map { untainted($_) } %$limits;
    my ($prlimit, $nice) = delete @values{qw(prlimit nice)};
    defined POSIX::nice($nice) or die "nice: $!\n" if defined $nice;
    return if !%values;
    local %ENV;
    local $SIG{CHLD} = 'DEFAULT';
    system($prlimit, "--pid=$$", map { "--$_=$values{$_}" } keys %values) == 0 or die "$prlimit failed\n";
}

# Nobody asks for anything more, and nobody will open what was not opened yet.
sub give_up_waiting {
    kill KILL => $_->{pid} for grep { !$_->has_begun } values %running;
    return if !$next;
    $next->give_up;
    $running{ $next->{pid} } = $next;
    undef $next;
}

sub reap {
    sysread $wakeup, my $octets, 4096;
    while (%running || $next) {
        my $pid = waitpid -1, POSIX::WNOHANG();
        return if $pid <= 0;
        my $status = $?;
        my $process = delete $running{$pid};
        if ($next && $next->{pid} == $pid) {
            $next->give_up;
            ($process, $next) = $next;
        }
        learn($process->{lesson});
        say_words('ended', $pid, $status);
        next if $process->has_begun;
        $process->remove_pipes;
        say_words('refused', $process->{number}, 'its process was ended before it began') if defined $process->{number};
    }
}

sub learn {
    my ($file) = @_;
    return if !defined $file || !open my $taught, '<:raw', $file;
    my $learned = do { local $/; <$taught> };
    close $taught;
    unlink $file;
    # It ends with an empty line, if its process could finish it.
    my ($written, @modules) = $learned =~ s/\n\n\z// ? split(/\n/, $learned, -1) : return;
    $pages->learn($written);
    # In short lines: processes that were just forked may say something, too.
    while (@modules) { say_words('learned', splice @modules, 0, 16) }
}

# Has a process tell which memory it has written to and which modules it has loaded, when it ends.
sub teach {
    return if !defined $process_id || $process_id != $$;
    my $written = Fcgi2cgi::Pages::copied();
    my @learned = grep { /\.pm\z/ && !m{\A/} && !$known->{$_} && !ref $INC{$_} } keys %INC;
    return if !open my $taught, '>:raw', $lesson;
    print {$taught} "$written\n", map({ "$_=$INC{$_}\n" } sort @learned), "\n";
    close $taught;
}

# What is told and said

sub receive {
    my $header = receive_octets(4) // return;
    return receive_octets(unpack 'N', $header);
}

sub fields { return [split /\0/, $_[0], -1] }

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

BEGIN { begin() }

# It may not compile: what Perl says of it is for the processes that are made anew.
END {
    if (defined $process_id) {
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
