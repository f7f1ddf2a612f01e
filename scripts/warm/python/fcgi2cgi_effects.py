"""What loading a script or a module does beside defining things: then it can't be loaded ahead."""

import contextlib
import os
import select
import sys

try:
    import _thread
except ImportError:
    _thread = None

from fcgi2cgi_view import directory, handlers, umask


class Effects:
    """Of what is loaded between its making and `seen`; `variables` are the names of those that were read."""

    def __init__(self):
        self.before = state()
        self.variables = set()
        self.printed = b''
        self.reads_all = False

    def reads_variable(self, name):
        self.variables.add(name)

    def reads_environment(self):
        self.reads_all = True

    @contextlib.contextmanager
    def watched(self):
        kind = type(os.environ)
        original = {name: getattr(kind, name) for name in ('__getitem__', '__iter__')}

        def getitem(environ, name):
            if isinstance(name, (str, bytes)):
                self.reads_variable(os.fsencode(name))
            return original['__getitem__'](environ, name)

        def iterate(environ):
            self.reads_environment()
            return original['__iter__'](environ)

        kind.__getitem__, kind.__iter__ = getitem, iterate
        outputs = [(number, os.dup(number)) for number in (1, 2)]
        self.reading, writing = os.pipe()
        os.set_blocking(self.reading, False)
        for number, _ in outputs:
            os.dup2(writing, number)
        os.close(writing)
        try:
            yield
        finally:
            kind.__getitem__, kind.__iter__ = original['__getitem__'], original['__iter__']
            self.take_printed()
            for number, output in outputs:
                os.dup2(output, number)
                os.close(output)
            os.close(self.reading)

    def take_printed(self):
        for stream in sys.stdout, sys.stderr:
            stream.flush()
        try:
            self.printed += os.read(self.reading, 65536)
        except BlockingIOError:
            pass

    def seen(self):
        """What else there is to be seen, as the end of a sentence."""
        if self.printed:
            return 'prints %s' % ascii(self.printed.decode('utf-8', 'replace').strip()[:200])
        if self.reads_all:
            return 'reads the whole environment'
        for (what, before), (_, after) in zip(self.before, state()):
            if before != after:
                return 'changes %s' % what
        return None


def state():
    """What a module must leave as it was: names and values."""
    return [
        ('the environment', dict(os.environb._data)),
        ('the working directory', directory()),
        ('the umask', umask()),
        ('its threads', _thread and _thread._count()),
        ('its open files', descriptors()),
        ('what signals do', handlers()),
    ]


def descriptors():
    return [number for number, event in _poll.poll(0) if event & select.POLLNVAL]


_poll = select.poll()
for number in range(64):
    _poll.register(number, 0)
