"""A forked process that waits for its request: what is the same for all of them is done before one comes.

While one request is answered, the process for the next one is forked, gets its pipes and its session, and copies the
memory that requests write to as a rule: where a core is idle meanwhile, no request waits for that.
"""

import os

import fcgi2cgi_forked as forked


class Standby:
    """What the fork server has of it; `name` is that of its pipes. Closed by `tell` and `give_up`, but for the pipes."""

    def __init__(self, directory, name):
        self.name = name
        self.pid = None
        self.pipes = []
        try:
            for kind in (b'in', b'out', b'err'):
                self.pipes.append(forked.Pipe(os.path.join(directory, b'%s.%s' % (name, kind))))
            self.hearing, self.telling = os.pipe()
        except OSError:
            self.close_pipes()
            raise

    def close_pipes(self):
        for pipe in self.pipes:
            pipe.close()

    def forked(self, pid):
        self.pid = pid
        os.close(self.hearing)

    def tell(self, message):
        """Says what it is to run. It may be gone: then BrokenPipeError."""
        try:
            while message:
                message = message[os.write(self.telling, message):]
        finally:
            os.close(self.telling)

    def abandon(self):
        """It could not be forked."""
        os.close(self.hearing)
        self.give_up()

    def give_up(self):
        """It ends, as it is told nothing."""
        os.close(self.telling)
        self.close_pipes()

    def wait(self, pages):
        """In the process: makes it a session of its own, and waits for what it is to run; nothing is to be done if that is nothing."""
        os.setsid()
        for descriptor, end in enumerate((self.pipes[0].reading, self.pipes[1].writing, self.pipes[2].writing)):
            os.dup2(end, descriptor)
        for end in [self.telling, *(end for pipe in self.pipes for end in pipe.ends)]:
            os.close(end)
        pages.copy()
        with open(self.hearing, 'rb', 0) as hearing:
            return hearing.read()
