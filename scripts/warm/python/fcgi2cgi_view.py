"""What a script may change before it imports a module, so that the module sees something else as it is loaded."""

import builtins
import os
import re
import sys
import types

import _signal

try:
    import _locale
    import _thread
except ImportError:
    _locale = _thread = None

# The C library and extension modules read these by themselves: nobody sees which module does.
READ_UNSEEN = re.compile(r'env\.(TZ|TZDIR|LANG|LANGUAGE|LC_.*|LOCPATH|NLSPATH|GCONV_PATH|LD_.*|OPENSSL_.*|SSL_CERT_.*)=')
# A trial tells which module looks at these.
NAMED = 'sys.', 'env.', 'signals'
# Among what has changed: modules are promised, and loaded when they are used.
LAZY = 'lazy=True'
# Our own one that promises modules.
OWN_FINDER = 'fcgi2cgi_loading.promises.<locals>.Finder'
# Python itself changes these.
IGNORED = {'modules', 'path_importer_cache', 'last_type', 'last_value', 'last_traceback', 'last_exc'}
OF_THE_REQUEST = 'env.', 'sys.argv', 'sys.orig_argv', 'signals'
# demandimport only puts off when a module is loaded. The module's view is the one that it then has.
LAZY_FINDER = 'hgdemandimport.demandimportpy3.LazyFinder'
# What is longer is told by a number.
LONG, PRIME = 80, 2 ** 127 - 1
MAX_CHANGES = 1500


class View:
    """Of a process, from the script's first line on; the fork server has one, of before it loads anything."""

    def __init__(self):
        self.first = state()
        # As it was when it was last looked at, and what had changed by then.
        self.last = self.found = None

    def begin(self):
        """In a process: a script begins that has these arguments and this environment."""
        self.last = None
        ours = {name: value for name, value in self.first.items() if not name.startswith(OF_THE_REQUEST)}
        self.first = {**ours, **{name: value for name, value in state().items() if name.startswith(OF_THE_REQUEST)}}

    def changes(self):
        """What is not as it was then, as NAME=VALUE. Two are the same in all processes if a module sees the same."""
        last = glance()
        if last != self.last:
            self.last, self.found = last, self.all_changes()
        return self.found

    def all_changes(self):
        now = state()
        names = {name for name in {**self.first, **now} if self.first.get(name) != now.get(name)}
        changes = ['%s=%s' % (name, described(name, now.get(name))) for name in names]
        if any(class_of(finder) == LAZY_FINDER for finder in sys.meta_path):
            changes.append(LAZY)
        return sorted(changes) if sum(map(len, changes)) < MAX_CHANGES else ['all=']


class Identity(int):
    """Of something that is the same only if it is itself. It is not held: a stream is flushed when nobody holds it."""


def glance():
    """Two are the same if `state` gives the same; it takes a tenth of the time."""
    ours, functions = vars(sys), vars(builtins)
    return (list(ours), list(map(id, ours.values())), list(functions), list(map(id, functions.values())),
            [listed(value) for value in ours.values() if type(value) is list], list(map(class_of, sys.meta_path)),
            dict(os.environb._data), listed(handlers()), locale(), directory(), seen_umask())


def state():
    """Names and values; those of `sys`, of the built-in functions and of the environment begin so."""
    seen = {'sys.' + name: listed(value) if type(value) is list else Identity(id(value))
            for name, value in vars(sys).items() if name not in IGNORED}
    seen.update(('builtins.' + name, Identity(id(value))) for name, value in vars(builtins).items())
    seen.update(('env.' + os.fsdecode(name), value) for name, value in os.environb._data.items())
    hooks = seen.pop('sys.meta_path') + seen.pop('sys.path_hooks')
    seen['hooks'] = [hook for hook in hooks if hook != OWN_FINDER]
    seen['signals'] = listed(handlers())
    seen['locale'] = locale()
    seen['directory'] = directory()
    seen['umask'] = seen_umask()
    return seen


def handlers(of=_signal.getsignal, numbers=range(1, _signal.NSIG)):
    return list(map(of, numbers))


def locale():
    return _locale and _locale.setlocale(_locale.LC_ALL)


def directory(current=os.getcwd):
    try:
        return current()
    except OSError:
        return None


def umask(exchange=os.umask):
    mask = exchange(0o077)
    exchange(mask)
    return mask


def seen_umask():
    # To ask is to set it: other threads would make files under the wrong one.
    return umask() if _thread and _thread._count() == 0 else None


def listed(values):
    return [value if type(value) in (str, int) else name_of(value) for value in values]


def name_of(value):
    """Of a function or class, else of its class."""
    if class_of(value) == LAZY_FINDER:
        value = object.__getattribute__(value, '_finder')
    if type(value) in (type, types.FunctionType):
        return '%s.%s' % (value.__module__, value.__qualname__)
    return class_of(value)


def class_of(value):
    return '%s.%s' % (type(value).__module__, type(value).__qualname__)


def described(name, value):
    if name.startswith('env.'):
        # Each request has its own: what looks at it is not loaded ahead, whatever it is.
        return ''
    if type(value) is Identity:
        where, _, own = name.partition('.')
        value = name_of(vars(sys if where == 'sys' else builtins)[own])
    text = ascii(value)
    return text if len(text) < LONG else '%x' % number_of(text)


def number_of(value):
    """Stands for it; the same in all processes."""
    return int.from_bytes(ascii(value).encode(), 'big') % PRIME
