# What a fork server loads ahead, and whether that is still what a new process would load.
package Fcgi2cgi::Loading;

use strict;
use warnings;
use POSIX ();

# With fractions of seconds, where that is to be had.
my $stat = eval { require Time::HiRes; Time::HiRes->can('stat') } || sub { stat $_[0] };
my $clock = Time::HiRes->can('time') || sub { time };

# By which libraries are found.
my @linker_files = ('/etc/ld.so.cache', '/etc/ld.so.preload');

# To be called before the script is compiled; `$tried` is what trials have found, and `@programs` what `on_the_way` has.
sub begin {
    my ($class, $tried, @programs) = @_;
    my $self = bless { year => $tried->{year}, missing => $tried->{missing} // [], begun_at => now(), directory => POSIX::getcwd() }, $class;
    # A file may have other names, beside which something else lies: then what counts is where links lead.
    $self->{places} = { $0 => real_path($0) };
    # Before they are read: what changes meanwhile has changed.
    $self->{files} = { map { $_ => signature($_) } $0, $^X, @programs, '/etc/localtime', @linker_files,
        @{ $tried->{files} // [] } };
    $self->{custom} = custom();
    $self->{watch} = Fcgi2cgi::Watch->begin;
    return $self;
}

# To be called when it was compiled: loads the modules too, which are names, as in %INC, and files. `unfit` is then why it
# can't be run by forked processes.
sub end {
    my ($self, $modules) = @_;
    $self->find_data('main::', {});
    @$self{qw(unfit variables changes)} = (delete $self->{watch})->end(map { $_->{number} } @{ $self->{data} });
    return $self if $self->{unfit};
    my $watch = Fcgi2cgi::Watch->begin;
    require $_ for $self->wanted($modules);
    my ($unfit, $variables, $changes) = $watch->end;
    $self->{unfit} = $unfit // (@$changes ? 'its modules change the environment' : undef);
    $self->{variables} = { %{ $self->{variables} }, %$variables };
    $self->{loaded} = { map { $_ => $INC{$_} } grep { defined $INC{$_} && !ref $INC{$_} } keys %INC };
    # They were read before.
    $self->{files}{$_} //= is_older($_, $self->{begun_at}) ? signature($_) : 'changing'
        for values %{ $self->{loaded} }, @DynaLoader::dl_shared_objects;
    $self->{places}{$_} //= real_path($_) for map { m{\A(/.*)/}s ? $1 : () } values %{ $self->{loaded} };
    my %mapped = mapped();
    $self->{files}{$_} = $mapped{$_} ? 'gone' : $self->{files}{$_} // signature($_) for keys %mapped;
    $self->{directories} = { map { $_ => signature($_) } $self->searched };
    $self->{inotify} = Fcgi2cgi::Inotify->new;
    return $self;
}

# Those of the modules that the script would find in the same files. Those beside the script are its own: they may read
# a file that nobody looks at.
sub wanted {
    my ($self, $modules) = @_;
    my ($own) = real_path($0) =~ m{\A(.*/)}s;
    return grep { index(real_path($modules->{$_}), $own // '/') != 0 && found($_) eq $modules->{$_} } sort keys %$modules;
}

# Where the system looks for what it starts before a script, to where it is found.
sub on_the_way {
    my ($searched, @programs) = @_;
    my ($here, @paths) = (POSIX::getcwd());
    for my $program (@programs) {
        for my $directory ($program =~ m{/} ? '' : split /:/, $searched // '/bin:/usr/bin', -1) {
            my $path = join '/', grep { length } $directory, $program;
            push @paths, $path =~ m{\A/} ? $path : "$here/$path";
            last if -f $paths[-1] && -x _;
        }
    }
    return @paths;
}

# The files that lie in memory, where the system tells: the interpreter and libraries; and whether another one has taken
# its place since.
sub mapped {
    open my $maps, '<:raw', '/proc/self/maps' or return;
    my %found = map { m{\A(?:\S+\s+){5}(/.*?)( \(deleted\))?$} ? ($1 => defined $2) : () } <$maps>;
    return map { ($_ => $found{$_}) } grep { -f } keys %found;
}

# The name of a file that is no longer what was loaded, for requests in this working directory.
sub changed {
    my ($self, $where) = @_;
    return 'the year' if defined $self->{year} && (localtime)[5] != $self->{year};
    my ($inotify, $directories) = @$self{qw(inotify directories)};
    return if $inotify->is_quiet;
    my $places = $self->{places};
    $inotify->begin($where, keys %{ $self->{files} }, keys %$directories);
    my ($moved) = grep { real_path($_) ne $places->{$_} } keys %$places;
    $moved //= $where if real_path($where) ne $self->{directory};
    my $found = $moved // $self->changed_file;
    # It stays changed, though nothing more happens to it; and other directories are not watched yet.
    $inotify->close if defined $found || $self->{directories} != $directories;
    return $found;
}

sub changed_file {
    my ($self) = @_;
    my $files = $self->{files};
    for my $path (keys %$files) {
        return $path if signature($path) ne $files->{$path};
    }
    my $directories = $self->{directories};
    return if !grep { signature($_) ne $directories->{$_} } keys %$directories;
    # Something came or went in a directory: what counts is whether the same modules would be found.
    for my $name (grep { !m{\A/} } keys %{ $self->{loaded} }) {
        my $path = $self->{loaded}{$name};
        return $path if found($name) ne $path && index($path, "/$name") >= 0;
    }
    for my $path (map { found($_) } @{ $self->{missing} }) { return $path if $path ne '' }
    return 'a directory that modules are looked for in' if custom() ne $self->{custom};
    $self->{directories} = { map { $_ => signature($_) } $self->searched };
    return;
}

# To be called before each fork: each process reads its DATA through a description of the open file that is its own.
# Dies where it is another file by now.
sub open_data {
    my ($self) = @_;
    for my $data (@{ $self->{data} }) {
        my $is_same = open($data->{opened}, '<:raw', $data->{path}) && identity($data->{opened}) eq $data->{identity};
        die "$data->{path} is another file\n" if !$is_same;
    }
}

# By the system's clock, with fractions of seconds where they are to be had.
sub now { return $clock->() }

# Whether it has not changed since, by the system's clock for files, which may be late.
sub is_older {
    my ($path, $time) = @_;
    my @status = $stat->($path);
    return !@status || $status[10] < $time - 0.02;
}

# Two are the same if nobody has changed the file between them.
sub signature {
    my ($path) = @_;
    my @status = $stat->($path);
    return @status ? join ' ', map { sprintf '%.9f', $_ } @status[0, 1, 7, 9, 10] : $! + 0;
}

sub identity {
    my ($handle) = @_;
    return join ' ', (stat $handle)[0, 1];
}

# The directories that modules were looked for in, or that such a one would be made in.
sub searched {
    my ($self) = @_;
    my %below = map { m{\A(.*)/}s ? ($1 => 1) : () } grep { !m{\A/} } keys %{ $self->{loaded} }, @{ $self->{missing} };
    my %searched;
    for my $directory (grep { !ref } @INC) {
        for my $path ($directory, map { "$directory/$_" } keys %below) {
            my $there = $path;
            1 while !-e $there && $there =~ s{/[^/]*\z}{};
            $searched{ length $there ? $there : '/' } = 1;
        }
    }
    return keys %searched;
}

# What new processes would look for, or look into, by themselves (perlrun, PERL5LIB): it begins with the version or machine.
sub custom {
    my $version = sprintf '%vd', $^V;
    my $machine = (POSIX::uname())[4];
    return join "\n", grep { -e } map { my $path = $_; map { "$path/$_" } 'sitecustomize.pl', $version, glob_of($path, $machine) }
        grep { !ref } @INC;
}

sub glob_of {
    my ($path, $machine) = @_;
    opendir my $directory, $path or return;
    return sort grep { /\A\Q$machine\E-/ } readdir $directory;
}

# The file that `require` would find.
sub found {
    my ($name) = @_;
    return -f $name ? $name : '' if $name =~ m{\A/};
    for my $directory (grep { !ref } @INC) {
        return "$directory/$name" if -f "$directory/$name";
    }
    return '';
}

# Without links, and without the modules that know better.
sub real_path {
    my ($path) = @_;
    my ($real, $links) = ('', 0);
    my @rest = split m{/+}, $path =~ m{\A/} ? $path : POSIX::getcwd() . "/$path";
    while (@rest) {
        my $name = shift @rest;
        next if $name eq '' || $name eq '.';
        if ($name eq '..') { $real =~ s{/[^/]*\z}{}; next }
        my $to = readlink "$real/$name";
        if (!defined $to || ++$links > 40) { $real .= "/$name"; next }
        $real = '' if $to =~ m{\A/};
        unshift @rest, split m{/+}, $to;
    }
    return length $real ? $real : '/';
}

# Notes the DATA handles: forked processes would share their positions in the file.
sub find_data {
    my ($self, $package, $seen) = @_;
    no strict 'refs';
    return if $seen->{ \%$package }++;
    my $data = *{"${package}DATA"}{IO};
    my $number = $data && fileno $data;
    if (defined $number && $number > 2) {
        my $identity = identity($data);
        my ($path) = grep { my @status = stat; @status && "@status[0, 1]" eq $identity } $0, values %INC;
        push @{ $self->{data} },
            {
            handle => $data,
            number => $number,
            identity => $identity,
            path => $path // '',
            # Where it is read on; before it forks, Perl empties its buffers (perlfunc, fork).
            place => tell $data,
            };
    }
    for my $name (grep { /::\z/ && $_ ne 'main::' } keys %$package) {
        $self->find_data(($package eq 'main::' ? '' : $package) . $name, $seen);
    }
}

# In a forked process: the DATA handles are as they were, with a place in the file of their own.
sub reopen_data {
    my ($self) = @_;
    for my $data (@{ $self->{data} }) {
        POSIX::dup2(fileno $data->{opened}, $data->{number});
        POSIX::lseek($data->{number}, $data->{place}, POSIX::SEEK_SET());
        fcntl $data->{handle}, POSIX::F_SETFD(), POSIX::FD_CLOEXEC();
        close delete $data->{opened};
    }
}

# In a forked process: what modules have set while they were loaded is as if they had been loaded now (see Fcgi2cgi::Trial).
sub refresh {
    no warnings 'once';
    $IPC::Run::Debug::parent_pid = $$ if defined $IPC::Run::Debug::parent_pid;
}

# What else is done, between `begin` and `end`.
package Fcgi2cgi::Watch;

# Also where something has taken its place by then (see Fcgi2cgi::Trial).
my $dup2 = \&POSIX::dup2;

sub begin {
    my ($class) = @_;
    my $self = bless { state => state() }, $class;
    for my $number (1, 2) {
        open $self->{"was$number"}, '>&', $number or die "dup: $!";
        pipe $self->{"printed$number"}, my $writing or die "pipe: $!";
        fcntl $self->{"printed$number"}, POSIX::F_SETFL(), POSIX::O_NONBLOCK();
        $dup2->(fileno $writing, $number);
        close $writing;
    }
    $self->{streams} = streams();
    $self->{opened} = descriptors();
    tie %ENV, 'Fcgi2cgi::SeenEnvironment', {%ENV};
    return $self;
}

# Why forked processes would not be as new ones are; the names of variables that were read; those that were changed.
# `@known` are descriptors that are seen to otherwise.
sub end {
    my ($self, @known) = @_;
    my $seen = { %{ tied %ENV } };
    untie %ENV;
    my %known = map { $_ => 1 } @known, keys %{ $self->{opened} };
    my @opened = grep { !$known{$_} } keys %{ descriptors() };
    my $selected = select STDOUT;
    # What is still in its buffer, too.
    { local $| = 1 }
    select $selected;
    my $streams = streams();
    $dup2->(fileno $self->{"was$_"}, $_) for 1, 2;
    my $printed = '';
    for my $pipe (@$self{qw(printed1 printed2)}) {
        binmode $pipe;
        sysread $pipe, $printed, 65536, length $printed;
    }
    # Perl does not count a handle's name where something has taken the place of its function.
    $printed =~ s/^Name "\S+" used only once: possible typo at .*\n//gm if $Fcgi2cgi::Trial::is_trying;
    my $unfit;
    if (length $printed) {
        $printed =~ s/\s+\z//;
        $unfit = 'it prints ' . substr($printed, 0, 200) . ' while it is loaded';
    }
    elsif ($seen->{all}) { $unfit = 'it reads the whole environment while it is loaded' }
    elsif ($streams ne $self->{streams}) { $unfit = 'it closes or replaces a standard stream while it is loaded' }
    elsif (@opened) { $unfit = 'it opens files while it is loaded' }
    elsif (state() ne $self->{state}) { $unfit = 'it changes its working directory or umask while it is loaded' }
    return ($unfit, $seen->{names}, $seen->{changes});
}

sub state { return join ' ', umask, (stat '.')[0, 1] }

# Which files they are, and whether Perl's own handles are still at them.
sub streams {
    return join ', ', map {
        my ($number, $handle) = @$_;
        my $is_open = open my $same, $number ? '>&' : '<&', $number;
        my @status = $is_open ? stat $same : ('');
        join ' ', fileno($handle) // '', grep { defined } @status[0, 1];
    } [0, *STDIN], [1, *STDOUT], [2, *STDERR];
}

sub descriptors {
    return { map { defined POSIX::lseek($_, 0, POSIX::SEEK_CUR()) || !$!{EBADF} ? ($_ => 1) : () } 3 .. 63 };
}

# Takes the place of %ENV, to see which variables are read, and to change them in the forked processes too.
package Fcgi2cgi::SeenEnvironment;

sub TIEHASH { bless { variables => $_[1], names => {}, changes => [] }, $_[0] }
sub FETCH { $_[0]{names}{ $_[1] } = 1 if !is_touched(); $_[0]{variables}{ $_[1] } }
sub EXISTS { $_[0]{names}{ $_[1] } = 1; exists $_[0]{variables}{ $_[1] } }
sub STORE { push @{ $_[0]{changes} }, [$_[1], $_[2]]; $_[0]{variables}{ $_[1] } = $_[2] }
sub DELETE { push @{ $_[0]{changes} }, [$_[1]]; $_[0]{names}{ $_[1] } = 1; delete $_[0]{variables}{ $_[1] } }
sub CLEAR { $_[0]{all} = 1; %{ $_[0]{variables} } = () }
sub SCALAR { $_[0]{all} = 1; scalar %{ $_[0]{variables} } }
sub FIRSTKEY { $_[0]{all} = 1 if !is_touched(); keys %{ $_[0]{variables} }; each %{ $_[0]{variables} } }
sub NEXTKEY { each %{ $_[0]{variables} } }
# CGI::Fast takes each variable in its hand, and does nothing with it.
sub is_touched { return (caller 1)[1] =~ m{/CGI/Fast\.pm\z} }

# The environment of a process: what the bridge gave, and what would have been changed on the way to the script.
package Fcgi2cgi::Environment;

# `$start` is what this process was started with: env or a version manager may have made something else of it.
sub new {
    my ($class, $start) = @_;
    my @added = map { [$_, $ENV{$_}] } grep { !defined $start->{$_} || $start->{$_} ne $ENV{$_} } sort keys %ENV;
    return bless { changes => [@added, map { [$_] } grep { !exists $ENV{$_} } sort keys %$start] }, $class;
}

# Further ones, as NAME or NAME and VALUE, in the order in which they were made.
sub add_changes {
    my ($self, $changes) = @_;
    push @{ $self->{changes} }, @$changes;
}

sub become {
    my ($self, $variables) = @_;
    %ENV = ();
    $ENV{$_} = $variables->{$_} for keys %$variables;
    for my $change (@{ $self->{changes} }) {
        my ($name, $value) = @$change;
        if (defined $value) { $ENV{$name} = $value }
        else { delete $ENV{$name} }
    }
}

1;
