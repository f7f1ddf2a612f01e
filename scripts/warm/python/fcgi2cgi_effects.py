"""What loading a script or a module does besides defining things: then it can't be loaded ahead."""

import contextlib
import os
import signal
import sys


class Effects:
    """Of what is loaded between its making and `seen`; `variables` are the names of those that were read."""

    def __init__(self):
        self.before = state()
        self.variables = set()
        self.printed = b''
        self.reads_all = False

    @contextlib.contextmanager
    def watched(self):
        kind = type(os.environ)
        original = {name: getattr(kind, name) for name in ('__getitem__', '__iter__')}

        def getitem(environ, name):
            if isinstance(name, (str, bytes)):
                self.variables.add(os.fsencode(name))
            return original['__getitem__'](environ, name)

        def iterate(environ):
            self.reads_all = True
            return original['__iter__'](environ)

        kind.__getitem__, kind.__iter__ = getitem, iterate
        outputs = [(number, os.dup(number)) for number in (1, 2)]
        reading, writing = os.pipe()
        for number, _ in outputs:
            os.dup2(writing, number)
        try:
            yield
        finally:
            kind.__getitem__, kind.__iter__ = original['__getitem__'], original['__iter__']
            for stream in sys.stdout, sys.stderr:
                stream.flush()
            for number, output in outputs:
                os.dup2(output, number)
                os.close(output)
            os.close(writing)
            with open(reading, 'rb') as printed:
                self.printed += printed.read()

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
    mask = os.umask(0)
    os.umask(mask)
    threading = sys.modules.get('threading')
    descriptors = set()
    for number in range(64):
        try:
            os.fstat(number)
            descriptors.add(number)
        except OSError:
            pass
    return [
        ('the environment', dict(os.environb._data)),
        ('the working directory', os.getcwd()),
        ('the umask', mask),
        ('its threads', threading.active_count() if threading else 1),
        ('its open files', descriptors),
        ('what signals do', [signal.getsignal(number) for number in range(1, signal.NSIG)]),
    ]
