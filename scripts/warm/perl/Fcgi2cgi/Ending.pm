# How a forked process ends: as any Perl, but without a look at everything that it has, where nothing is left to be done.
#
# As it ends, Perl looks for objects to destroy, and writes to each variable as it does. Here that would copy most of the
# memory that a process shares with its fork server, which takes as long as some requests.
package Fcgi2cgi::Ending;

use strict;
use warnings;
use POSIX ();

# Their objects only free memory, or their AUTOLOAD makes functions, not destructors.
my %idle = map { ("${_}::" => 1) } qw(bytes Digest::MD5 Encode::Encoding Fcntl IO::Handle POSIX Regexp Time::HiRes);
# In others that are written in C, something may be left that Perl does not know of.
my %known = map { $_ => 1 } qw(B Cwd Data::Dumper Digest::MD5 Digest::SHA Encode Fcntl File::Glob HTML::Parser IO List::Util
    MIME::Base64 POSIX PerlIO::scalar Socket Storable Sys::Hostname Time::HiRes);

# To be made when all is loaded that is loaded ahead.
sub new {
    my ($class) = @_;
    my $self = bless { packages => [], seen => {} }, $class;
    # What comes before the fork server ends after it; and older ones do not say how many names a package has.
    my $is_first = !grep { m{(?:\A|/)sitecustomize\.pl\z} } keys %INC;
    # With taint checks, nothing can be flushed as it is below.
    $self->{may_be_over} = $is_first && !${^TAINT} && $] >= 5.026 && $self->note('main::');
    return $self;
}

# Whether no object of a package, or of one below it, has anything to do at the end.
sub note {
    my ($self, $package) = @_;
    no strict 'refs';
    my $names = \%$package;
    return 1 if $package =~ /\A(?:main::)?Fcgi2cgi::/ || $self->{seen}{$names}++;
    return 0 if !is_idle($package);
    push @{ $self->{packages} }, [$package, $names, scalar %$names];
    for my $name (grep { /::\z/ && $_ ne 'main::' } keys %$names) {
        return 0 if !$self->note(($package eq 'main::' ? '' : $package) . $name);
    }
    return 1;
}

# An object that has no DESTROY is destroyed by AUTOLOAD (perlobj).
sub is_idle {
    my ($package) = @_;
    no strict 'refs';
    return $idle{$package} || !defined &{"${package}DESTROY"} && !defined &{"${package}AUTOLOAD"};
}

sub is_open {
    my ($number) = @_;
    return POSIX::lseek($number, 0, POSIX::SEEK_CUR()) >= 0 || $! != POSIX::EBADF();
}

# Whether nothing is left to be done: no object to destroy, no file to write to, no program to wait for.
sub is_over {
    my ($self) = @_;
    return 0 if !$self->{may_be_over} || tied *STDOUT || grep { !$known{$_} } @DynaLoader::dl_modules;
    return 0 if grep { is_open($_) } 3 .. 63;
    my @noted = @{ $self->{packages} };
    for my $noted (@noted) {
        my ($package, $names, $count) = @$noted;
        return 0 if !is_idle($package);
        next if scalar %$names == $count;
        delete $self->{seen}{$names};
        return 0 if !$self->note($package);
    }
    return 1;
}

# Ends the process, if nothing is left to be done; else returns.
sub end {
    my ($self, $status) = @_;
    return if !$self->is_over;
    local ($!, $@, $,, $\);
    local @SIG{qw(__DIE__ __WARN__)} = (undef, sub { });
    # Where that fails, Perl itself says so, and with which status.
    my $selected = select STDOUT;
    my $is_written = do { local $| = 1; print '' };
    select $selected;
    # What is still in buffers of others goes out before a program is started (perlfunc, exec), also one of no name.
    return if !$is_written || !eval { no warnings; CORE::exec {''} ''; 1 };
    POSIX::_exit($status);
}

1;
