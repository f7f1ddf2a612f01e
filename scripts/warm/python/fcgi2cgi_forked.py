"""What a forked process needs to be what exec would have made of it."""

import atexit
import builtins
import importlib
import importlib.machinery
import os
import sys
import types

import fcgi2cgi_ending as ending
import fcgi2cgi_pages as pages


class Request:
    def __init__(self, script, code, arguments):
        self.script = script
        self.code = code
        self.arguments = [os.fsdecode(argument) for argument in arguments]

    def run(self):
        """Runs the script as `__main__`. When it returns or raises, Python ends as it ends after any script."""
        sys.argv = [self.script, *self.arguments]
        if hasattr(sys, 'orig_argv'):
            sys.orig_argv[-2:] = sys.argv
        # A file that was made a moment ago may not show in what was read of its directory.
        importlib.invalidate_caches()
        if 'numpy.random' in sys.modules:
            # `random` sees to itself after a fork, and OpenSSL too.
            sys.modules['numpy.random'].seed()
        main = types.ModuleType('__main__')
        main.__dict__.update(
            __builtins__=builtins,
            __cached__=None,
            __file__=self.script,
            __loader__=importlib.machinery.SourceFileLoader('__main__', self.script),
        )
        if sys.version_info < (3, 14):
            main.__annotations__ = {}
        sys.modules['__main__'] = main
        namespace = main.__dict__
        del main
        status = 0
        try:
            exec(self.code, namespace)
        except SystemExit as error:
            status = 0 if error.code is None else error.code
            if type(status) is not int or not 0 <= status <= 255:
                raise
        except BaseException:
            hide_own_frames()
            raise
        del namespace
        ending.end(status)
        sys.exit(status)


def limit(limits):
    """Sets what this process, and what it starts, may use: by the names and in the form of prlimit(1), and of nice(1)."""
    if b'nice' in limits:
        os.nice(int(limits[b'nice']))
    limits = {name.decode(): values for name, values in limits.items() if name not in (b'prlimit', b'nice')}
    if not limits:
        return
    import resource
    for name, values in limits.items():
        resource.setrlimit(getattr(resource, 'RLIMIT_' + name.upper()), tuple(map(int, values.split(b':'))))
    del sys.modules['resource']


def hide_own_frames():
    """The traceback that is about to be shown begins with the script."""
    if not hasattr(sys, 'excepthook'):
        return
    show = sys.excepthook

    def excepthook(kind, error, trace):
        while trace is not None and trace.tb_frame.f_code.co_filename in own_files:
            trace = trace.tb_next
        error.__traceback__ = trace
        show(kind, error, trace)

    sys.excepthook = excepthook


own_files = (__file__, os.path.join(os.path.dirname(__file__), 'fork_server.py'))


class Environment:
    """The environment of a process: what the bridge gave, and what would have been added or removed on the way."""

    def __init__(self, added, removed):
        self.added = added
        self.removed = removed

    def become(self, variables):
        for name in list(os.environb):
            del os.environb[name]
        for name, value in [*variables.items(), *self.added.items()]:
            if name not in self.removed:
                os.environb[name] = value


def teach(lesson, known):
    """Has this process write which memory it has written to and which modules it has loaded, when it ends."""
    process = os.getpid()

    def tell():
        if os.getpid() != process:
            return
        written = pages.copied()
        learned = [(name, origin) for name, origin in loaded_files().items() if name not in known]
        try:
            with open(lesson, 'xb') as file:
                file.write(written + b'\n')
                file.writelines(b'%s=%s\n' % (name.encode(), os.fsencode(origin)) for name, origin in learned)
                file.write(b'\n')
        except (OSError, UnicodeError):
            pass

    # What is registered first is done last.
    atexit.register(tell)


def loaded_files():
    """The modules that were loaded from files, in the order in which that was begun; not those that demandimport only
    promises: their type is another one until they are used."""
    specs = {name: getattr(module, '__spec__', None) for name, module in list(sys.modules.items())
             if type(module) is types.ModuleType and name != '__main__'}
    return {name: spec.origin for name, spec in specs.items()
            if spec is not None and spec.has_location and spec.name == name}


def escape(word):
    """A word of an answer, without spaces and newlines."""
    octets = word if isinstance(word, bytes) else os.fsencode(word)
    return octets.replace(b'%', b'%25').replace(b' ', b'%20').replace(b'\n', b'%0A')


def listed(fields):
    """A list among a message's fields: its length comes first."""
    return [next(fields) for _ in range(int(next(fields)))]


def pairs(fields):
    """A list of NAME=VALUE."""
    return {name: value for name, _, value in (field.partition(b'=') for field in listed(fields))}
