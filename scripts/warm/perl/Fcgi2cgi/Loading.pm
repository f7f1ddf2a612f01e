# What a fork server loads ahead, and whether that is still what a new process would load.
package Fcgi2cgi::Loading;

use strict;
use warnings;
use POSIX ();

# How often modules that can't be loaded ahead are sorted out before none is.
use constant MAX_TRIALS => 10;

# With fractions of seconds, where that is to be had.
my $stat = eval { require Time::HiRes; Time::HiRes->can('stat') } || sub { stat $_[0] };

# To be called before the script is compiled; `$modules` are names, as in %INC, and files.
sub begin {
    my ($class, $modules) = @_;
    my $self = bless { modules => $modules }, $class;
    # Before they are read: what changes meanwhile has changed.
    $self->{files} = { map { $_ => signature($_) } $0, $^X, '/etc/localtime' };
    $self->{directories} = directories();
    $self->{watch} = Fcgi2cgi::Watch->begin;
    return $self;
}

# To be called when it was compiled: loads the modules too. `unfit` is then why it can't be run by forked processes.
sub end {
    my ($self) = @_;
    $self->find_data('main::', {});
    @$self{qw(unfit variables changes)} = (delete $self->{watch})->end(map { $_->{number} } @{ $self->{data} });
    return $self if $self->{unfit};
    my ($own) = real_path($0) =~ m{\A(.*/)}s;
    # Those beside the script are its own: they may look at the clock, or read a file, while they are loaded.
    my @wanted = grep { index(real_path($self->{modules}{$_}), $own // '/') != 0 && found($_) eq $self->{modules}{$_} }
        sort keys %{ $self->{modules} };
    my $watch = Fcgi2cgi::Watch->begin;
    require $_ for harmless(@wanted);
    my ($unfit, $variables, $changes) = $watch->end;
    $self->{unfit} = $unfit // (@$changes ? 'its modules change the environment' : undef);
    $self->{variables} = { %{ $self->{variables} }, %$variables };
    $self->{loaded} = { map { $_ => $INC{$_} } grep { defined $INC{$_} && !ref $INC{$_} } keys %INC };
    $self->{files}{$_} //= signature($_) for values %{ $self->{loaded} }, @DynaLoader::dl_shared_objects;
    return $self;
}

# The name of a file that is no longer what was loaded.
sub changed {
    my ($self) = @_;
    my $files = $self->{files};
    for my $path (keys %$files) {
        return $path if signature($path) ne $files->{$path};
    }
    my $directories = directories();
    return if $directories eq $self->{directories};
    # Something came or went in a directory: what counts is whether the same modules would be found.
    for my $name (grep { !m{\A/} } keys %{ $self->{loaded} }) {
        my $path = $self->{loaded}{$name};
        return $path if found($name) ne $path && index($path, "/$name") >= 0;
    }
    $self->{directories} = $directories;
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

sub directories {
    return join "\n", map { my $path = $_; ref $path ? $path : "$path " . signature($path) } @INC;
}

# The file that `require` would find.
sub found {
    my ($name) = @_;
    for my $directory (grep { !ref } @INC) {
        return "$directory/$name" if -f "$directory/$name";
    }
    return '';
}

# As far as links lead, without the modules that know better.
sub real_path {
    my ($path) = @_;
    for (1 .. 32) {
        my $to = readlink $path;
        last if !defined $to;
        $path = $to =~ m{\A/} ? $to : $path =~ m{\A(.*/)}s ? $1 . $to : $to;
    }
    return $path;
}

# Those of the modules that can be loaded ahead without anything to be seen of it; other processes try them.
sub harmless {
    my (@modules) = @_;
    for (1 .. MAX_TRIALS) {
        pipe my $reading, my $writing or return;
        my $trial = fork // return;
        if ($trial == 0) {
            my @refused = try_all(@modules);
            syswrite $writing, join '', map { "$_\n" } @refused;
            POSIX::_exit(0);
        }
        close $writing;
        binmode $reading;
        my $answer = do { local $/; <$reading> } // '';
        waitpid $trial, 0;
        return if $? != 0;
        my %refused = map { $_ => 1 } split /\n/, $answer;
        return @modules if !%refused;
        @modules = grep { !$refused{$_} } @modules;
    }
    return;
}

# Loads the modules one by one; gives those that can be seen to have done more than that.
sub try_all {
    my @refused;
    for my $module (@_) {
        my $watch = Fcgi2cgi::Watch->begin;
        my $is_loaded = eval { require $module; 1 };
        my ($unfit, undef, $changes) = $watch->end;
        push @refused, $module if !$is_loaded || $unfit || @$changes;
    }
    return @refused;
}

# Notes the DATA handles: forked processes would share their places in the file.
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

# What is done besides, between `begin` and `end`.
package Fcgi2cgi::Watch;

sub begin {
    my ($class) = @_;
    my $self = bless { state => state() }, $class;
    open $self->{"was$_"}, '>&', $_ or die "dup: $!" for 1, 2;
    pipe $self->{printed}, my $writing or die "pipe: $!";
    fcntl $self->{printed}, POSIX::F_SETFL(), POSIX::O_NONBLOCK();
    POSIX::dup2(fileno $writing, $_) for 1, 2;
    close $writing;
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
    POSIX::dup2(fileno $self->{"was$_"}, $_) for 1, 2;
    binmode $self->{printed};
    sysread $self->{printed}, my $printed, 65536;
    my $unfit;
    if (length($printed // '')) {
        $printed =~ s/\s+\z//;
        $unfit = 'it prints ' . substr($printed, 0, 200) . ' while it is loaded';
    }
    elsif ($seen->{all}) { $unfit = 'it reads the whole environment while it is loaded' }
    elsif (@opened) { $unfit = 'it opens files while it is loaded' }
    elsif (state() ne $self->{state}) { $unfit = 'it changes its working directory or umask while it is loaded' }
    return ($unfit, $seen->{names}, $seen->{changes});
}

sub state { return join ' ', umask, (stat '.')[0, 1] }

sub descriptors {
    return { map { defined POSIX::lseek($_, 0, POSIX::SEEK_CUR()) || !$!{EBADF} ? ($_ => 1) : () } 3 .. 63 };
}

# Takes the place of %ENV, to see which variables are read, and to change them in the forked processes too.
package Fcgi2cgi::SeenEnvironment;

sub TIEHASH { bless { variables => $_[1], names => {}, changes => [] }, $_[0] }
sub FETCH { $_[0]{names}{ $_[1] } = 1; $_[0]{variables}{ $_[1] } }
sub EXISTS { $_[0]{names}{ $_[1] } = 1; exists $_[0]{variables}{ $_[1] } }
sub STORE { push @{ $_[0]{changes} }, [$_[1], $_[2]]; $_[0]{variables}{ $_[1] } = $_[2] }
sub DELETE { push @{ $_[0]{changes} }, [$_[1]]; $_[0]{names}{ $_[1] } = 1; delete $_[0]{variables}{ $_[1] } }
sub CLEAR { $_[0]{all} = 1; %{ $_[0]{variables} } = () }
sub SCALAR { $_[0]{all} = 1; scalar %{ $_[0]{variables} } }
sub FIRSTKEY { $_[0]{all} = 1; keys %{ $_[0]{variables} }; each %{ $_[0]{variables} } }
sub NEXTKEY { each %{ $_[0]{variables} } }

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
