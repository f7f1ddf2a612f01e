# Tries, in processes of their own, whether a script and its modules can be loaded ahead: they then are as in a new process.
#
# They are not where, while they are loaded, they do what gives something else in each process or is to be seen: draw a
# random number, ask for the time or the process id, read a device, look at the arguments, change what others see. Two
# processes tell what nobody has seen them ask for: what they hold then differs. What others would see is not done here: the
# request does it itself.
package Fcgi2cgi::Trial;

use strict;
use warnings;
use POSIX ();
# What holds something else than it shows is not asked (overloading.pm).
BEGIN { $^H |= 0x01000000 }

# How often modules that can't be loaded ahead are sorted out before none is.
use constant MAX_TRIALS => 10;
use constant { TIME => 'asks for the time', RANDOM => 'draws a random number', PROCESS => 'asks for its process id' };
use constant NOT_COMPILED => 'it does not compile';
use constant { ARGUMENTS => 'looks at the arguments', SYSTEM => 'does something to the system' };
# Files that are read while all is loaded: they are looked at before each request.
use constant MAX_FILES => 64;
# How far what variables hold is followed.
use constant DEPTH => 5;

my %overridden = (
    time => TIME, times => TIME, sleep => TIME,
    rand => RANDOM, srand => RANDOM,
    getppid => PROCESS, getpgrp => PROCESS,
    map { $_ => SYSTEM } qw(fork kill mkdir readpipe rename rmdir unlink link symlink chmod chown utime alarm setpgrp setpriority
        chroot socket socketpair connect bind listen accept send dbmopen syscall truncate msgsnd semop shmwrite),
);
# As Perl's own, but with a file that is named by a bare word.
my %prototypes = (truncate => '*$');
my %functions = (
    'Time::HiRes' => { (map { $_ => TIME } qw(time gettimeofday clock clock_gettime sleep usleep nanosleep)), map { $_ => SYSTEM } qw(ualarm alarm setitimer utime) },
    POSIX => {
        (map { $_ => TIME } qw(time times clock)), (map { $_ => PROCESS } qw(getpid getppid getpgrp)),
        map { $_ => SYSTEM } qw(mkfifo creat dup dup2 write setpgid setsid sigprocmask sigsuspend pause nice tcsetpgrp fork kill
            alarm raise exec execl execle execlp execv execve execvp system mkdir rmdir rename unlink remove link chmod chown utime),
    },
);

# What `Fcgi2cgi::Loading::refresh` does again in each process; OpenSSL, which is only stirred there, sees to itself.
my $refreshed = qr{/IPC/Run/Debug\.pm\z|/Net/SSLeay/randomize\.al\)?\z};

# What was noted since it was last asked for; files that were read; whether the year was asked for; what was not found.
my (@notes, %files, $asks_for_year, %missing);
# What tries the script, until that is compiled; then its modules are tried.
my $of_script;
our $is_trying;
my ($write, $open) = (\&POSIX::write, \&POSIX::open);

my $no_file = qr{\A/(?:dev|proc|sys)/(?!(?<=\A/dev/)null\z)};
# Of packages of these everybody has the functions.
my $everywhere = qr/\A(?:UNIVERSAL|CORE::GLOBAL)::/;

# Tries it with the modules, which are names, as in %INC, and files. Gives, in each process that is to try it, what `end`
# is to be called on when the script was compiled. Else: `modules` that can be loaded ahead, the `files` that were read,
# the modules that are `missing`, the `year` that this holds for, if it does not for others; or `unfit`, why none of it can.
sub try_all {
    my ($class, $modules) = @_;
    my %modules = %$modules;
    my $is_plain = 0;
    for (1 .. MAX_TRIALS) {
        my ($process, @found) = try_twice($class, \%modules, $is_plain);
        return $process if $process;
        my ($first, $second) = @found;
        if (!$is_plain && $first->{unread}) {
            $is_plain = 1;
            next;
        }
        for my $found (@found) {
            return { unfit => $found->{unfit}[0] } if $found->{unfit};
            return { unfit => 'it ends, or fails, while it is loaded' } if !$found->{end};
        }
        if ($first->{refused}) {
            delete @modules{ @{ $first->{refused} } };
            next;
        }
        my ($one, $other) = map { +{ map { /\A(.*) (.*)\z/s ? ($1 => $2) : () } @{ $_->{value} // [] } } } @found;
        my @differing = grep { ($other->{$_} // '') ne $one->{$_} } sort keys %$one;
        return { modules => \%modules, files => $first->{file}, missing => $first->{missing}, year => $first->{year}[0] }
            if !@differing;
        my ($own) = map { s/\Ascript // ? $_ : () } my @all = @differing;
        return { unfit => "it has another $own in each process" } if defined $own;
        # Where nobody knows whose they are, they are anybody's.
        my @owners = map { /([\w:]+)::\w+\z/ ? $1 =~ s{::}{/}gr . '.pm' : '' } @differing;
        delete @modules{ (grep { !exists $modules{$_} } @owners) ? keys %modules : @owners };
    }
    return { unfit => 'it is loaded differently each time' };
}

# Tries it in two processes that are the same, one after the other: where memory lies, and the order of hashes, which that
# decides, too. Gives the first thing in each of them; in the caller's nothing, and what they tell, by its kind: of one
# only where that is enough.
sub try_twice {
    my ($class, $modules, $is_plain) = @_;
    my @pipes = map { [POSIX::pipe()] } 1 .. 4;
    my @answers = @pipes[0, 1];
    my @starts = @pipes[2, 3];
    my @pids = (0, 0);
    for my $which (0, 1) {
        $pids[$which] = fork // die "fork: $!";
        next if $pids[$which];
        POSIX::close($_) for $answers[0][0], $answers[1][0], $answers[1 - $which][1], $starts[0][1], $starts[1][1];
        (POSIX::read($starts[$which][0], my $start, 1) // 0) > 0 or POSIX::_exit(0);
        POSIX::close($_) for $starts[0][0], $starts[1][0];
        return $class->begin($answers[$which][1], $modules, $is_plain);
    }
    # The script, and who loads us, are being read: each process has to read on where it is. Before a fork, Perl empties
    # its buffers (perlfunc, fork).
    my %positions = map { my $place = POSIX::lseek($_, 0, POSIX::SEEK_CUR()); defined $place ? ($_ => $place) : () } 3 .. 63;
    POSIX::close($_) for map { $_->[1] } @answers;
    my @found;
    for my $which (0, 1) {
        my $is_enough = $which && (!$found[0]{end} || $found[0]{refused});
        POSIX::write($starts[$which][1], '.', 1) if !$is_enough;
        POSIX::close($starts[$which][1]);
        push @found, heard($answers[$which][0]) if !$is_enough;
        waitpid $pids[$which], 0;
        POSIX::close($_) for $answers[$which][0], $starts[$which][0];
        POSIX::lseek($_, $positions{$_}, POSIX::SEEK_SET()) for keys %positions;
    }
    return (undef, @found);
}

# What a process tells until it ends.
sub heard {
    my ($number) = @_;
    my $told = '';
    while ((POSIX::read($number, my $piece, 65536) // 0) > 0) { $told .= $piece }
    my %found;
    for my $line (split /\n/, $told) {
        my ($kind, $what) = $line =~ /\A(\w+) (.*)\z/s or next;
        $what =~ s/%([0-9A-F]{2})/chr hex $1/ge;
        push @{ $found{$kind} }, $what;
    }
    return \%found;
}

# In a process that tries; before the script is compiled. What takes the place of exec and system can't be called with a
# block (perlfunc, exec): what does so is read only if `$is_plain`, which leaves both.
sub begin {
    my ($class, $answer, $modules, $is_plain) = @_;
    my $self = bless { answer => $answer, modules => $modules, process => $$, programs => programs() }, $class;
    $self->{is_plain} = $is_plain;
    $of_script = $self;
    $is_trying = 1;
    no warnings 'once';
    *CORE::GLOBAL::exec = *CORE::GLOBAL::system = sub { note(SYSTEM) } if !$is_plain;
    $self->{has_b} = eval { require B; 1 };
    override($_, $overridden{$_}) for grep { defined prototype "CORE::$_" } keys %overridden;
    for my $name (qw(localtime gmtime)) {
        no strict 'refs';
        my $ask = eval "sub { \@_ ? CORE::$name(\$_[0]) : CORE::$name() }";
        *{"CORE::GLOBAL::$name"} = set_prototype(';$', sub { note_now($name) if !@_; goto &$ask });
    }
    watch_files();
    # After all directories.
    push @INC, \&note_missing;
    for my $package (keys %functions) {
        replace($package, $_, $functions{$package}{$_}) for keys %{ $functions{$package} };
    }
    tie $$, 'Fcgi2cgi::Trial::Value', PROCESS, $$;
    tie $^T, 'Fcgi2cgi::Trial::Value', TIME, $^T;
    tie @ARGV, 'Fcgi2cgi::Trial::Arguments';
    return $self;
}

# When the script was compiled, or could not be: tells what was found, and ends. `$unfit` is why not, if that is known;
# `$loading` knows which of the modules would be found.
sub end {
    my ($self, $unfit, $loading) = @_;
    undef $of_script;
    my $noted = $self->noted;
    my @unread = $self->{is_plain} ? () : [unread => ''];
    $self->tell(@unread) if @unread && !defined $noted && ($unfit // '') eq NOT_COMPILED;
    $unfit //= "it $noted while it is loaded" if defined $noted;
    $self->tell([unfit => $unfit]) if defined $unfit;
    my @found = $self->values_as('script');
    my $before = surroundings();
    for my $module ($loading->wanted($self->{modules})) {
        my %known = %INC;
        my $watch = Fcgi2cgi::Watch->begin;
        my $is_loaded = eval { require $module; 1 };
        my ($why, $variables, $changes) = $watch->end;
        $noted = $self->noted;
        $self->tell(@unread) if @unread && !$is_loaded && !defined $noted;
        # What the script has found elsewhere, it may have done so since it has changed where to look.
        my @others = grep { !exists $known{$_} && ($self->{modules}{$_} // '') ne ($INC{$_} // '') } keys %INC;
        my $after = surroundings();
        push @others, grep { ($after->{$_} // '') ne $before->{$_} } keys %$before;
        push @others, grep { $_ =~ $everywhere && !exists $before->{$_} } keys %$after;
        $before = $after;
        my $is_fit = $is_loaded && !defined $why && !defined $noted && !%$variables && !@$changes && !@others;
        push @found, [refused => $module] if !$is_fit;
    }
    push @found, $self->values_as('later') if %{ $self->{modules} };
    push @found, map { [file => $_] } keys %files;
    push @found, map { [missing => $_] } grep { Fcgi2cgi::Loading::found($_) eq '' } keys %missing;
    push @found, [year => (CORE::localtime())[5]] if $asks_for_year;
    $self->tell(@found, [end => '']);
}

sub tell {
    my ($self, @found) = @_;
    untie $$;
    POSIX::_exit(1) if $$ != $self->{process};
    my $lines = join '', map { my ($kind, $what) = @$_; $what =~ s/([%\n])/sprintf '%%%02X', ord $1/ge; "$kind $what\n" } @found;
    utf8::encode($lines) if utf8::is_utf8($lines);
    while (length $lines) {
        my $written = $write->($self->{answer}, $lines, length $lines) or last;
        substr $lines, 0, $written, '';
    }
    POSIX::_exit(0);
}

# What was noted since it was last asked for.
sub noted {
    my ($self) = @_;
    my $programs = programs();
    push @notes, SYSTEM if $programs ne $self->{programs};
    $self->{programs} = $programs;
    push @notes, 'reads many files' if keys %files > MAX_FILES;
    my ($first) = splice @notes;
    return $first;
}

# Dies, or ends the process, where something is about to be done that is not to be done here.
sub note {
    my ($why) = @_;
    if ($why eq SYSTEM) {
        $of_script->end("it $why while it is loaded") if $of_script;
        push @notes, $why;
        local $SIG{__DIE__};
        die "not while it is tried\n";
    }
    push @notes, $why if !grep { ((CORE::caller $_)[1] // '') =~ $refreshed } 1 .. 3;
}

# The year is another one but once a year.
sub note_now {
    my ($name) = @_;
    if ($name eq 'localtime' && (caller 1)[1] =~ m{/Time/Local\.pm\z}) { $asks_for_year = 1 }
    else { note(TIME) }
}

sub override {
    my ($name, $why) = @_;
    my $prototype = $prototypes{$name} // prototype "CORE::$name";
    no strict 'refs';
    if ($why eq SYSTEM) {
        *{"CORE::GLOBAL::$name"} = eval "sub ($prototype) { note(SYSTEM) }" or die $@;
        return;
    }
    my $call = $prototype eq '' ? "CORE::$name()"
        : $prototype eq '@' ? "CORE::$name(\@_)"
        : $prototype =~ /\A[*\$]+\z/ ? "CORE::$name(" . join(', ', map { "\$_[$_]" } 0 .. length($prototype) - 1) . ')'
        : "\@_ > 1 ? CORE::$name(\$_[0], \$_[1]) : \@_ ? CORE::$name(\$_[0]) : CORE::$name()";
    $call = "\@_ ? CORE::$name(\$_[0]) : CORE::$name()" if $prototype =~ /\A[;_]?\$?\z/ && $prototype ne '';
    my $body = eval "no strict 'refs'; sub { $call }" or die $@;
    *{"CORE::GLOBAL::$name"} = set_prototype($prototype, sub { note($why); goto &$body });
}

# In the place of a function that is there already.
sub replace {
    my ($package, $name, $why) = @_;
    no strict 'refs';
    no warnings qw(redefine prototype);
    # Of these POSIX makes some only when they are called.
    return *{"${package}::$name"} = sub { note($why) } if $why eq SYSTEM;
    return if !defined &{"${package}::$name"};
    my $original = \&{"${package}::$name"};
    *{"${package}::$name"} = set_prototype(prototype $original, sub { note($why); goto &$original });
}

sub set_prototype {
    my ($prototype, $function) = @_;
    return defined $prototype ? eval "sub ($prototype) { goto &\$function }" : $function;
}

sub watch_files {
    no strict 'refs';
    *CORE::GLOBAL::open = sub (*;$@) {
        my $mode = @_ > 1 ? $_[1] : '';
        my $path = @_ > 2 ? $_[2] : $mode =~ s/\A\s*([<>+|]*)\s*(.*?)\s*\z/$1/s ? $2 : '';
        if (@_ == 1 || $mode =~ /\|/ || $path =~ /\|\z/ && @_ == 2 || $mode =~ />|\+/) { note(SYSTEM) }
        elsif (!ref $path && $mode !~ /&/) { note_file($path) }
        if (defined $_[0] && !ref $_[0] && ref \$_[0] ne 'GLOB') {
            return @_ == 2 ? CORE::open(handle($_[0]), $_[1]) : CORE::open(handle($_[0]), $_[1], @_[2 .. $#_]);
        }
        return @_ == 2 ? CORE::open($_[0], $_[1]) : CORE::open($_[0], $_[1], @_[2 .. $#_]);
    };
    *CORE::GLOBAL::sysopen = sub (*$$;$) {
        note_open($_[1], $_[2]);
        my $handle = defined $_[0] && !ref $_[0] && ref \$_[0] ne 'GLOB' ? handle($_[0]) : undef;
        return $handle ? CORE::sysopen($handle, $_[1], $_[2], $_[3] // 0666) : CORE::sysopen($_[0], $_[1], $_[2], $_[3] // 0666);
    };
    for my $name (qw(stat lstat)) {
        my ($of_path, $of_last) = map { eval "sub { CORE::$name($_) }" or die $@ } '$_[0]', '_';
        *{"CORE::GLOBAL::$name"} = sub (;*) {
            my ($what) = @_ ? @_ : $_;
            return &$of_last if !ref $what && $what eq '_';
            my $handle = ref $what || ref \$what eq 'GLOB' ? $what : $what =~ /\A[\w:']+\z/ ? handle($what) : undef;
            return $of_path->($handle) if $handle && (ref $what || defined *$handle{IO});
            note_file($what);
            return $of_path->($what);
        };
    }
    *CORE::GLOBAL::opendir = sub (*$) {
        note_file($_[1]);
        return CORE::opendir(defined $_[0] && !ref $_[0] && ref \$_[0] ne 'GLOB' ? handle($_[0]) : $_[0], $_[1]);
    };
    # What differs in each process is found by comparing two of them.
    *CORE::GLOBAL::readlink = sub (_) {
        note_file($_[0]) if $_[0] !~ $no_file;
        return CORE::readlink($_[0]);
    };
    no warnings 'redefine';
    *POSIX::open = sub {
        note_open($_[0], $_[1] // 0);
        return $open->(@_);
    };
}

sub note_open {
    my ($path, $flags) = @_;
    if ($flags & (POSIX::O_WRONLY() | POSIX::O_RDWR() | POSIX::O_CREAT() | POSIX::O_TRUNC())) { note(SYSTEM) }
    else { note_file($path) }
}

# Of a name in the package of who has called.
sub handle {
    my ($name) = @_;
    my ($package) = caller 1;
    no strict 'refs';
    return \*{ $name =~ /::|'/ || $name =~ /\A(?:STD(?:IN|OUT|ERR)|ARGV|ENV|INC)\z/ ? $name : "${package}::$name" };
}

sub note_missing {
    my (undef, $name) = @_;
    $missing{$name} = 1;
    return;
}

sub note_file {
    my ($path) = @_;
    if ($path =~ $no_file) { note("reads $path") }
    else { $files{ $path =~ m{\A/} ? $path : POSIX::getcwd() . "/$path" } = 1 }
}

# Changes when a program was started and has ended, where the system says so.
sub programs {
    CORE::open(my $file, '<', '/proc/self/stat') or return '';
    my @fields = split ' ', (readline($file) =~ /\) (.*)/)[0];
    return "$fields[8] $fields[10]";
}

# Of each variable what it holds, as a number.
sub values_as {
    my ($self, $when) = @_;
    return if !$self->{has_b};
    my %found;
    collect('main::', \%found, {});
    collect_lexicals('the script', B::main_cv(), \%found);
    return map { [value => "$when $_ $found{$_}"] } keys %found;
}

# What a module would change for all others: how Perl itself goes on, and what other packages have.
sub surroundings {
    my %found = (
        '%SIG' => join(' ', map { defined $SIG{$_} ? "$_=$SIG{$_}" : () } sort keys %SIG),
        '@INC' => join("\n", @INC),
        variables => join("\n", map { $_ // '' } $/, $\, $,, $", $;, $|, $^W, $0),
    );
    survey('main::', \%found, {});
    return \%found;
}

sub survey {
    my ($package, $found, $seen) = @_;
    no strict 'refs';
    return if $package =~ /\A(?:Fcgi2cgi|POSIX|B)::/ || $seen->{ \%$package }++;
    for my $name (keys %$package) {
        my $full = $package eq 'main::' ? $name : "$package$name";
        # How many categories modules have registered, of which each knows its own.
        next if $full eq 'warnings::LAST_BIT';
        if ($name =~ /::\z/) { survey($full, $found, $seen) if $name ne 'main::' }
        next if $name !~ /\A[A-Za-z_]\w*\z/ || ref \$package->{$name} ne 'GLOB';
        my $glob = \*{"$package$name"};
        $found->{$full} = \&$glob if defined &$glob;
        my $value = *{$glob}{SCALAR};
        $found->{"scalar $full"} = $$value if ref $value eq 'SCALAR' && !tied $$value && defined $$value;
    }
}

sub collect {
    my ($package, $found, $seen) = @_;
    no strict 'refs';
    return if $package =~ /\A(?:main::)?(?:Fcgi2cgi|CORE|B|DynaLoader)::/ || $seen->{ \%$package }++;
    for my $name (keys %$package) {
        my $full = $package eq 'main::' ? $name : "$package$name";
        if ($name =~ /::\z/) {
            collect($full, $found, $seen) if $name ne 'main::';
            next;
        }
        next if $name !~ /\A[A-Za-z_]\w*\z/ || ref \$package->{$name} ne 'GLOB';
        next if "$package$name" eq 'IPC::Run::Debug::parent_pid';
        next if $package eq 'main::' && $name =~ /\A(?:ENV|ARGV|SIG|STDIN|STDOUT|STDERR|_)\z/;
        my $glob = \*{"$package$name"};
        for my $kind (qw(SCALAR ARRAY HASH)) {
            my $value = *{$glob}{$kind} // next;
            # The English name of @_.
            next if $value == \@_;
            my $text = plain($value, DEPTH, {});
            $found->{"\L$kind\E $full"} = number($text) if $text !~ /\A[\[{~\]},]*\z/;
        }
        my $code = *{$glob}{CODE};
        collect_lexicals($full, B::svref_2object($code), $found) if $code;
    }
}

# What the file's own variables hold, as far as functions use them.
sub collect_lexicals {
    my ($where, $function, $found) = @_;
    return if ref $function ne 'B::CV' || ref $function->PADLIST ne 'B::PADLIST';
    my ($names, $values) = $function->PADLIST->ARRAY;
    return if !ref $names || !$names->can('ARRAY') || !ref $values || !$values->can('ARRAY');
    my @names = $names->ARRAY;
    my @values = $values->ARRAY;
    for my $index (0 .. $#names) {
        my $name = $names[$index];
        next if !ref $name || !$name->can('PV') || !defined $name->PV || $name->PV !~ /\A[\$\@%]\w/;
        my $value = $values[$index];
        next if !ref $value || ref $value eq 'B::SPECIAL' || !$value->can('object_2svref');
        my $text = plain($value->object_2svref, DEPTH, {});
        $found->{ $name->PV . " in $where" } = number($text) if $text !~ /\A[\[{~\]},]*\z/;
    }
}

# What can be compared of it, without asking it.
sub plain {
    my ($value, $depth, $seen) = @_;
    my $object = B::svref_2object($value);
    my $kind = ref $object;
    return '~' if $kind eq 'B::SPECIAL';
    return '~' if !$depth || $seen->{$$object}++ || is_magical($object);
    my $next = $depth - 1;
    if ($kind eq 'B::AV') { return '[' . join(',', map { defined $_ ? plain(\$_, $next, $seen) : '~' } @$value) . ']' }
    if ($kind eq 'B::HV') {
        return '{' . join(',', map { "$_=" . plain(\$value->{$_}, $next, $seen) } sort keys %$value) . '}';
    }
    return '~' if $kind !~ /\AB::(?:IV|NV|PV\w*)\z/;
    # An object's number is an address.
    return '~' if $object->can('SvSTASH') && ref $object->SvSTASH eq 'B::HV' && !$object->POK;
    return '' if !defined $$value;
    return ref $$value ? plain($$value, $next, $seen) : "$$value";
}

# Whether to ask it is to do something: taint, positions, references that are counted and lengths do not.
sub is_magical {
    my ($object) = @_;
    return 0 if !$object->MAGICAL || !$object->can('MAGIC');
    for (my $magic = $object->MAGIC; ref $magic eq 'B::MAGIC'; $magic = $magic->MOREMAGIC) {
        return 1 if $magic->TYPE !~ /\A[tg<w:]\z/;
    }
    return 0;
}

sub number {
    my ($text) = @_;
    utf8::encode($text);
    return join '-', length $text, map { unpack $_, $text } '%32C*', '%32N*', '%32n*', '%32V*';
}

package Fcgi2cgi::Trial::Value;

sub TIESCALAR { my ($class, $why, $value) = @_; return bless { why => $why, value => $value }, $class }
sub FETCH { Fcgi2cgi::Trial::note($_[0]{why}); return $_[0]{value} }
sub STORE { Fcgi2cgi::Trial::note($_[0]{why}) }

package Fcgi2cgi::Trial::Arguments;

sub TIEARRAY { return bless [], $_[0] }
sub AUTOLOAD { Fcgi2cgi::Trial::note(Fcgi2cgi::Trial::ARGUMENTS()) if our $AUTOLOAD !~ /::(?:DESTROY|UNTIE)\z/; return 0 }

1;
