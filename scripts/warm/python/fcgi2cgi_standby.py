"""A forked process that waits for its request: what is the same for all of them is done before one comes.

While one request is answered, the process for the next one is forked, gets its group, and copies the memory that
requests write to as a rule: where a core is idle meanwhile, no request waits for that.
"""

import os
import signal

KINDS = b'in', b'out', b'err'
# The bridge opens the pipes as soon as it has heard of the process. One that was killed meanwhile never will.
OPEN_SECONDS = 5


def tell(descriptor, message):
    """Writes it, with its length before it. Nobody may be there to read it: then BrokenPipeError."""
    octets = len(message).to_bytes(4, 'big') + message
    while octets:
        octets = octets[os.write(descriptor, octets):]


class Standby:
    """What the fork server has of it; `name` is that of its named pipes. The bridge removes the first when it has opened all."""

    def __init__(self, directory, name):
        self.name = name
        self.pid = None
        # Of its request, once it has one, and where it writes what it has to teach, if it may.
        self.number = None
        self.lesson = None
        self.paths = [os.path.join(directory, b'%s.%s' % (name, kind)) for kind in KINDS]
        try:
            for path in self.paths:
                os.mkfifo(path, 0o600)
            self.hearing, self.telling = os.pipe()
        except OSError:
            self.remove_pipes()
            raise

    def forked(self, pid):
        self.pid = pid
        os.close(self.hearing)

    def tell(self, message):
        """Says what it is to run. It may be gone: then BrokenPipeError."""
        try:
            tell(self.telling, message)
        finally:
            os.close(self.telling)

    def abandon(self):
        """It could not be forked."""
        os.close(self.hearing)
        self.give_up()
        self.remove_pipes()

    def give_up(self):
        """It ends, as it is told nothing."""
        os.close(self.telling)

    def has_begun(self):
        """Whether the bridge has opened its pipes; its script does not begin before."""
        return not os.path.lexists(self.paths[0])

    def remove_pipes(self):
        for path in self.paths:
            try:
                os.unlink(path)
            except OSError:
                pass

    def wait(self, pages):
        """In the process: makes it a process group of its own, and waits for what it is to run; nothing, if that is nothing
        or the fork server has ended in the middle of it. It copies `pages` first, unless it is to find out itself which ones
        it writes to."""
        os.setpgid(0, 0)
        os.close(self.telling)
        # Before the bridge hears of it: without a reader it could not open the other end.
        self.stdin = os.open(self.paths[0], os.O_RDONLY | os.O_NONBLOCK)
        if pages is not None:
            pages.copy()
        with open(self.hearing, 'rb', 0) as hearing:
            told = hearing.read()
        message = told[4:]
        return message if len(message) == int.from_bytes(told[:4], 'big') else b''

    def open_streams(self):
        """In the process: its pipes become its standard streams, as soon as the bridge has opened their other ends."""
        signal.alarm(OPEN_SECONDS)
        outputs = [os.open(path, os.O_WRONLY) for path in self.paths[1:]]
        signal.alarm(0)
        os.set_blocking(self.stdin, True)
        for descriptor, end in enumerate((self.stdin, *outputs)):
            os.dup2(end, descriptor)
            os.close(end)
        for path in self.paths[1:]:
            os.unlink(path)
