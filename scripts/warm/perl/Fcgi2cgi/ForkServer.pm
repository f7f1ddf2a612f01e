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
my ($directory, $bridge, $trial, $tried, $loading, $loaded, $environment, $pages, $ending);
my ($wakeup, $wakeup_end, %running);
# The process of the next request, and how many there were.
my ($next, $count);
# The forked process of a request; and, if it is to tell which modules it has loaded, those it had and where to tell.
my ($process_id, $known, $lesson);
# Where the files of fcgi2cgi are.
my ($shipped) = __FILE__ =~ m{\A(.*/)warm/perl/Fcgi2cgi/ForkServer\.pm\z}s;

sub begin {
    # Where this was found nothing else is to be looked for.
    my ($own) = __FILE__ =~ m{\A(.*)/Fcgi2cgi/ForkServer\.pm\z}s;
    require Fcgi2cgi::Ending;
    require Fcgi2cgi::Inotify;
    require Fcgi2cgi::Loading;
    require Fcgi2cgi::Messages;
    Fcgi2cgi::Messages->import;
    require Fcgi2cgi::Pages;
    require Fcgi2cgi::Standby;
    require Fcgi2cgi::Trial;
    @INC = grep { $_ ne $own } @INC;
    delete @INC{ map { "Fcgi2cgi/$_.pm" } qw(Ending ForkServer Inotify Loading Messages Pages Standby Trial) };
    $pages = Fcgi2cgi::Pages->new;

    $bridge = Fcgi2cgi::Messages->new;
    my $fields = fields($bridge->receive // POSIX::_exit(0));
    (undef, $directory) = map { untainted($_) } splice @$fields, 0, 2;
    (my ($start, $variables, $modules), $limits) = map { +{ pairs($fields) } } 1 .. 4;
    $modules = { map { untainted($_) } %$modules };
    my @programs = Fcgi2cgi::Loading::on_the_way($start->{PATH}, map { untainted($_) } listed($fields));
    $environment = Fcgi2cgi::Environment->new($start);
    $environment->become($variables);
    $tried = Fcgi2cgi::Trial->try_all($modules);
    if (ref $tried ne 'HASH') { ($trial, $tried) = ($tried, {}) }
    elsif ($tried->{unfit}) {
        $bridge->say('unfit', $tried->{unfit});
        POSIX::_exit(0);
    }
    $loading = Fcgi2cgi::Loading->begin($tried, @programs);
}

# Whether this is a forked process, which has a script to run.
sub serve {
    $loaded = $loading->end($tried->{modules} // {});
    $trial->end($loaded->{unfit}, $loading) if $trial;
    $environment->add_changes($loaded->{changes}) if $loaded->{changes};
    if ($loaded->{unfit}) {
        $bridge->say('unfit', $loaded->{unfit});
        return 0;
    }
    pipe $wakeup, $wakeup_end or die "pipe: $!";
    for my $end ($wakeup, $wakeup_end) {
        binmode $end;
        fcntl $end, POSIX::F_SETFL(), POSIX::O_NONBLOCK();
    }
    local $SIG{CHLD} = sub { local $!; syswrite $wakeup_end, '.' };
    $ending = Fcgi2cgi::Ending->new;
    $bridge->say('ready', sort keys %{ $loaded->{variables} });
    return 1 if prepare_ahead();
    my $is_open = 1;
    while ($is_open || %running) {
        my $ready = '';
        vec($ready, $_, 1) = 1 for fileno($wakeup), ($is_open ? $bridge->number : ());
        # Perl runs its handler between two of its own steps: that of a signal just before this one would be too late.
        next if select($ready, undef, undef, %running ? 1 : undef) < 0;
        reap();
        next if !$is_open || !vec $ready, $bridge->number, 1;
        my $message = $bridge->receive;
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
    my $changed = $loaded->changed($where);
    if (defined $changed) {
        $bridge->say('stale', $number, $changed);
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
        $bridge->say('refused', $number, $reason);
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
    $bridge->stop_listening;
    close $_ for $wakeup, $wakeup_end;
    $loaded->{inotify}->close;
    my $message = $process->wait_for_request($pages);
    POSIX::_exit(0) if $message eq '';
    my $fields = fields($message);
    my (undef, $number, $may_teach, $where) = map { untainted($_) } splice @$fields, 0, 4;
    # Not before it leads a group, by which it may be ended.
    $bridge->say('forked', $number, $$, $process->{name});
    $bridge->stop;
    $process->open_streams;
    chdir $where or die "$where: $!\n";
    limit() if %$limits;
    $process_id = $$;
    ($known, $lesson) = ({ map { $_ => 1 } keys %INC }, "$directory/$number") if $may_teach eq 'learn';
    @ARGV = listed($fields);
    $environment->become({ pairs($fields) });
    $loaded->reopen_data;
    $^T = time;
    srand;
    Fcgi2cgi::Loading::refresh();
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
        # What was before Perl in its process has started it.
        next if !$process;
        learn($process->{lesson});
        $bridge->say('ended', $pid, $status);
        next if $process->has_begun;
        $process->remove_pipes;
        next if !defined $process->{number};
        $bridge->say('refused', $process->{number}, 'its process was ended before it began');
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
    while (@modules) { $bridge->say('learned', splice @modules, 0, 16) }
}

# Has a process tell which memory it has written to and which modules it has loaded, when it ends.
sub teach {
    my $written = Fcgi2cgi::Pages::copied();
    # What it names by its path may be for this request only, but what fcgi2cgi ships.
    my @learned = grep { m{\A(?:[^/]|\Q$shipped\E).*\.pm\z}s && !$known->{$_} && defined $INC{$_} && !ref $INC{$_} } keys %INC;
    return if !open my $taught, '>:raw', $lesson;
    local ($,, $\);
    print {$taught} "$written\n", map({ "$_=$INC{$_}\n" } sort @learned), "\n";
    close $taught;
}

BEGIN { begin() }

# It may not compile: what Perl says of it is for the processes that are not forked.
END {
    if (defined $process_id) {
        # It may have forked others.
        return if $process_id != $$;
        { local ($?, $!, $@); teach() if defined $lesson }
        $ending->end($?);
    }
    elsif ($loading && !$loaded) {
        $trial->end(Fcgi2cgi::Trial::NOT_COMPILED()) if $trial;
        $bridge->say('unfit', Fcgi2cgi::Trial::NOT_COMPILED());
        POSIX::_exit(0);
    }
}

INIT {
    serve() or POSIX::_exit(0);
}

1;
