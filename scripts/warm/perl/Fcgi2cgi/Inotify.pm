# Hears from the system (inotify) whether something may have happened to files, as fcgi2cgi_watch.py does, where it is said
# why: so that not each of them has to be looked at before each request. Where nothing can be heard for sure, each is.
package Fcgi2cgi::Inotify;

use strict;
use warnings;
no warnings 'recursion';
use POSIX ();

# <sys/inotify.h>. What may happen to something that is on the way, to what is named, and in a directory that lacks a name.
use constant {
    WAY => 4 | 0x400 | 0x800,
    NAMED => 4 | 0x400 | 0x800 | 2 | 8 | 0x40 | 0x80 | 0x100 | 0x200,
    MISSING => 0x80 | 0x100,
    DONT_FOLLOW => 1 << 25, MASK_ADD => 1 << 29, NONBLOCK_CLOEXEC => 04000 | 02000000,
};
# <linux/magic.h>: ext2 to ext4, xfs and tmpfs, whose files nothing changes that this system does not tell of.
my %is_sure = map { $_ => 1 } 0xEF53, 0x58465342, 0x1021994;
# How long is waited after something has happened, where more may follow, and after watching was not possible.
use constant { PAUSE_SECONDS => 1, FAILED_SECONDS => 60 };
use constant MAX_LINKS => 40;

# Perl has no names for inotify_init1(2), inotify_add_watch(2) and statfs(2), and their numbers are others on other machines.
my ($init, $add, $statfs) = $^O eq 'linux' && length pack('p', '') == 8
    ? @{ { x86_64 => [294, 254, 137], aarch64 => [26, 27, 43], riscv64 => [26, 27, 43] }->{ (POSIX::uname())[4] } // [] }
    : ();

sub new { return bless { not_before => 0 }, $_[0] }

# Whether nothing has happened, for sure, since `begin`.
sub is_quiet {
    my ($self) = @_;
    return 0 if !defined $self->{number};
    my ($heard, $mounted) = ('', '');
    vec($heard, $self->{number}, 1) = 1;
    vec($mounted, fileno $self->{mounts}, 1) = 1;
    return 1 if select($heard, undef, $mounted, 0) == 0;
    $self->close;
    $self->{not_before} = now() + PAUSE_SECONDS;
    return 0;
}

# To be called before these are looked at, and where `$way` leads.
sub begin {
    my ($self, $way, @paths) = @_;
    return if defined $self->{number} || !defined $init || now() < $self->{not_before};
    $self->{not_before} = now() + FAILED_SECONDS;
    my $number = syscall $init, NONBLOCK_CLOEXEC;
    return if $number < 0;
    $self->{number} = $number;
    # Before anything is looked for, too.
    my $is_watched = sysopen($self->{mounts}, '/proc/self/mountinfo', POSIX::O_RDONLY()) && eval {
        my $watched = bless { number => $number, passed => {}, kinds => {} }, 'Fcgi2cgi::Inotify::Watched';
        $watched->follow("$way/.", 0);
        $watched->name($_, 0) for @paths;
        1;
    };
    $self->close if !$is_watched;
}

sub close {
    my ($self) = @_;
    POSIX::close($self->{number}) if defined $self->{number};
    delete @$self{qw(number mounts)};
}

# That nobody sets.
sub now { return (POSIX::times())[0] / POSIX::sysconf(POSIX::_SC_CLK_TCK()) }

# What one descriptor hears of. Each thing is watched before what follows from it is looked at. Dies where what happens to
# something would not be heard.
package Fcgi2cgi::Inotify::Watched;

# What the path names, through symbolic links.
sub name {
    my ($self, $path, $links) = @_;
    die "too many links\n" if $links > Fcgi2cgi::Inotify::MAX_LINKS;
    my $kind = $self->follow($path, $links);
    if ($kind eq 'link') {
        my $to = readlink $path;
        die "$path: $!\n" if !defined $to;
        $self->name($to =~ m{\A/} ? $to : above($path) . "/$to", $links + 1);
    }
    elsif ($kind ne '') { $self->add($path, Fcgi2cgi::Inotify::NAMED) or die "$path is gone\n" }
}

# The same only as what leads elsewhere; gives what it is, nothing if it is missing.
sub follow {
    my ($self, $path, $links) = @_;
    my $passed = $self->{passed};
    return $passed->{$path} if defined $passed->{$path};
    # A path without a beginning leads to wherever this process is by then.
    die "$path can't be watched\n" if $path !~ m{\A/} || $path =~ /\0/;
    my $above = above($path);
    $self->name($above, $links + 1) if $above ne $path && $self->follow($above, $links) eq 'link';
    my @status = $self->add($path, Fcgi2cgi::Inotify::WAY) ? lstat $path : ();
    if (@status) {
        my $is_link = -l _;
        $self->check($is_link ? $above : $path, $status[0]);
        return $passed->{$path} = $is_link ? 'link' : 'other';
    }
    $self->add($above, Fcgi2cgi::Inotify::MISSING, 0) if ($passed->{$above} // '') ne '';
    return $passed->{$path} = '';
}

# Says whether it is there.
sub add {
    my ($self, $path, $mask, $flags) = @_;
    my $octets = Fcgi2cgi::Messages::untainted($path);
    $mask |= ($flags // Fcgi2cgi::Inotify::DONT_FOLLOW) | Fcgi2cgi::Inotify::MASK_ADD;
    return 1 if syscall($add, $self->{number}, $octets, $mask) >= 0;
    return 0 if !lstat($path) && ($!{ENOENT} || $!{ENOTDIR});
    die "$path can't be watched\n";
}

sub check {
    my ($self, $path, $device) = @_;
    # As large as struct statfs at least. It begins with the kind.
    my ($octets, $buffer) = (Fcgi2cgi::Messages::untainted($path), "\0" x 512);
    my $kind = $self->{kinds}{$device} //= syscall($statfs, $octets, $buffer) == 0 ? unpack 'l!', $buffer : 0;
    die "$path may change unheard\n" if !$is_sure{$kind};
}

sub above {
    my ($path) = @_;
    $path =~ s{/*[^/]*\z}{};
    return length $path ? $path : '/';
}

1;
