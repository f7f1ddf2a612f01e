#!/usr/bin/env python3
"""Runs Mercurial's own hgweb as a CGI script, for one repository or for the index of those that are published.

usage: hgweb.cgi repository PATH NAME PUBLISHED-NAME
       hgweb.cgi index STATIC-URL      reads NAME\\0PATH\\0 ... on standard input
       hgweb.cgi bundle PATH           sends a file

fcgi2cgi starts it in the directory of --repos, decides which repository that is and sets SCRIPT_NAME and PATH_INFO to
fit (RFC 3875 section 3.3); FCGI2CGI_HG_MODULES is the directory of the `mercurial` package, FCGI2CGI_HGWEB_CONFIG the
user's own settings, and FCGI2CGI_NO_PUSHES why nobody may push, where that is so.
"""

import _thread
import atexit
import builtins
import contextlib
import errno
import functools
import gc
import os
import re
import stat
import sys
import traceback
import types
from urllib.parse import parse_qs, parse_qsl, quote

# What this process leaves, it leaves soon: to look for garbage less often saves a twentieth of its time.
gc.set_threshold(20_000)

# Where a fork server has this script get ready ahead: returns in the process of each request. See fcgi2cgi_prepared.py.
wait_for_request = globals().get('__prepared__')


def layers(stream):
    """A standard stream and what it writes to: always there, and flushed at the end."""
    while stream is not None:
        yield id(stream)
        stream = getattr(stream, 'buffer', None) or getattr(stream, 'raw', None)


def is_something_left():
    """Whether there is anything to finalize, as a file that was not closed is; of what is not frozen."""
    usual = {layer for stream in (sys.stdin, sys.stdout, sys.stderr) for layer in layers(stream)}
    # A generator that has ended has no frame any more.
    return any(hasattr(type(thing), '__del__') and getattr(thing, 'gi_frame', thing) is not None and id(thing) not in usual
               for thing in gc.get_objects())


# Whether this process ends by `end`: where no fork server does that, and nothing was left by what runs before a script.
ends_itself = wait_for_request is None and hasattr(gc, 'freeze') and not gc.get_freeze_count() and not is_something_left()

# This script's own directory has nothing to import; Mercurial's may be one that this Python would not look into.
modules = os.path.dirname(os.environ.get('FCGI2CGI_HG_MODULES', ''))
sys.path[:1] = [] if modules in sys.path else [modules]

from mercurial import demandimport

# As Mercurial's own hgweb.cgi does: half of a page's time would be modules that it has no use for.
demandimport.enable()

from mercurial import context, dagop, error, extensions, hg, hook, localrepo, match as matchmod, node, policy
from mercurial import repoview, scmutil, subrepo, templater, ui as uimod, util, wireprotov1server
from mercurial.hgweb import hgweb_mod, hgwebdir_mod, request as requestmod, webcommands, wsgicgi
from mercurial.hgweb.common import HTTP_BAD_REQUEST, HTTP_FORBIDDEN, HTTP_NOT_FOUND
from mercurial.hgweb.common import ErrorResponse, permhooks, statusmessage
from mercurial.utils import urlutil

SOURCE = b'fcgi2cgi'
MAX_LINKS = 10
# Bytes of what Mercurial reads whole, also for a list: some lines, or the names of some thousands of users.
MAX_BYTES = {b'hgrc': 1_048_576, b'hgrc-not-shared': 1_048_576, b'requires': 65_536, b'sharedpath': 65_536}


class Outside(error.RepoLookupError):
    """What Mercurial was about to use is not inside --repos: to hgweb, a repository or revision that is not there."""


class Malformed(KeyError):
    """What a request says is nothing that Mercurial can be asked."""


class Inside:
    """Keeps Mercurial inside --repos. The owner of a repository may put a link in the place of anything, at any time:

    so what counts is not where a name leads when somebody looks, but what has been opened by it.
    """

    def __init__(self):
        self.root = os.getcwdb()
        self.below = os.path.join(self.root, b'')
        # The directory .hg of the repository that is asked for, and others that have been found to be its own.
        self.own = []
        # Whether not even what others name may lie outside.
        self.is_strict = False
        self.has_request = wait_for_request is None
        # So that they can be told from the ones below.
        self.expandpath, self.makelocalrepository = util.expandpath, localrepo.makelocalrepository

    def keep(self):
        """From now on."""
        builtins.open = self.open
        util.expandpath = lambda path: path if self.has(path) else self.expandpath(path)
        localrepo.makelocalrepository = self.make_repository
        self.keep_settings(uimod.ui.readconfig, uimod.ui._trusted)

    def keep_settings(self, readconfig, trusted):
        """An hgrc that Mercurial does not trust may not %include what its owner may not read."""

        def is_trusted(ui, fp, name):
            is_trusted = trusted(ui, fp, name)
            if not self.has(name):
                self.is_strict = False
                return is_trusted
            is_usual = is_trusted or os.fstat(fp.fileno()).st_uid == 0
            why = is_usual and self.misplaced(fp, name, lambda file: trusted(ui, file, file.name))
            if is_trusted and why:
                say(b'%s is not trusted: %s' % (name, why))
            self.is_strict = bool(why) or not is_usual
            return is_trusted and not why

        def read(ui, *arguments, **named):
            try:
                return readconfig(ui, *arguments, **named)
            finally:
                self.is_strict = False

        uimod.ui.readconfig, uimod.ui._trusted = read, is_trusted

    def misplaced(self, fp, name, is_trusted):
        """Why somebody else may have put an hgrc there than its owner, if so. What a push makes belongs to this process's
        user: who owns a directory above it can have it there by another name, or by a link."""
        for _ in range(MAX_LINKS):
            *above, (path, status) = self.way(os.path.normpath(name))
            for directory, each in [(self.root, os.lstat(self.root)), *above]:
                if not stat.S_ISDIR(each.st_mode):
                    return directory + b' is a link'
                if each.st_uid != 0 and not is_trusted(types.SimpleNamespace(name=directory)):
                    return directory + b' belongs to a user who is not trusted'
            if not stat.S_ISLNK(status.st_mode):
                break
            name = os.path.join(os.path.dirname(path), os.readlink(path))
        return None if os.path.samestat(status, os.fstat(fp.fileno())) else path + b' is another file'

    def way(self, path):
        """What lies below --repos on the way to a path: each directory and, as the last, what the path names."""
        parts = path[len(self.below):].split(b'/')
        ways = [self.below + b'/'.join(parts[:count + 1]) for count in range(len(parts))]
        return [(way, os.lstat(way)) for way in ways]

    def has(self, path):
        return path == self.root or path.startswith(self.below)

    def open(self, file, *arguments, original=open, **named):
        """As the built-in function, which all that Mercurial reads or writes files with comes to in the end."""
        if not isinstance(file, int):
            name = os.fsencode(file)
            if b'\0' in name:
                raise Malformed('%s is no name of a file' % ascii(name))
            if self.is_strict or self.has(os.path.join(self.root, name)):
                named['opener'] = self.descriptor
        return original(file, *arguments, **named)

    def descriptor(self, name, flags):
        name = os.fsencode(name)
        if flags & (os.O_WRONLY | os.O_RDWR):
            descriptor = self.open_to_write(os.path.realpath(name) if os.path.islink(name) else name, flags)
        else:
            # A FIFO would have it wait for somebody to write.
            descriptor = os.open(name, flags | os.O_NONBLOCK)
        try:
            self.check(descriptor, name)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def open_to_write(self, name, flags):
        """Looks at the directory before anything is made there or cut short."""
        parent, last = os.path.split(name)
        directory = os.open(parent or b'.', getattr(os, 'O_PATH', os.O_RDONLY) | os.O_DIRECTORY)
        try:
            self.check(directory, parent, is_written=True)
            return os.open(last, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666, dir_fd=directory)
        finally:
            os.close(directory)

    def check(self, descriptor, name, is_written=False):
        status = os.fstat(descriptor)
        if not stat.S_IFMT(status.st_mode) in (stat.S_IFREG, stat.S_IFDIR):
            self.refuse(name, b'it is neither a file nor a directory')
        limit = MAX_BYTES.get(os.path.basename(name), status.st_size)
        if status.st_size > limit:
            self.refuse(name, b'it has %d bytes; make it at most %d' % (status.st_size, limit))
        try:
            real = os.readlink(b'/proc/self/fd/%d' % descriptor)
        except OSError:
            real = self.real_path(descriptor, name)
        if not self.has(real):
            self.refuse_outside(name, real)
        if not self.may_use(real) and (is_written or not self.is_public(real)):
            self.refuse_foreign(name, real)

    def keep_own(self, path):
        """From now on, this repository is asked for, by its real path."""
        self.own = [os.path.normpath(os.path.join(path, b'.hg'))]

    def may_use(self, real):
        """Whether it is in the repository that is asked for, or in another one of the same owner: who puts a link there
        may not be allowed to read what it leads to. Root and this process's user are."""
        if not self.own or any((real + b'/').startswith(own + b'/') for own in self.own):
            return True
        owners = {status.st_uid for _, status in self.way(self.own[0])} - {0, os.getuid()}
        repository, is_in_one, _ = (real + b'/').rpartition(b'/.hg/')
        return not owners or owners == {os.lstat(repository + b'/.hg' if is_in_one else real).st_uid}

    def is_public(self, real):
        """Whether everybody on this system may read it."""
        return all(status.st_mode & (stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else stat.S_IROTH)
                   for _, status in self.way(real))

    def real_path(self, descriptor, name):
        """Where the system does not tell: the path by which no link leads to what was opened."""
        real = os.path.realpath(name)
        if not self.has(real):
            return real
        found = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        for part in real[len(self.below):].split(b'/') if real != self.root else []:
            above = found
            try:
                found = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=above)
            finally:
                os.close(above)
        try:
            return real if os.path.sameopenfile(descriptor, found) else b'something else by now'
        finally:
            os.close(found)

    def make_repository(self, baseui, path, *arguments, **named):
        repo = self.makelocalrepository(baseui, path, *arguments, **named)
        self.check_repository(repo)
        # Of an owner whom Mercurial does not trust, hgweb would take it too.
        repo.ui.setconfig(b'web', b'archivesubrepos', repo.ui.config(b'web', b'archivesubrepos'), SOURCE)
        keep_largefiles(repo)
        keep_lfs()
        return repo

    def check_repository(self, repo):
        for base in repo.root, repo.path, repo.sharedpath, repo.spath, repo.cachevfs.base, repo.wcachevfs.base:
            real = os.path.realpath(base)
            if not (self.has(base) and self.has(real)):
                self.refuse_outside(base, real)
            if base == repo.root:
                continue
            if not self.may_use(real):
                self.refuse_foreign(base, real)
            self.own.append(real)

    def refuse_outside(self, name, real):
        self.refuse(name, b'it is %s, and --repos is %s' % (real, self.root))

    def refuse_foreign(self, name, real):
        self.refuse(name, b'it is %s, which has another owner than %s' % (real, self.own[0]))

    def refuse(self, name, why):
        say(b'%s is not used: %s' % (name, why))
        raise Outside(b'not published')


class Committed:
    """Shows of a repository what has been committed. A working directory is a revision too, to Mercurial: ffff...,

    2147483647 or wdir(), with all files that lie there. It stays one for hooks, and where Mercurial's own code or an
    extension's asks for it (`repo[None]`): to know what is hidden, for example.
    """

    def __init__(self):
        self.is_allowed = self.is_search = False

    def keep(self):
        """From now on."""
        localrepo.localrepository.__getitem__ = self.look_up(localrepo.localrepository.__getitem__)
        localrepo.localrepository.filectx = look_up_file(localrepo.localrepository.filectx)
        dagop.blockdescendants = descendants(dagop.blockdescendants)
        scmutil.revsymbol = self.look_up_symbol(scmutil.revsymbol)
        hook.runhooks = self.allow(hook.runhooks)
        # A search comes to these as well.
        repoview.pinnedrevs = self.allow(repoview.pinnedrevs)
        uimod.ui.log = self.allow(uimod.ui.log)
        subrepo.subrepo = self.open_subrepository(subrepo.subrepo)
        webcommands._search = search(webcommands._search)
        webcommands.comparison = compare(webcommands.comparison)

    def look_up(self, original):
        def get(repo, changeid):
            found = original(repo, changeid)
            if changeid is not None or self.is_search:
                self.check(found)
            return found

        return get

    def look_up_symbol(self, original):
        """What a request calls a revision."""

        def get(repo, symbol):
            found = original(repo, symbol)
            self.check(found)
            # Mercurial gives it without a look at what the view has.
            if symbol == b'.' and not self.is_allowed and found.rev() in repo.changelog.filteredrevs:
                raise error.FilteredRepoLookupError(b"filtered revision '.'")
            return found

        return get

    def check(self, found):
        if isinstance(found, context.workingctx) and not self.is_allowed:
            raise error.RepoLookupError(b"unknown revision '%s'" % node.wdirhex)

    def open_subrepository(self, original):
        """To archive it, Mercurial would make it, and fetch it from where a changeset says, by any program that can."""

        def open(ctx, path, allowwdir=False, allowcreate=True):
            if self.is_allowed:
                return original(ctx, path, allowwdir, allowcreate)
            _, revision, kind = ctx.substate[path]
            if kind == b'hg' and ctx.repo().wvfs.exists(os.path.join(path, b'.hg')):
                found = original(ctx, path, allowwdir, False)
                view = ctx.repo().filtername
                found._repo = found._repo.filtered(view) if view else found._repo
                if revision in found._repo:
                    found._get = lambda state: True
                    return found
            raise error.RepoLookupError(b"subrepository '%s' is not archived: it has no revision %s" % (path, revision))

        return open

    def allow(self, original):
        def run(*arguments, **named):
            was, self.is_allowed = self.is_allowed, True
            try:
                return original(*arguments, **named)
            finally:
                self.is_allowed = was

        return run


def look_up_file(original):
    """A file's revision by its own number, which counts those of secret changesets too."""

    def get(repo, path, *arguments, **named):
        found = original(repo, path, *arguments, **named)
        try:
            is_shown = found.rev() in repo
        except error.WdirUnsupported:
            is_shown = False
        if not is_shown:
            raise error.RepoLookupError(b"unknown revision of '%s'" % path)
        return found

    return get


def descendants(original):
    def get(file, *lines, **named):
        return (each for each in original(file, *lines, **named) if each[0].linkrev() in file.repo())

    return get


def compare(original):
    def run(web):
        if not re.fullmatch(br'full|-?[0-9]{1,9}', web.req.qsparams.get(b'context', b'0')):
            raise ErrorResponse(HTTP_BAD_REQUEST, b'invalid context parameter')
        return original(web)

    return run


# Patterns that would read any file, or all files of each revision, or are regular expressions, which hgweb has nobody
# search for.
UNSEARCHED = {b'include', b'listfile', b'listfile0', b're', b'relre', b'set', b'subinclude'}


def search(original):
    """hgweb's own, where an expression may come to more than changesets, or to more work than it looks."""

    def searched(revs):
        # One of those that are not there is found out when others are on the page.
        with contextlib.suppress(error.RepoLookupError):
            yield from (rev for rev in revs if rev != node.wdirrev)

    def match(ui, expression, lookup):
        if b'##' in expression:
            raise error.ParseError(b'strings that are put together, which are not looked at')
        find = revset.match(ui, expression, lookup)

        def found(repo):
            try:
                return searched(find(repo))
            except error.WdirUnsupported:
                raise error.RepoLookupError(b'no changeset')

        return found

    def run(web):
        committed.is_search = True
        matchmod.allpatternkinds = [kind for kind in matchmod.allpatternkinds if kind not in UNSEARCHED]
        webcommands.revset = types.SimpleNamespace(
            match=match, lookupfn=revset.lookupfn, safesymbols=revset.safesymbols - {b'wdir'})
        return original(web)

    revset = webcommands.revset
    return run


class Response(requestmod.wsgiresponse):
    """hgweb's own response, but that a browser takes it for what it is said to be, and for two faults."""

    def sendresponse(self):
        disposition = self.headers.get(b'Content-Disposition', b'')
        if not disposition.isascii():
            self.headers[b'Content-Disposition'] = encode_filename(disposition)
        if not self.status.startswith(b'304'):
            self.headers[b'X-Content-Type-Options'] = b'nosniff'
        return super().sendresponse()

    def setbodybytes(self, body):
        """A raw file is said to be in the encoding of hgweb's own pages, which it may not be."""
        kind, _, charset = self.headers.get(b'Content-Type', b'').partition(b'; charset=')
        if charset and kind.startswith(b'text/') and not is_text(body, charset.strip(b'"')):
            self.headers[b'Content-Type'] = kind
        super().setbodybytes(body)


def is_text(body, charset):
    try:
        body.decode(charset.decode('ascii'))
        return True
    except (UnicodeError, LookupError):
        return False


def encode_filename(disposition):
    """The file name in the form of RFC 6266 section 4.3, after one in ASCII for clients that do not know that."""
    kind, _, quoted = disposition.partition(b'; filename=')
    name = quoted[1:-1].replace(b'\\"', b'"').replace(b'\\\\', b'\\')
    try:
        name.decode('utf-8')
        charset = 'UTF-8'
    except UnicodeDecodeError:
        charset = 'ISO-8859-1'
    plain = bytes(octet if octet < 128 else ord('_') for octet in quoted)
    return kind + b'; filename=' + plain + ("; filename*=%s''%s" % (charset, quote(name, ''))).encode('ascii')


def static_file(templatepath, directory, fname, res, original=hgwebdir_mod.staticfile):
    """hgweb's own, but that one which is not there is a 404: hgwebdir fails on the way to its page about it."""
    try:
        original(templatepath, directory, fname, res)
    except ErrorResponse as error:
        res.status = statusmessage(error.code, error.message)
        res.headers[b'Content-Type'] = b'text/plain'
        res.setbodybytes(b'There is no such file.\n')


def query(parse):
    """Reads names and values byte by byte: some Pythons' own fail on those that are not ASCII."""

    def parse_bytes(text, *arguments, **named):
        def encoded(value):
            return value.encode('latin-1') if isinstance(value, str) else type(value)(map(encoded, value))

        parsed = parse(text.decode('latin-1'), *arguments, encoding='latin-1', **named)
        return dict(map(encoded, parsed.items())) if isinstance(parsed, dict) else encoded(parsed)

    return parse_bytes


def value_of(values, name, original=requestmod.multidict.__getitem__):
    try:
        return original(values, name)
    except KeyError as problem:
        raise Malformed('it has no value for %s' % ascii(name)) from problem


def dispatch(repo, proto, command, *more, original=wireprotov1server.dispatch, **named):
    """Mercurial's own, which takes the arguments of a client's command for what they should be."""
    try:
        return original(repo, proto, command, *more, **named)
    except (AssertionError, IndexError, KeyError, ValueError, error.Abort, error.WdirUnsupported) as problem:
        if command == b'getlfile' and isinstance(problem, error.Abort):
            raise ErrorResponse(HTTP_NOT_FOUND, b'no such largefile')
        raise Malformed('%s of %s' % (told(problem), ascii(command))) from problem


def told(problem):
    # What Mercurial's own say to repr() is not what has happened.
    message = getattr(problem, 'message', None)
    return ascii(problem) if message is None else '%s(%s)' % (type(problem).__name__, ascii(message))


def refuse_pushes(why):
    """Has hgweb refuse all that writes, whatever its settings say, and whichever way it is asked."""

    def refuse(hgweb, req, operation):
        if operation not in (None, b'read', b'pull'):
            raise ErrorResponse(HTTP_FORBIDDEN, why)

    permhooks.insert(0, refuse)


def refuse_hidden_push(hgweb, req, operation):
    """Nobody pushes where a web server does not see it: it asks for a password where the query names one of these."""
    seen = req.qsparams.get(b'cmd') in (b'unbundle', b'pushkey', b'putlfile')
    if operation == b'push' and not req.remoteuser and not seen:
        raise ErrorResponse(HTTP_FORBIDDEN, b'nobody can push by this command: it needs a REMOTE_USER')


def tell_refusals():
    """Has the log say what hgweb refuses, and to whom: its page tells only the one who has asked."""

    def telling(hook):
        def check(hgweb, req, operation):
            try:
                return hook(hgweb, req, operation)
            except ErrorResponse as refusal:
                user = b'nobody' if not req.remoteuser else b'user ' + req.remoteuser
                say(b'%s, by %s' % (refusal.args[0].encode(), user))
                raise

        return check

    permhooks[:] = [telling(hook) for hook in permhooks]


def take_variables():
    """Has what Mercurial starts find what it would find otherwise; gives the file with the user's own settings."""
    # Where extensions and hooks look for it; Mercurial itself asks the system, as here.
    home = os.path.expanduser('~')
    if os.path.isabs(home):
        os.environ['HOME'] = home
    os.environb.pop(b'FCGI2CGI_HG_MODULES', None)
    return os.environb.pop(b'FCGI2CGI_HGWEB_CONFIG', None)


def load_ui():
    config = take_variables()
    ui = uimod.ui.load()
    if config is not None:
        # Mercurial would go on without it, and show what it keeps from people.
        try:
            open(config, 'rb').close()
        except OSError as why:
            raise error.ConfigError(b'--hgweb-config: ' + os.fsencode(str(why)))
        ui.readconfig(config, trust=True)
    # What hgweb sets for itself where it loads the settings: nobody sits at a terminal.
    ui.setconfig(b'ui', b'report_untrusted', b'off', SOURCE)
    ui.setconfig(b'ui', b'nontty', b'true', SOURCE)
    ui.setconfig(b'progress', b'disable', b'true', SOURCE)
    # What one repository's users have put there, another's may not see; and it may well be that nobody can write there.
    if not ui.hasconfig(b'lfs', b'usercache'):
        ui.setconfig(b'experimental', b'lfs.disableusercache', b'true', SOURCE)
    extensions.loadall(ui)
    extensions.populateui(ui)
    return ui


def keep_largefiles(repo):
    """Largefiles takes any path for the name of a file in its store. As for its cache, see `load_ui`."""
    try:
        extensions.find(b'largefiles')
    except KeyError:
        return
    from hgext.largefiles import lfutil
    if not repo.ui.hasconfig(b'largefiles', b'usercache'):
        repo.ui.setconfig(b'largefiles', b'usercache', os.path.join(repo.sharedpath, b'largefiles'), SOURCE)
    if hasattr(lfutil.storepath, 'original'):
        return

    def storepath(repo, hash, *arguments, original=lfutil.storepath):
        if not re.fullmatch(b'[0-9a-f]{40}|', hash):
            inside.refuse(hash, b'it names no file in a store of largefiles')
        return original(repo, hash, *arguments)

    storepath.original = lfutil.storepath
    lfutil.storepath = storepath


def keep_lfs():
    """Has the server of large files (LFS) say what is missing or malformed, where it would fail."""
    try:
        extensions.find(b'lfs')
    except KeyError:
        return
    from hgext.lfs import blobstore, wireprotolfsserver
    if hasattr(wireprotolfsserver._processbasictransfer, 'original'):
        return

    def transfer(repo, req, *arguments, original=wireprotolfsserver._processbasictransfer):
        if not re.fullmatch(b'[0-9a-f]{64}', req.dispatchparts[-1]):
            raise ErrorResponse(HTTP_NOT_FOUND, b'no such object')
        try:
            return original(repo, req, *arguments)
        except FileNotFoundError:
            raise ErrorResponse(HTTP_NOT_FOUND, b'no such object')
        except blobstore.LfsRemoteError as problem:
            raise Malformed(told(problem)) from problem

    def batch(*arguments, original=wireprotolfsserver._processbatchrequest):
        try:
            return original(*arguments)
        except (AttributeError, KeyError, TypeError, ValueError, error.ProgrammingError) as problem:
            raise Malformed(told(problem)) from problem

    transfer.original = wireprotolfsserver._processbasictransfer
    wireprotolfsserver._processbasictransfer, wireprotolfsserver._processbatchrequest = transfer, batch


class Mapped(Exception):
    """What is mapped to memory leaves a file open, as nothing may that is there before its request."""


def read_ahead(app):
    """Has hgweb open the repository that it serves its first request with, and read the changelog if that is small."""

    def refuse(*arguments):
        raise Mapped

    mmapread, util.mmapread = util.mmapread, refuse
    try:
        with app._obtainrepo() as view:
            view.changelog
    except Mapped:
        pass
    finally:
        util.mmapread = mmapread


def read_templates(ui):
    """Has Mercurial know the templates of a repository's style, read and parsed. No request finds them here when one of
    their files has changed."""
    # Where nobody has asked for a page yet.
    if type(templater) is not types.ModuleType:
        return
    read, parse = templater._readmapfile, templater.parse
    untrusted = functools.partial(ui.config, untrusted=True)
    own = ui.config(b'web', b'templates', untrusted=False)
    _, (_, path, file) = hgweb_mod.getstyle(types.SimpleNamespace(qsparams={}), untrusted, own)
    with file:
        texts, files, aliases = read(file, path)
    for name in files.keys() - texts.keys():
        with templater.open_template(files[name])[1] as file:
            texts[name] = file.read()
    trees = wait_for_request.compute(lambda: {text: parse(text) for text in texts.values()})

    def read_or_known(*given):
        return (dict(texts), dict(files), list(aliases)) if given[-1] == path else read(*given)

    templater._readmapfile = read_or_known
    templater.parse = lambda text: trees[text] if text in trees else parse(text)


def repository(path, name, published):
    """hgweb for one repository, with all that hgwebdir does for one whose name ends SCRIPT_NAME, `published`."""
    ui = load_ui()
    base_url = ui.config(b'web', b'baseurl')
    inside.keep_own(path)
    repo = hg.repository(ui, path)
    app = hgweb_mod.hgweb(repo, name=repo.ui.config(b'web', b'name', untrusted=True) or name)
    if wait_for_request is not None and policy.policy in (b'c', b'py'):
        read_ahead(app)
        # What is wrong with a template, the page that needs it says.
        with contextlib.suppress(Exception):
            read_templates(repo.ui)
        wait_for_request()
        inside.has_request = True
        take_variables()
        inside.check_repository(repo)
    os.environb[b'SCRIPT_NAME'] = os.environb[b'SCRIPT_NAME'][:-len(published) - 1]
    os.environb[b'PATH_INFO'] = b'/' + published + os.environb.get(b'PATH_INFO', b'')

    def run(env, respond):
        try:
            request = requestmod.parserequestfromenv(env, reponame=published, altbaseurl=base_url)
        except ValueError as problem:
            raise Malformed(told(problem)) from problem
        return app.run_wsgi(request, requestmod.wsgiresponse(request, respond))

    return run


class Index(hgwebdir_mod.hgwebdir):
    """hgwebdir for what is published, and nothing that it would find by itself, by a * in a path for example."""

    def __init__(self, static_url):
        published = sys.stdin.buffer.read().split(b'\0')[:-1]
        self.published = [(name, as_long(path, name)) for name, path in zip(published[::2], published[1::2])]
        ui = load_ui()
        mount = script_name = os.environb[b'SCRIPT_NAME']
        base_url = ui.config(b'web', b'baseurl')
        if base_url:
            path = (urlutil.url(base_url).path or b'').strip(b'/')
            mount = path and b'/' + path
        if not ui.config(b'web', b'staticurl'):
            ui.setconfig(b'web', b'staticurl', mount + static_url[len(script_name):], SOURCE)
        if not ui.config(b'web', b'prefix'):
            # For the links above the list; those in it come from SCRIPT_NAME or web.baseurl.
            ui.setconfig(b'web', b'prefix', mount, SOURCE)
        super().__init__([], baseui=ui)

    def refresh(self):
        super().refresh()
        self.repos = self.published


class Listed:
    """A repository of which hgwebdir wants to know nothing but where its store is. It is opened for anything else, and
    where more would be done as it is opened than to look at that."""

    # What Mercurial has in a repository unless it was told otherwise. None of it changes where the store is.
    USUAL = {b'dirstate-v2', b'dotencode', b'fncache', b'generaldelta', b'persistent-nodemap', b'revlog-compression-zstd',
             b'revlogv1', b'share-safe', b'sparserevlog', b'store'}
    # Settings that say nothing of how a repository is opened.
    HARMLESS = re.compile(br'(?!%|\xef|\s*\[(?!(web|paths|phases|hooks)\]))')

    def __init__(self, ui, path):
        self.ui, self.path = ui, path
        try:
            self.spath = self.store()
        except OSError:
            self.spath = None
        if self.spath is None:
            self.spath = self.open().spath

    def __getattr__(self, name):
        return getattr(self.open(), name)

    def open(self):
        return hg.repository(self.ui, self.path)

    def store(self):
        if any(hasattr(module, 'reposetup') for _, module in extensions.extensions(self.ui)):
            return None
        base = os.path.join(self.path, b'.hg')
        store = os.path.join(base, b'store')
        required = set(lines_of(os.path.join(base, b'requires')))
        if b'share-safe' in required:
            required.update(lines_of(os.path.join(store, b'requires')))
        is_usual = b'store' in required and required <= Listed.USUAL & supported(self.ui)
        settings = [line for name in (b'hgrc', b'hgrc-not-shared')
                    for line in lines_of(os.path.join(base, name), is_needed=False)]
        if not is_usual or not all(map(Listed.HARMLESS.match, settings)):
            return None
        os.close(inside.descriptor(store, os.O_RDONLY | os.O_DIRECTORY))
        return store


@functools.lru_cache(1)
def supported(ui):
    return localrepo.gathersupportedrequirements(ui)


def lines_of(path, is_needed=True):
    try:
        with open(path, 'rb') as file:
            return file.read().splitlines()
    except FileNotFoundError:
        if is_needed:
            raise
        return []


def index_entries(ui, repos, req, original=hgwebdir_mod.rawindexentries, **named):
    """hgwebdir's own, but that a repository which Mercurial fails at takes no other one off the list."""
    hgwebdir_mod.hg = types.SimpleNamespace(repository=Listed)
    last = None

    def each():
        nonlocal last
        for last in repos:
            inside.keep_own(last[1])
            yield last

    rest = each()
    while True:
        begun = last
        try:
            return (yield from original(ui, rest, req, **named))
        except Exception as problem:
            if last is begun:
                # It is no repository's fault.
                raise
            say(b'%s is not listed: %s' % (last[1], ascii(problem).encode()))


def as_long(path, name):
    """The path, written long enough that web.collapse may cut off from it what it cuts off from the name."""
    return path + b'/./' if (path + b'.hg').endswith(b'/' + name) else path


def bundle(path):
    """What hg can be told to unbundle."""
    # Not needed for anything else, and slow to load.
    from email.utils import formatdate
    file = open(path, 'rb', opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK))
    status = os.fstat(file.fileno())

    def run(env, respond):
        respond('200 OK', [
            ('Content-Type', 'application/octet-stream'),
            ('Content-Length', str(status.st_size)),
            ('Last-Modified', formatdate(status.st_mtime, usegmt=True)),
            ('X-Content-Type-Options', 'nosniff'),
        ])
        return util.filechunkiter(file, limit=status.st_size if env['REQUEST_METHOD'] != 'HEAD' else 0)

    return run


def answer(make, arguments):
    """What is asked for, or a page that says that it is not there."""
    try:
        app = make(*arguments)
    except Exception as problem:
        app = refusal(problem)

    def run(env, respond):
        try:
            yield from app(env, respond)
        except Exception as problem:
            page = refusal(problem)(env, respond, sys.exc_info())
            try:
                text = next(page)
            except Exception:
                # A part of the body has gone out: that the rest is missing must be visible.
                sys.exit(1)
            yield text

    return run


def system_refusal(problem):
    """The same for what the system, or a lock, has kept Mercurial from."""
    name = problem.filename or b''
    name = os.fsencode(name) if isinstance(name, (str, bytes)) else b''
    say(b'%s: %s; this is user %d' % (name, os.fsencode(os.strerror(problem.errno)), os.geteuid()))
    if problem.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return '403 The server may not write here', b'The server may not write to this repository.\n'
    return '500 Internal Server Error', b'The system keeps Mercurial from it.\n'


def text_of(problem):
    try:
        return bytes(problem)
    except TypeError:
        return str(problem).encode(errors='surrogateescape')


# What is said before the response makes HAProxy 2.6 crash.
said = []


def say(text):
    """Has the log say something, in one line, after the response."""
    said.append(b'hgweb.cgi: %s\n' % text.replace(b'\n', b' '))


def refusal(problem):
    """A page for strangers, and for others the reason on standard error."""
    # In the middle of a body it is too late for the page with which Mercurial meets a failure: that failure is the reason.
    if isinstance(problem, error.ProgrammingError) and problem.__context__ is not None:
        problem = problem.__context__
    # hg shows people the status's phrase.
    if isinstance(problem, Outside):
        status, text = '404 Not Found', b'No repository is published at this address.\n'
    elif isinstance(problem, Malformed):
        status, text = '400 Bad Request', b'Mercurial does not understand this request.\n'
        say(b'a request is malformed: ' + problem.args[0].encode())
    elif isinstance(problem, error.ConfigError):
        status, text = '500 Broken settings', b'There is an error in the settings of this repository or site.\n'
        say(problem.format().strip() if hasattr(problem, 'format') else bytes(problem))
    elif isinstance(problem, (error.ManifestLookupError, error.RepoLookupError)):
        # Where an extension has the page looked for later than hgweb does, so that hgweb says nothing: keyword, for example.
        status, text = '404 Not Found', b'There is no such revision or file.\n'
        say(text_of(problem))
    elif isinstance(problem, PermissionError) or isinstance(getattr(problem, 'errno', None), int):
        status, text = system_refusal(problem)
    elif isinstance(problem, error.RepoError):
        status, text = '500 Internal Server Error', b'Mercurial cannot open this repository.\n'
        say(bytes(problem))
    else:
        status, text = '500 Internal Server Error', b'Mercurial has failed.\n'
        last = traceback.extract_tb(problem.__traceback__)[-1]
        name, line = os.path.basename(last.filename), last.lineno
        say(b'%s: %s (%s, line %d)' % (type(problem).__name__.encode(), text_of(problem), name.encode(), line))

    def run(env, respond, *exception):
        respond(status, [('Content-Type', 'text/plain'), ('Content-Length', str(len(text)))], *exception)
        yield text

    return run


inside, committed = Inside(), Committed()


def main(kind, *arguments):
    make = {'repository': repository, 'index': Index, 'bundle': bundle}[kind]
    if make is not repository and not inside.has_request:
        # Nothing of it is made ahead.
        return
    inside.keep()
    if make is repository:
        committed.keep()
    requestmod.wsgiresponse = Response
    requestmod.multidict.__getitem__ = value_of
    wireprotov1server.dispatch = dispatch
    hgwebdir_mod.staticfile = static_file
    hgwebdir_mod.rawindexentries = index_entries
    util.urlreq.parseqs, util.urlreq.parseqsl = query(parse_qs), query(parse_qsl)
    app = answer(make, map(os.fsencode, arguments))
    if not inside.has_request:
        sys.exit(1)
    no_pushes = os.environb.pop(b'FCGI2CGI_NO_PUSHES', None)
    if no_pushes is not None:
        refuse_pushes(no_pushes)
    permhooks.append(refuse_hidden_push)
    tell_refusals()
    try:
        wsgicgi.launch(app)
    finally:
        sys.stderr.buffer.writelines(said)
        sys.stderr.flush()


def end(frozen):
    """Ends the process where nothing is left to finalize; else, or where its last words can't be written, returns.

    As it ends, Python takes every module apart, which takes a tenth of a page's time.
    """
    if _thread._count() or gc.get_freeze_count() != frozen:
        return
    try:
        atexit._run_exitfuncs()
        if is_something_left():
            return
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:
        return
    os._exit(0)


if __name__ == '__main__':
    if ends_itself:
        # What was imported stays to the end.
        gc.freeze()
        frozen = gc.get_freeze_count()
    main(*sys.argv[1:])
    if ends_itself:
        end(frozen)
