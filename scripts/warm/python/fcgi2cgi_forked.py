"""What a forked process needs to be what exec would have made of it."""

import atexit
import builtins
import importlib.machinery
import os
import sys
import time
import types

import fcgi2cgi_ending as ending
import fcgi2cgi_pages as pages
from fcgi2cgi_search import forget


class Request:
    """What a process is to run; `lesson` is what it is to teach, if it is."""

    def __init__(self, script, code, arguments, lesson):
        self.script = script
        self.code = code
        self.lesson = lesson
        self.arguments = [os.fsdecode(argument) for argument in arguments]
        # Where the script is only to get ready: what it calls then.
        self.hook = None

    def arrive(self):
        """Makes the process one that has just begun, with this request."""
        sys.argv = [self.script, *self.arguments]
        # A file that was made a moment ago may not show in what was read of its directory.
        forget()
        refresh()

    def run(self):
        """Runs the script as `__main__`. When it returns or raises, Python ends as it ends after any script."""
        self.arrive()
        if hasattr(sys, 'orig_argv'):
            sys.orig_argv[-2:] = sys.argv
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
        if self.hook is not None:
            namespace['__prepared__'] = self.hook
            self.hook.begin()
        if self.lesson is not None:
            self.lesson.begin()
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


def refresh():
    """What modules have set while they were loaded ahead is as if they had been loaded now: see `fcgi2cgi_trial`."""
    logging, threading, pycompat, processes, random = map(sys.modules.get, (
        'logging', 'threading', 'mercurial.pycompat', 'multiprocessing.process', 'numpy.random'))
    if hasattr(logging, '_startTime'):
        logging._startTime = time.time() if type(logging._startTime) is float else time.time_ns()
    if hasattr(threading, 'main_thread') and hasattr(threading.main_thread(), '_set_native_id'):
        threading.main_thread()._set_native_id()
    if hasattr(pycompat, 'sysargv'):
        pycompat.sysargv = list(map(os.fsencode, sys.argv))
    if hasattr(processes, 'current_process'):
        processes.current_process().authkey = os.urandom(32)
    if hasattr(random, 'seed'):
        # `random` sees to itself after a fork, and OpenSSL too.
        random.seed()


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


class PageLesson:
    """Has this process write, when it ends, which memory it has written to."""

    def __init__(self, path):
        self.path = path
        self.process = os.getpid()

    def begin(self):
        # What is registered first is done last.
        atexit.register(self.tell)

    def tell(self):
        if os.getpid() != self.process:
            return
        try:
            with open(self.path, 'xb') as file:
                file.write(b'%s\n%s\n' % (pages.copied(), b''.join(b'%s\n' % line for line in self.modules())))
        except (OSError, UnicodeError):
            pass

    def modules(self):
        return []


class Lesson(PageLesson):
    """And which modules it has loaded: from which file, and what had changed by then since its script began."""

    def __init__(self, path, known, view):
        super().__init__(path)
        self.known = known
        self.view = view
        # By file, as each module's code begins.
        self.changes = {}

    def begin(self):
        self.view.begin()
        super().begin()
        if hasattr(sys, 'addaudithook'):
            sys.addaudithook(self.hear)

    def hear(self, event, given):
        if event == 'exec' and getattr(given[0], 'co_name', None) == '<module>':
            path = given[0].co_filename
        elif event == 'import' and given[1] is not None:
            path = given[1]
        else:
            return
        if path in self.changes:
            return
        self.changes[path] = ['unseen=']
        try:
            self.changes[path] = self.view.changes()
        except Exception:
            pass

    def modules(self):
        for name, origin in loaded_files().items():
            if name not in self.known:
                value = '\1'.join([origin, *self.changes.get(origin, ['unseen='])])
                yield b'%s=%s' % (name.encode(), os.fsencode(value))


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
