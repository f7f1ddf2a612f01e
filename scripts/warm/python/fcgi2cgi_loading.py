"""What a fork server loads ahead, and whether that is still what a new process would load."""

import gc
import importlib
import importlib.machinery
import os
import signal
import sys
import warnings

import fcgi2cgi_libc as libc
from fcgi2cgi_effects import Effects
from fcgi2cgi_forked import loaded_files

# How often modules that can't be loaded ahead are sorted out before none is.
MAX_TRIALS = 10


class Unfit(Exception):
    """Why this script can't be run by forked processes."""


class Loaded:
    """The compiled script and the modules; `variables` are the names of those that decided what they have become."""

    def __init__(self, script, modules):
        real = os.path.realpath(script)
        sys.argv = [script]
        if not (sys.flags.isolated or getattr(sys.flags, 'safe_path', False)):
            sys.path[0] = os.path.dirname(real)
        # Before they are read: what changes meanwhile has changed.
        self.files = {path: signature(path) for path in (script, sys.executable, '/etc/localtime')}
        self.directories = {path: signature(path) for path in sys.path}
        effects = Effects()
        try:
            with effects.watched():
                with open(script, 'rb') as file:
                    self.code = compile(file.read(), script, 'exec', dont_inherit=True)
        except (OSError, SyntaxError, ValueError) as error:
            raise Unfit('it can\'t be compiled: %s' % error)
        wanted = {name.decode(): os.fsdecode(origin) for name, origin in modules.items()}
        # Those beside the script are its own: they may look at the clock, or read a file, while they are loaded.
        own = os.path.join(os.path.dirname(real), '')
        wanted = {name: path for name, path in wanted.items() if not os.path.realpath(path).startswith(own)}
        for name in wanted.keys() & {'_hashlib', '_ssl'}:
            libc.spare_openssl(wanted[name])
        for name, path in harmless(wanted).items():
            self.files[path] = signature(path)
            with effects.watched():
                load(name, path)
        seen = effects.seen()
        if seen is not None:
            raise Unfit('it %s while it is loaded' % seen)
        self.variables = effects.variables
        self.origins = loaded_files()
        for path in self.origins.values():
            self.files.setdefault(path, signature(path))
        self.names = frozenset(sys.modules)
        # Made anew, side by side: after each fork, what these lie in is copied when they are looked at.
        self.files = [(os.fsencode(path), bytes(bytearray(known))) for path, known in self.files.items()]

    def changed(self):
        """The name of a file that is no longer what was loaded."""
        for path, known in self.files:
            if signature(path) != known:
                return path
        directories = {path: signature(path) for path in sys.path}
        if directories == self.directories:
            return None
        # Something came or went in a directory: what counts is whether the same modules would be found.
        importlib.invalidate_caches()
        for name, path in self.origins.items():
            if '.' not in name and origin_of(name, None) != path:
                return path
        self.directories = directories
        return None


def freeze():
    """Keeps what there is out of every collection, which would copy the memory that processes share."""
    gc.collect()
    if hasattr(gc, 'freeze'):
        gc.freeze()


def signature(path):
    """Two are the same if nobody has changed the file between them."""
    try:
        status = os.stat(path)
    except OSError as error:
        return b'%d' % error.errno
    return b'%d %d %d %d' % (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)


def origin_of(name, path):
    try:
        spec = importlib.machinery.PathFinder.find_spec(name, path)
    except Exception:
        return None
    return spec and spec.origin


def load(name, path):
    """Loads a module, if it is the one of this file and the package that it belongs to is there."""
    parent, _, _ = name.rpartition('.')
    if name in sys.modules or (parent and parent not in sys.modules):
        return
    if origin_of(name, getattr(sys.modules[parent], '__path__', None) if parent else None) == path:
        # As the script does it: what is complained of there is not always of interest elsewhere.
        exec('import ' + name, {'__name__': '__main__', '__builtins__': __builtins__})


def harmless(wanted):
    """Those of the modules that can be loaded ahead without anything to be seen of it; other processes try them."""
    for _ in range(MAX_TRIALS):
        reading, writing = os.pipe()
        trial = os.fork()
        if trial == 0:
            status = 1
            try:
                os.close(reading)
                os.write(writing, '\n'.join(try_all(wanted)).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        with open(reading, 'rb') as answer:
            refused = answer.read().decode().split('\n')
        if os.waitpid(trial, 0)[1] != 0:
            return {}
        remaining = {name: path for name, path in wanted.items() if name not in refused}
        if len(remaining) == len(wanted):
            return wanted
        wanted = remaining
    return {}


def try_all(wanted):
    """Loads the modules one by one; gives the names of those that can be seen to have done more than that."""
    signal.set_wakeup_fd(-1)
    refused = []
    for name, path in wanted.items():
        effects = Effects()
        try:
            with effects.watched(), warnings.catch_warnings(record=True) as complaints:
                load(name, path)
            if complaints or effects.seen() is not None:
                refused.append(name)
        except BaseException:
            refused.append(name)
        watch_generators()
    return refused


def watch_generators():
    """A generator of random numbers that seeds itself while a module is loaded would be the same in all processes."""
    random = sys.modules.get('random')
    if random is None or hasattr(random.Random.seed, 'original'):
        return
    original = random.Random.seed

    def seed(self, a=None, *rest):
        if a is None:
            raise ImportError('a generator seeds itself')
        return original(self, a, *rest)

    seed.original = original
    random.Random.seed = seed
