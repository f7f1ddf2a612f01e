"""What a fork server loads ahead, and whether that is still what a new process would load."""

import contextlib
import gc
import importlib.machinery
import marshal
import os
import signal
import sys
import time

import fcgi2cgi_libc as libc
from fcgi2cgi_effects import Effects
from fcgi2cgi_forked import loaded_files
from fcgi2cgi_search import Missed, Search, origin_of, signature
from fcgi2cgi_trial import Trial, Wanted
from fcgi2cgi_view import LAZY, View
from fcgi2cgi_watch import Watch

# How often modules that can't be loaded ahead are sorted out before none is.
MAX_TRIALS = 10
# How late the system's clock for files is, at most.
CLOCK_NS = 20_000_000
# By which libraries are found.
LINKER_FILES = '/etc/ld.so.cache', '/etc/ld.so.preload'
# What proc(5) puts behind the name of a file that is gone.
DELETED = b' (deleted)'


class Unfit(Exception):
    """Why this script can't be run by forked processes."""


class Loaded:
    """The compiled script and the modules; `variables` are the names of those that decided what they have become."""

    def __init__(self, script, modules, programs):
        real = os.path.realpath(script)
        # A file may have other names, beside which something else lies: then what counts is where links lead.
        self.places = [(os.fsencode(path), os.fsencode(os.path.realpath(path))) for path in (script, sys.executable)]
        self.directory = os.getcwdb()
        sys.argv = [script]
        has_own = not (sys.flags.isolated or getattr(sys.flags, 'safe_path', False))
        if has_own:
            sys.path[0] = os.path.dirname(real)
        self.view = View()
        begun_at = time.time_ns()
        # Before they are read: what changes meanwhile has changed.
        self.search = Search(has_own)
        files = [script, sys.executable, *programs, '/etc/localtime', *LINKER_FILES, *self.search.files]
        self.files = {path: signature(path) for path in files}
        effects = Effects()
        try:
            with effects.watched():
                with open(script, 'rb') as file:
                    source = file.read()
                self.code = compile(source, script, 'exec', dont_inherit=True)
        except (OSError, SyntaxError, ValueError) as error:
            raise Unfit('it can\'t be compiled: %s' % error)
        # Whether the script says where it has got ready, and the system what it has looked at: see `fcgi2cgi_prepared`.
        self.can_prepare = (bool(modules) and b'__prepared__' in source and hasattr(sys, 'addaudithook')
                            and sys.platform == 'linux')
        wanted = {name.decode(): Wanted(value) for name, value in modules.items()}
        # Those beside the script are its own: they may read a file that nobody looks at, and change more than others.
        own = os.path.join(os.path.dirname(real), '')
        # Nor is it seen what those do that lie in an archive.
        wanted = {name: each for name, each in wanted.items()
                  if os.path.isfile(each.path) and not os.path.realpath(each.path).startswith(own)}
        for name in wanted.keys() & {'_hashlib', '_ssl'}:
            libc.spare_openssl(wanted[name].path)
        wanted, read = harmless(wanted, self.view, own)
        for path in [*read, *(each.path for each in wanted.values())]:
            self.files[path] = signature(path)
        missed = Missed()
        sys.meta_path.append(missed)
        with promises(wanted):
            for name, each in wanted.items():
                with effects.watched():
                    load(name, each.path)
        sys.meta_path.remove(missed)
        seen = effects.seen()
        if seen is not None:
            raise Unfit('it %s while it is loaded' % seen)
        self.variables = effects.variables
        origins = loaded_files()
        self.search.loaded(origins, missed.names)
        for path, is_gone in [*((path, False) for path in origins.values()), *mapped()]:
            if is_gone:
                self.files[path] = b'gone'
            elif path not in self.files:
                # They were read before.
                self.files[path] = signature(path) if is_older(path, begun_at) else b'changing'
        self.names = frozenset(sys.modules)
        # Side by side: after each fork, what these lie in is copied when they are looked at.
        self.files = [(os.fsencode(path), bytes(bytearray(known))) for path, known in self.files.items()]
        self.watch = Watch()

    def changed(self, directory):
        """The name of a file that is no longer what was loaded, for requests in this working directory."""
        if self.watch.is_quiet():
            return None
        self.watch.begin([path for path, _ in self.files + self.search.directories], os.path.join(directory, b'.'))
        places = [*self.places, (directory, self.directory)]
        found = (next((path for path, known in self.files if signature(path) != known), None)
                 or next((path for path, real in places if os.path.realpath(path) != real), None)
                 or self.search.changed())
        if found is not None:
            # It stays changed, though nothing more happens to it.
            self.watch.close()
        return found


def is_older(path, time_ns):
    """Whether it has not changed since, by the system's clock for files, which may be late."""
    try:
        return os.stat(path).st_ctime_ns < time_ns - CLOCK_NS
    except OSError:
        return True


def on_the_way(programs, path):
    """Where the system looks for what it starts before a script, to where it is found."""
    here = os.getcwdb()
    for program in programs:
        if b'/' in program:
            yield os.fsdecode(os.path.join(here, program))
            continue
        for directory in (path or os.fsencode(os.defpath)).split(b':'):
            looked = os.path.join(here, directory, program)
            yield os.fsdecode(looked)
            if os.path.isfile(looked) and os.access(looked, os.X_OK):
                break


def mapped():
    """The files that lie in memory, where the system tells: the interpreter and libraries; and whether another one has
    taken its place since."""
    try:
        with open('/proc/self/maps', 'rb') as maps:
            lines = [line.rstrip(b'\n').split(None, 5) for line in maps]
    except OSError:
        return []
    paths = {fields[5] for fields in lines if len(fields) == 6}
    found = [(path[:-len(DELETED)], True) if path.endswith(DELETED) else (path, False) for path in paths]
    return [(os.fsdecode(path), is_gone) for path, is_gone in found if os.path.isfile(path)]


def freeze():
    """Keeps what there is out of every collection, which would copy the memory that processes share."""
    gc.collect()
    if hasattr(gc, 'freeze'):
        gc.freeze()


def load(name, path):
    """Loads a module, if it is the one of this file and the package that it belongs to is there."""
    parent, _, _ = name.rpartition('.')
    if name in sys.modules or (parent and parent not in sys.modules):
        return
    if origin_of(name, getattr(sys.modules[parent], '__path__', None) if parent else None) == path:
        # As the script does it: what is complained of there is not always of interest elsewhere.
        exec('import ' + name, {'__name__': '__main__', '__builtins__': __builtins__})


@contextlib.contextmanager
def promises(wanted):
    """Has all but these modules only promised, where demandimport has done so for those that import them: a new process
    loads them when it uses them."""
    if not any(LAZY in each.changes for each in wanted.values()):
        yield
        return
    from importlib.util import LazyLoader

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            spec = importlib.machinery.PathFinder.find_spec(name, path) if name not in wanted else None
            if spec is not None and spec.loader is not None:
                spec.loader = LazyLoader(spec.loader)
            return spec

    sys.meta_path.insert(0, Finder)
    try:
        yield
    finally:
        sys.meta_path.remove(Finder)


def harmless(wanted, view, own):
    """Those of the modules that can be loaded ahead, and the files that they read. A process tries them until it finds
    nothing to refuse, and another one then has to find the same in them."""
    refused, known = {}, {}
    for _ in range(MAX_TRIALS if wanted else 0):
        tried = in_other_process(lambda: try_all(wanted, view, own, refused, bool(known)))
        if tried is None:
            break
        refused, values, files = tried
        if not refused.keys() & wanted.keys():
            if known:
                refused.update((name, 'differs') for name in values if values[name] != known.get(name))
            if known == values:
                return wanted, files
            known = values
        remaining = {name: each for name, each in wanted.items() if name not in refused}
        if len(remaining) < len(wanted):
            wanted, known = remaining, {}
    return {}, ()


def try_all(wanted, view, own, refused, is_second):
    signal.set_wakeup_fd(-1)
    trial = Trial(wanted, view, own, refused, is_second)
    with promises(wanted):
        trial.run(load)
    return trial.refused, trial.values, trial.files


def in_other_process(function):
    """What it returns there; None if it fails."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            os.close(reading)
            with open(writing, 'wb') as result:
                marshal.dump(function(), result)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, 'rb') as answer:
        result = answer.read()
    return marshal.loads(result) if os.waitpid(process, 0)[1] == 0 else None
