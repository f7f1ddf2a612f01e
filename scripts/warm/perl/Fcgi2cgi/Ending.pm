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
    MIME::Base64 POSIX PerlIO::encoding PerlIO::scalar Socket Storable Sys::Hostname Time::HiRes);

# To be made when all is loaded that is loaded ahead.
sub new {
    my ($class) = @_;
    my $self = bless { packages => [], seen => {} }, $class;
    # What comes before the fork server ends after it; and older ones do not say how many names a package has.
    my $is_first = !grep { m{(?:\A|/)sitecustomize\.pl\z} } keys %INC;
    $self->{may_be_over} = $is_first && $] >= 5.026 && $self->note('main::');
    return $self;
}

# Whether nothing in a package, or below it, has to be done at the end.
sub note {
    my ($self, $package) = @_;
    no strict 'refs';
    my $names = \%$package;
    return 1 if $package =~ /\A(?:main::)?Fcgi2cgi::/ || $self->{seen}{$names}++;
    # An object that has none is destroyed by AUTOLOAD (perlobj).
    return 0 if !$idle{$package} && grep { defined &{"$package$_"} } qw(DESTROY AUTOLOAD);
    push @{ $self->{packages} }, [$package, $names, scalar %$names];
    for my $name (grep { /::\z/ && $_ ne 'main::' } keys %$names) {
        return 0 if !$self->note(($package eq 'main::' ? '' : $package) . $name);
    }
    return 1;
}

# Whether nothing is left to be done: no object to destroy, no program to wait for.
sub is_over {
    my ($self) = @_;
    return 0 if !$self->{may_be_over} || grep { !$known{$_} } @DynaLoader::dl_modules;
    my @noted = @{ $self->{packages} };
    for my $noted (@noted) {
        my ($package, $names, $count) = @$noted;
        next if scalar %$names == $count;
        delete $self->{seen}{$names};
        return 0 if !$self->note($package);
    }
    local ($?, $!);
    return waitpid(-1, POSIX::WNOHANG()) < 0;
}

# Ends the process, if nothing is left to be done; else returns.
sub end {
    my ($self, $status) = @_;
    return if !$self->is_over;
    # What is still in buffers goes out before a program is started (perlfunc, exec), also one of no name, which can't be.
    no warnings 'exec';
    eval { CORE::exec {''} ''; 1 } or return;
    POSIX::_exit($status);
}

1;
