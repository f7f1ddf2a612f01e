# -*- perl -*-
# The code of gitweb's settings when `fcgi2cgi git` runs it: gitweb.conf, beside it, loads this file and calls `configure`
# in each request. With --runner warm it was compiled before.
#
# fcgi2cgi decides what is published. It gives gitweb NAME\0DIRECTORY\0 ... on standard input: the one repository that
# the request is about, or those that a list shows. Where gitweb puts "$projectroot/NAME" together, it gets the
# directory of that name in this list, and for every other name one that can't exist: so it reaches nothing else,
# whatever its parameters are. NAMEs are those of the URLs, and need not be those of the directories.
#
# gitweb.conf(5) describes the variables; --gitweb-config FILE is read where it says so below.

package FCGI2CGI::Published;

use overload
    '.'      => sub { my ($root, $text, $swapped) = @_; $swapped ? "$text$NOWHERE" : $text eq '/' ? $root : $root->directory($text) },
    '""'     => sub { $NOWHERE },
    fallback => 1;

# Only a directory has anything below it.
our $NOWHERE = '/dev/null/nowhere';

# The octets of a name: gitweb may have decoded it.
sub octets { my ($name) = @_; utf8::encode($name) if utf8::is_utf8($name); return $name }

# Whether a blob is text in UTF-8, line by line.
sub is_utf8 {
    my ($hash) = @_;
    open(my $blob, '-|', main::git_cmd(), 'cat-file', 'blob', $hash) or return '';
    local $/ = "\n";
    while (my $line = <$blob>) { utf8::decode($line) or return '' }
    return 1;
}

sub new { my ($class, %directory) = @_; return bless {%directory}, $class }
sub directory { my ($root, $name) = @_; return $root->{octets($name)} // $NOWHERE }

package main;

# What gitweb-checks.conf does, compiled once too. It is in a package of its own: /etc/gitweb-common.conf, which gitweb reads
# first, may be another version of that file.
my $checks = do {
    (my $file = __FILE__) =~ s{[^/]*\z}{gitweb-checks.conf};
    open(my $handle, '<', $file) or die "$file: $!\n";
    defined(my $text = do { local $/; <$handle> }) or die "$file: $!\n";
    close $handle;
    $text =~ s/^package FCGI2CGI::Checks;/package FCGI2CGI::OwnChecks;/m;
    # Its functions would find its own variables empty.
    eval "use warnings FATAL => 'closure'; sub {\n#line 1 \"gitweb-checks.conf\"\n$text\n}" or die $@;
};

# To be called in each request, when gitweb has set its own defaults.
sub FCGI2CGI::configure {
    my %given = map { $_ => delete $ENV{"FCGI2CGI_$_"} // '' } qw(GIT GIT_VERSION URL_PREFIX STATIC_URL GITWEB_CONFIG);

    $GIT = $given{GIT};

    # Gitweb would guess these from the web server's variables. A base without a scheme is right also where the web server
    # does not know that another one before it speaks HTTPS.
    $cgi->script_name($given{URL_PREFIX});
    $my_uri    = $given{URL_PREFIX};
    $my_url    = $cgi->url(-base => 1) . $my_uri;
    $base_url  = "$my_uri/";
    $home_link = "$my_uri/";

    # A path that is not UTF-8 remains as it is, instead of becoming another one.
    $path_info = $ENV{PATH_INFO};
    utf8::decode($path_info);

    @stylesheets = ("$given{STATIC_URL}/gitweb.css");
    $javascript  = "$given{STATIC_URL}/gitweb.js";
    $logo        = "$given{STATIC_URL}/git-logo.png";
    $favicon     = "$given{STATIC_URL}/git-favicon.png";

    # What gitweb would encode once more.
    my %encoded = map { $_ => 1 } @stylesheets, $javascript, $logo, $favicon, $base_url, $home_link, $my_url;

    # Git clones from where gitweb shows the repository.
    @git_base_url_list = ($my_url);

    $feature{pathinfo}{default} = [1];
    $feature{blame}{default}    = [1];
    $feature{snapshot}{default} = ['tgz', 'zip'];

    # Gitweb would show an error in one of these to everybody, as a page like others (200).
    eval { $checks->(); 1 } or FCGI2CGI::fail('the installation of fcgi2cgi', $@);
    if (my $file = $given{GITWEB_CONFIG}) {
        # CGI::Carp would write a page of its own about what Perl can't compile.
        local $CGI::Carp::TO_BROWSER = 0;
        my $error = open(my $handle, '<', $file) ? '' : "$file: $!\n";
        $error ||= "$file is a directory\n" if -d $file;
        $error = $@ if !$error && !do { close($handle); do $file };
        FCGI2CGI::fail('--gitweb-config', $error) if $error;
    }

    # Git's own protocol and lists know nothing of these: what they hide can be cloned.
    FCGI2CGI::fail('--gitweb-config', "\$export_auth_hook and \$export_ok hide pages, but no clone; publish with --markers instead\n")
        if $export_auth_hook || $export_ok;

    # In each request, gitweb would have a shell ask git. What the bridge was told holds for that very file only.
    my ($file, $version) = split(/ /, $given{GIT_VERSION}, 2);
    if (defined $version && $GIT eq $given{GIT} && $file eq join(':', (stat $GIT)[0, 1, 7, 9, 10])) {
        no warnings 'redefine';
        *evaluate_git_version = sub { $git_version = $version };
    }

    # From here on nothing may be changed that decides what gitweb can reach.
    binmode STDIN;
    my @published = split(/\0/, do { local $/; <STDIN> } // '');
    $projectroot   = FCGI2CGI::Published->new(@published);
    $projects_list = '/dev/null';

    my @names = @published[grep { $_ % 2 == 0 } 0 .. $#published];
    utf8::decode($_) for @names;

    no warnings 'redefine';
    *git_get_projects_list = sub {
        my ($below) = @_;
        my @names = grep { !$below || m{^\Q$below\E/} } @names;
        # This list is encoded character by character, as if each were an octet.
        @names = map { FCGI2CGI::Published::octets($_) } @names if ($action // '') eq 'project_index';
        return map { { path => $_ } } @names;
    };

    # A command for the shell is bytes: with one word that gitweb has decoded, Perl would encode the others once more, and the
    # directory would be another one.
    my $quote_command = \&quote_command;
    *quote_command = sub { return $quote_command->(map { FCGI2CGI::Published::octets($_) } @_) };

    # A raw file is what its bytes say. Gitweb would leave the charset to CGI.pm, which knows but ISO-8859-1.
    my $contenttype = \&blob_contenttype;
    *blob_contenttype = sub {
        my $type = $contenttype->(@_);
        $cgi->charset($type =~ m{^text/} && FCGI2CGI::Published::is_utf8($hash) ? 'utf-8' : '');
        return $type;
    };

    # No browser is to find anything else in it. CGI.pm fails at the name of a file with a line end, and that in a page with 200.
    my $header = \&CGI::header;
    *CGI::header = sub {
        my ($self, @fields) = @_;
        tr/\x00-\x1f\x7f/_/ for grep { defined && !ref } @fields;
        return $header->($self, @fields, -x_content_type_options => 'nosniff');
    };

    # Gitweb splits a path by patterns in which no line end matches: it would show the summary, whatever file the path names.
    # In between a line end is a character that no path has, which leaves bytes that are no UTF-8 as they are.
    my $evaluate_path_info = \&evaluate_path_info;
    *evaluate_path_info = sub {
        return $evaluate_path_info->() unless defined $path_info && $path_info =~ /\n/;
        my $is_text = utf8::is_utf8($path_info);
        $path_info =~ s/\n/\x{10ffff}/g;
        $evaluate_path_info->();
        for (grep { defined && !ref } $path_info, values %input_params) {
            s/\x{10ffff}/\n/g and !$is_text and utf8::downgrade($_, 1);
        }
    };

    # Gitweb's own writes a space as a plus, which in a path is a plus: the search form of a repository with a space in its
    # name would lead nowhere.
    *esc_url = sub {
        my ($url) = @_;
        return $url if !defined $url || $encoded{$url};
        $url =~ s{([^A-Za-z0-9\-_.~();/?:@&=]+)}{CGI::escape($1)}eg;
        return $url;
    };
}

1;
